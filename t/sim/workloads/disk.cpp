// The disk under the store fills up and is emptied again: what was acknowledged stays, what was refused is
// refused whole.
#include "common/kvs/lookup.hpp"
#include "sim/faults.hpp"
#include "sim/jobs.hpp"
#include "sim/workload.hpp"

namespace flux::sim {

namespace {

struct DiskUse {
    World &world;
    std::map<std::string, uint64_t> keys;
    std::set<JobId> jobs;
    bool over = false;
};

bool is_disk_error(const Error &error)
{
    return error.errnum() == ENOSPC || error.errnum() == EIO;
}

// Each value is one more than the one acknowledged before; a refused one must not be seen.
Task<> counter(DiskUse &state, uint32_t rank, size_t number)
{
    auto &world = state.world;
    auto client = world.connect(rank);
    auto key = fmt::format("count.{}", number);
    while (!state.over) {
        auto next = state.keys[key] + 1;
        bool refused = false;
        try {
            kvs::Txn txn;
            txn.put(key, fmt::format("{}", next)).append("log." + key, fmt::format("{}\n", next));
            co_await kvs::commit(client->handle(), std::move(txn));
            state.keys[key] = next;
        } catch (const Error &error) {
            if (!is_disk_error(error))
                throw;
            refused = true;
        }
        auto value = co_await kvs::try_get(client->handle(), key);
        world.expect(value.value_or("0") == fmt::format("{}", state.keys[key]), "{} is {}, {} was {}", key,
                     value.value_or("0"), next, refused ? "refused" : "acknowledged");
        co_await world.sleep(seconds(world.random().unit() * 0.1));
    }
    std::string expected;
    for (uint64_t n = 1; n <= state.keys[key]; n++)
        expected += fmt::format("{}\n", n);
    auto log = co_await kvs::try_get(client->handle(), "log." + key);
    world.expect(log.value_or("") == expected, "log.{} has more or less than what was acknowledged", key);
}

Task<> submitter(DiskUse &state, uint32_t rank)
{
    auto &world = state.world;
    auto client = world.connect(rank);
    while (!state.over) {
        try {
            auto id = co_await submit(client, random_plan(world));
            state.jobs.insert(id);
        } catch (const Error &error) {
            if (!is_disk_error(error))
                throw;
        }
        co_await world.sleep(seconds(world.random().unit()));
    }
}

} // namespace

SIM_WORKLOAD(disk_full, 1, 6)
{
    World world(run);
    auto &random = world.random();
    world.boot();
    DiskUse state {world};
    world.spawn("disk", fill_disk(world, state.over));
    for (size_t n = 0, count = 1 + random.below(3); n < count; n++)
        world.spawn("counter", counter(state, uint32_t(random.below(world.size())), n));
    for (size_t n = random.below(3); n > 0; n--)
        world.spawn("submitter", submitter(state, uint32_t(random.below(world.size()))));
    world.run_for(seconds(random.unit() * 60));
    state.over = true;
    world.finish_clients(patience);
    world.stores().failure = 0;
    drain_and_check(world, state.jobs);
    // What the disk has is what was acknowledged: also after a crash.
    world.crash();
    world.boot();
    auto client = world.connect(0);
    world.run("check again", check_jobs(world, client, state.jobs), patience);
    client.reset();
    world.shutdown();
}

} // namespace flux::sim
