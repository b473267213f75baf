// Events: whoever listens hears every one once, in the order of their sequence numbers, on every rank alike.
#include "common/base/encoding.hpp"
#include "sim/jobs.hpp"
#include "sim/workload.hpp"

namespace flux::sim {

namespace {

struct Broadcasts {
    World &world;
    uint64_t published = 0;  // acknowledged
    uint64_t expected = 0;   // in all
    size_t listening = 0;
};

Task<> publisher(Broadcasts &state, uint32_t rank, uint32_t number, uint64_t count)
{
    auto &world = state.world;
    auto client = world.connect(rank);
    uint32_t last = 0;
    for (uint64_t n = 1; n <= count; n++) {
        Json args {{"topic", fmt::format("sim.{}", number)}, {"flags", 0}, {"payload", ""}};
        Json payload {{"from", number}, {"n", n}};
        if (world.random().chance(0.5)) {
            client->handle().publish(fmt::format("sim.{}", number), payload);
        } else {
            // Acknowledged with its sequence number.
            args.set("payload", Json(base64_encode(payload.dump() + std::string(1, '\0'))));
            auto answer = co_await client->handle().rpc("event.publish", args);
            auto sequence = answer.json().get<uint32_t>("seq");
            world.expect(sequence > last, "an event was published as {} after {}", sequence, last);
            last = sequence;
        }
        state.published++;
        if (world.random().chance(0.3))
            co_await world.sleep(seconds(world.random().unit() * 0.01));
    }
}

Task<> listener(Broadcasts &state, uint32_t rank)
{
    auto &world = state.world;
    auto client = world.connect(rank);
    auto events = client->handle().subscribe("sim");
    co_await client->handle().rpc("broker.ping", Json::object()); // the subscription has arrived before
    state.listening++;
    std::map<uint32_t, uint64_t> seen;
    uint32_t last = 0;
    for (uint64_t n = 0; n < state.expected; n++) {
        auto event = co_await events->next();
        if (!event)
            throw Error(EPROTO, "the events ended");
        world.expect(event->sequence > last, "rank {}: event {} came after {}", rank, event->sequence, last);
        last = event->sequence;
        auto from = event->json().get<uint32_t>("from");
        auto number = event->json().get<uint64_t>("n");
        world.expect(number == seen[from] + 1, "rank {}: event {} of {} came after {}", rank, number, from,
                     seen[from]);
        seen[from] = number;
    }
}

} // namespace

SIM_WORKLOAD(events, 1, 40)
{
    World world(run, {.fanout = 1 + uint32_t(run.seed % 5)});
    auto &random = world.random();
    world.boot();
    Broadcasts state {world};
    std::vector<uint64_t> counts;
    for (size_t n = 1 + random.below(5); n > 0; n--) {
        counts.push_back(random.below(50));
        state.expected += counts.back();
    }
    auto anyone = [&] { return uint32_t(random.below(world.size())); };
    size_t listeners = 1 + random.below(8);
    for (size_t n = 0; n < listeners; n++)
        world.spawn("listener", listener(state, anyone()));
    if (!world.run_until([&] { return state.listening == listeners; }, patience)) {
        world.violated("subscribing never came to an end");
        throw Stuck();
    }
    for (size_t n = 0; n < counts.size(); n++)
        world.spawn("publisher", publisher(state, anyone(), uint32_t(n), counts[n]));
    world.finish_clients(patience);
    world.shutdown();
}

} // namespace flux::sim
