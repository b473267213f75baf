// KVS transactions with watchers on many ranks.
#include "common/kvs/lookup.hpp"
#include "sim/jobs.hpp"
#include "sim/workload.hpp"

namespace flux::sim {

namespace {

// What was acknowledged, to be compared with what is there.
struct KvsLedger {
    World &world;
    std::map<std::string, uint64_t> values; // key -> the last value acknowledged
    std::map<std::string, std::string> logs;
    int64_t newest_version = 0;
};

// The only writer of its keys: one counts up, one grows.
Task<> writer(KvsLedger &ledger, uint32_t rank, size_t number, size_t count)
{
    auto &world = ledger.world;
    auto client = world.connect(rank);
    auto counter = fmt::format("count.{}", number), log = fmt::format("log.{}", number);
    for (uint64_t n = 1; n <= count; n++) {
        kvs::Txn txn;
        auto line = fmt::format("{}\n", n);
        txn.put(counter, fmt::format("{}", n)).append(log, line);
        if (world.random().chance(0.2))
            txn.mkdir(fmt::format("dir.{}.{}", number, n));
        auto root = co_await kvs::commit(client->handle(), std::move(txn));
        ledger.values[counter] = n;
        ledger.logs[log] += line;
        ledger.newest_version = std::max(ledger.newest_version, root.rootseq);
        // What is acknowledged is there at once on the rank that asked, elsewhere for who waits for its version.
        if (world.random().chance(0.3)) {
            auto reader = world.connect(
                world.random().chance(0.5) ? rank : uint32_t(world.random().below(world.size())));
            if (reader->rank() != rank)
                co_await reader->handle().rpc(
                    "kvs.wait-version", Json::make("namespace", "primary", "rootseq", root.rootseq));
            auto value = co_await kvs::get(reader->handle(), counter);
            world.expect(value == fmt::format("{}", n), "{} was acknowledged as {}, rank {} reads {}",
                         counter, n, reader->rank(), value);
        }
        if (world.random().chance(0.3))
            co_await world.sleep(seconds(world.random().unit() * 0.01));
    }
}

// Sees a counter only grow, up to its last value.
Task<> counter_watcher(World &world, uint32_t rank, size_t number, size_t count)
{
    auto client = world.connect(rank);
    auto key = fmt::format("count.{}", number);
    auto stream = kvs::watch(client->handle(), key, kvs::flag::watch | kvs::flag::waitcreate);
    uint64_t last = 0;
    while (last < count) {
        auto message = co_await stream.next();
        if (!message)
            throw Error(EPROTO, "the watch of {} ended at {} of {}", key, last, count);
        uint64_t value = std::stoull(value_or_throw(treeobj::decode_val(message->json()["val"])));
        world.expect(value >= last, "the watcher of {} on rank {} saw {} after {}", key, rank, value, last);
        last = value;
    }
}

// Sees every line of a log, each once, in order.
Task<> log_watcher(World &world, uint32_t rank, size_t number, size_t count)
{
    auto client = world.connect(rank);
    auto key = fmt::format("log.{}", number);
    auto stream =
        kvs::watch(client->handle(), key, kvs::flag::watch | kvs::flag::waitcreate | kvs::flag::watch_append);
    std::string expected, seen;
    for (uint64_t n = 1; n <= count; n++)
        expected += fmt::format("{}\n", n);
    while (seen.size() < expected.size()) {
        auto message = co_await stream.next();
        if (!message)
            throw Error(EPROTO, "the watch of {} ended early", key);
        seen += value_or_throw(treeobj::decode_val(message->json()["val"]));
    }
    world.expect(seen == expected, "the watcher of {} on rank {} saw {}", key, rank, seen);
}

Task<> version_watcher(World &world, uint32_t rank, int64_t wanted)
{
    auto client = world.connect(rank);
    auto answer = co_await client->handle().rpc("kvs.wait-version",
                                                Json::make("namespace", "primary", "rootseq", wanted));
    auto version = answer.json().get<int64_t>("rootseq");
    world.expect(version >= wanted, "rank {} waited for version {} and was told {}", rank, wanted, version);
}

Task<> check_kvs(KvsLedger &ledger)
{
    for (uint32_t rank = 0; rank < ledger.world.size(); rank++) {
        if (!ledger.world.is_up(rank))
            continue;
        auto client = ledger.world.connect(rank);
        co_await client->handle().rpc(
            "kvs.wait-version", Json::make("namespace", "primary", "rootseq", ledger.newest_version));
        for (const auto &[key, value] : ledger.values) {
            auto found = co_await kvs::get(client->handle(), key);
            ledger.world.expect(found == fmt::format("{}", value),
                                "{} was acknowledged as {}, rank {} reads {}", key, value, rank, found);
        }
        for (const auto &[key, text] : ledger.logs) {
            auto found = co_await kvs::get(client->handle(), key);
            ledger.world.expect(found == text, "{} is not what was appended", key);
        }
    }
}

Task<> check_no_watchers(World &world, ClientPtr client)
{
    auto watching = co_await client->handle().rpc("kvs-watch.stats-get");
    world.expect(watching.json().get<int>("watchers") == 0, "{} watchers are left",
                 watching.json().get<int>("watchers"));
    auto stats = co_await client->handle().rpc("kvs.stats-get");
    auto primary = stats.json().at("namespace", "primary");
    world.expect(primary.get<int>("#readytransactions") == 0, "transactions are left");
}

} // namespace

// What is acknowledged is there for everybody; watchers see their key grow, and every byte of a log once and
// in order.
SIM_WORKLOAD(kvs, 1, 20)
{
    World world(run, {.durable = run.seed % 2 == 0});
    auto &random = world.random();
    world.boot();
    auto anyone = [&] {
        return uint32_t(random.below(world.size()));
    };
    KvsLedger ledger {world};
    size_t writers = 1 + random.below(6);
    for (size_t n = 0; n < writers; n++) {
        auto count = 1 + random.below(40);
        world.spawn(fmt::format("writer {}", n), writer(ledger, anyone(), n, count));
        for (auto watchers = random.below(5); watchers > 0; watchers--) {
            auto rank = anyone();
            world.spawn(fmt::format("counter watcher of {} on {}", n, rank),
                        counter_watcher(world, rank, n, count));
        }
        for (auto watchers = random.below(3); watchers > 0; watchers--) {
            auto rank = anyone();
            world.spawn(fmt::format("log watcher of {} on {}", n, rank), log_watcher(world, rank, n, count));
        }
    }
    world.spawn("version watcher", version_watcher(world, anyone(), 1));
    world.finish_clients(patience);
    world.run("check", check_kvs(ledger), patience);
    world.run_for(1s); // what was watched is told to be watched no more
    world.run("check watchers", check_no_watchers(world, world.connect(0)), patience);
    world.shutdown();
}

} // namespace flux::sim
