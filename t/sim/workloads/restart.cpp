// The instance ends, in order or by a crash of the machine with the store, and starts again from its
// statedir.
#include "common/kvs/lookup.hpp"
#include "sim/faults.hpp"
#include "sim/jobs.hpp"
#include "sim/workload.hpp"

namespace flux::sim {

namespace {

struct RestartLedger {
    World &world;
    std::set<JobId> jobs;                 // acknowledged
    std::map<std::string, uint64_t> keys; // key -> the value acknowledged last
    std::map<JobId, uint64_t> memos;      // acknowledged, on a job
    uint64_t next_memo = 1;
    bool over = false;
};

// A note on a job, as long as it is active.
Task<> leave_memo(RestartLedger &ledger, ClientPtr client, JobId id)
{
    auto number = ledger.next_memo++;
    Json memo {{"mark", number}};
    Json request {{"id", id.value()}, {"memo", memo}};
    try {
        co_await client->handle().rpc("job-manager.memo", request);
    } catch (const Error &error) {
        if (is_transient(error))
            throw;
        co_return; // it has ended
    }
    ledger.memos[id] = number;
}

Task<> job_client(RestartLedger &ledger, uint32_t rank)
{
    auto &world = ledger.world;
    try {
        auto client = world.connect(rank);
        while (!ledger.over) {
            auto id = co_await submit(client, random_plan(world));
            world.expect(ledger.jobs.insert(id).second, "job id {} was given twice", id);
            if (world.random().chance(0.2))
                co_await leave_memo(ledger, client, id);
            co_await world.sleep(seconds(world.random().unit() * 0.2));
        }
    } catch (const Error &error) {
        if (!is_transient(error))
            throw; // the end of the instance is none
    }
}

Task<> kvs_client(RestartLedger &ledger, uint32_t rank, size_t number)
{
    auto &world = ledger.world;
    auto key = fmt::format("count.{}", number);
    try {
        auto client = world.connect(rank);
        while (!ledger.over) {
            auto next = ledger.keys[key] + 1;
            kvs::Txn txn;
            txn.put(key, fmt::format("{}", next)).append("log." + key, fmt::format("{}\n", next));
            co_await kvs::commit(client->handle(), std::move(txn));
            ledger.keys[key] = next;
            co_await world.sleep(seconds(world.random().unit() * 0.05));
        }
    } catch (const Error &error) {
        if (!is_transient(error))
            throw;
    }
}

// What was acknowledged is there; one commit more may be, if it was under way.
Task<> check_keys(RestartLedger &ledger, ClientPtr client)
{
    for (auto &[key, acknowledged] : ledger.keys) {
        auto text = co_await kvs::try_get(client->handle(), key);
        uint64_t value = text ? std::stoull(*text) : 0;
        ledger.world.expect(value == acknowledged || value == acknowledged + 1,
                            "{} was acknowledged as {} and is {} after the restart", key, acknowledged,
                            value);
        std::string expected;
        for (uint64_t n = 1; n <= value; n++)
            expected += fmt::format("{}\n", n);
        auto log = co_await kvs::try_get(client->handle(), "log." + key);
        ledger.world.expect(log.value_or("") == expected, "log.{} does not tell how {} became {}", key, key,
                            value);
        acknowledged = value;
    }
}

Task<> check_memos(RestartLedger &ledger, ClientPtr client)
{
    for (auto [id, number] : ledger.memos) {
        bool found = false;
        for (const auto &event : co_await follow_job(client, id))
            found = found || (event.name == "memo" && event.context.value<uint64_t>("mark", 0) == number);
        ledger.world.expect(found, "memo {} of job {} was acknowledged and is lost", number, id);
    }
}

void live_a_while(World &world, RestartLedger &ledger)
{
    auto &random = world.random();
    ledger.over = false;
    for (size_t n = 1 + random.below(4); n > 0; n--)
        world.spawn("job client", job_client(ledger, uint32_t(random.below(world.size()))));
    for (size_t n = 0, count = random.below(4); n < count; n++)
        world.spawn("KVS client", kvs_client(ledger, uint32_t(random.below(world.size())), n));
    world.run_for(seconds(random.unit() * random.unit() * 10));
}

void finish_and_check(World &world, RestartLedger &ledger)
{
    auto client = world.connect(0);
    world.run("drain", drain(world, client), patience);
    world.run("check jobs", check_jobs(world, client, ledger.jobs), patience);
    world.run("check keys", check_keys(ledger, client), patience);
    world.run("check memos", check_memos(ledger, client), patience);
}

} // namespace

// A crash at any moment: after the restart everything acknowledged is there, and every job comes to its end.
SIM_WORKLOAD(crash, 1, 12)
{
    World world(run);
    RestartLedger ledger {world};
    for (size_t lives = 1 + world.random().below(4); lives > 0; lives--) {
        world.boot();
        world.run("check keys", check_keys(ledger, world.connect(0)), patience);
        live_a_while(world, ledger);
        world.crash();
        ledger.over = true;
        world.finish_clients(patience);
    }
    world.boot();
    finish_and_check(world, ledger);
    world.shutdown();
}

// Only the root is killed; the others notice, end, and come back with it.
SIM_WORKLOAD(root_loss, 1, 20)
{
    World world(run);
    RestartLedger ledger {world};
    world.boot();
    for (size_t losses = 1 + world.random().below(4); losses > 0; losses--) {
        live_a_while(world, ledger);
        world.kill(0);
        ledger.over = true;
        world.run_for(seconds(world.random().unit()));
        heal(world);
        world.finish_clients(patience);
        world.run("check keys", check_keys(ledger, world.connect(0)), patience);
    }
    finish_and_check(world, ledger);
    world.shutdown();
}

// Orderly ends: pending jobs wait for the next life.
SIM_WORKLOAD(restart, 1, 12)
{
    World world(run);
    RestartLedger ledger {world};
    for (size_t lives = 1 + world.random().below(4); lives > 0; lives--) {
        world.boot();
        world.run("check keys", check_keys(ledger, world.connect(0)), patience);
        live_a_while(world, ledger);
        ledger.over = world.random().chance(0.5); // clients stop before, or see the instance end under them
        if (ledger.over)
            world.finish_clients(patience);
        world.shutdown();
        ledger.over = true;
        world.finish_clients(patience);
    }
    world.boot();
    finish_and_check(world, ledger);
    world.shutdown();
}

} // namespace flux::sim
