#include <unistd.h>

#include <gtest/gtest.h>

#include <thread>

#include "common/runtime/ev_loop.hpp"
#include "common/runtime/gate.hpp"
#include "common/runtime/random.hpp"
#include "common/runtime/sim_loop.hpp"
#include "common/runtime/sync.hpp"

using namespace flux;

namespace {

struct Note {
    std::string &log;
    const char *text;
    ~Note() { log += text; }
};

Task<int> slow_answer(Loop &loop)
{
    co_await sleep_for(loop, seconds(10));
    co_return 42;
}

Task<> ask(Loop &loop, std::string &log)
{
    Note inner {log, "unwound "};
    log += std::to_string(co_await slow_answer(loop)) + " ";
}

Task<> read_all(Channel<int> &channel, std::string &log)
{
    while (auto item = co_await channel.next())
        log += std::to_string(*item) + " ";
    log += "end";
}

Task<> fail_later(Loop &loop)
{
    co_await sleep_for(loop, seconds(1));
    throw Error(EIO, "broken");
}

} // namespace

TEST(Task, VirtualTimeJumpsToTheNextTimer)
{
    SimClock clock;
    SimLoop loop(clock);
    Gate gate(loop);
    std::string log;
    gate.spawn(ask(loop, log));
    loop.run();
    EXPECT_EQ(log, "42 unwound ");
    EXPECT_EQ(to_seconds(clock.now()), 10.0);
    EXPECT_EQ(gate.size(), 0u);
}

TEST(SimLoop, TimersOfOneInstantFireBeforeWhatTheySetGoing)
{
    SimClock clock;
    SimLoop loop(clock);
    std::string log;
    auto timer = [&](std::string name, Duration when) {
        loop.after(when, [&, name] {
            log += name + " ";
            loop.post([&, name] { log += name + "-after "; });
            loop.after(Duration::zero(), [&, name] { log += name + "-later "; });
        });
    };
    timer("a", std::chrono::seconds(1));
    timer("c", std::chrono::seconds(2));
    timer("b", std::chrono::seconds(1));
    loop.run_until_time(std::chrono::seconds(1));
    EXPECT_EQ(log, "a b a-after b-after a-later b-later ");
    loop.run();
    EXPECT_EQ(log, "a b a-after b-after a-later b-later c c-after c-later ");
}

TEST(Gate, ClosingUnwindsWhatIsSuspendedAndStartsNothingNew)
{
    SimClock clock;
    SimLoop loop(clock);
    Gate gate(loop);
    std::string log;
    gate.spawn(ask(loop, log));
    gate.close();
    EXPECT_EQ(gate.spawn(ask(loop, log)), 0u);
    loop.run();
    EXPECT_EQ(log, "unwound ");
    EXPECT_EQ(clock.now(), Duration::zero()); // the sleep was forgotten with its sleeper
}

TEST(Gate, AnErrorThatEscapesATaskIsHandedOver)
{
    SimClock clock;
    SimLoop loop(clock);
    std::string log;
    Gate gate(loop, [&](const Error &error) { log = error.text(); });
    gate.spawn(fail_later(loop));
    loop.run();
    EXPECT_EQ(log, "broken");
}

TEST(Channel, AReaderDrainsWhatIsThereBeforeTheEnd)
{
    SimClock clock;
    SimLoop loop(clock);
    std::string log;
    Channel<int> channel(loop);
    Gate gate(loop);
    channel.push(1);
    gate.spawn(read_all(channel, log));
    loop.post([&] {
        channel.push(2);
        channel.close();
        channel.push(3);
    });
    loop.run();
    EXPECT_EQ(log, "1 2 end");
}

TEST(EvLoop, PostedFromAnotherThreadItRunsOnTheLoopsOwn)
{
    EvLoop loop;
    std::thread::id ran_on;
    std::jthread other([&] {
        loop.post_from_any_thread([&] {
            ran_on = std::this_thread::get_id();
            loop.stop();
        });
    });
    loop.run();
    EXPECT_EQ(ran_on, std::this_thread::get_id());
}

TEST(EvLoop, TimersFireInOrderAndCancelledOnesNever)
{
    EvLoop loop;
    std::string log;
    Timer second(loop, seconds(0.002), [&] {
        log += "b";
        loop.stop();
    });
    Timer first(loop, seconds(0.001), [&] { log += "a"; });
    Timer never(loop, seconds(0.0015), [&] { log += "x"; });
    never.cancel();
    loop.run();
    EXPECT_EQ(log, "ab");
}

// Nor do slices of work that go on and on: what came in between gets its turn after each.
TEST(EvLoop, WorkInTheBackgroundDelaysDescriptorsByOneSlice)
{
    EvLoop loop;
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    int slices = 0;
    std::function<void()> slice = [&] {
        if (slices++ == 0) {
            ASSERT_EQ(::write(ends[1], "x", 1), 1);
        }
        loop.post_background(slice);
    };
    auto watch = loop.watch_fd(ends[0], true, false, [&](bool, bool) { loop.stop(); });
    loop.post_background(slice);
    loop.run();
    EXPECT_LE(slices, 2);
    watch.reset();
    ::close(ends[0]);
    ::close(ends[1]);
}

TEST(Random, AUuidHasItsFormAndOneSeedItsSequence)
{
    Random a(1), b(1);
    auto uuid = a.uuid();
    EXPECT_EQ(uuid.size(), 36u);
    EXPECT_EQ(uuid[14], '4');
    EXPECT_EQ(uuid, b.uuid());
    EXPECT_NE(uuid, a.uuid());
}
