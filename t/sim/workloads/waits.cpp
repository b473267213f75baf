// Waitable jobs: each result is given to one waiter and no second one, whatever becomes of the instance in
// between.
#include "sim/faults.hpp"
#include "sim/jobs.hpp"
#include "sim/workload.hpp"

namespace flux::sim {

namespace {

struct Waits {
    World &world;
    std::map<JobId, bool> jobs; // acknowledged: whether they can be successful
    std::set<JobId> given;
    size_t cut_off = 0; // waits whose answer, if there was one, went with the instance
    bool over = false;
};

Task<> submitter(Waits &waits, uint32_t rank)
{
    auto &world = waits.world;
    try {
        auto client = world.connect(rank);
        while (!waits.over) {
            bool good = world.random().chance(0.7);
            JobPlan plan;
            plan.command = {good ? "true" : "false"};
            plan.waitable = true;
            auto id = co_await submit(client, plan);
            waits.jobs[id] = good;
            co_await world.sleep(seconds(world.random().unit() * 0.2));
        }
    } catch (const Error &error) {
        if (!is_transient(error))
            throw; // the end of the instance is none
    }
}

// One result; false: there is none to wait for, now.
Task<bool> wait_for_one(Waits &waits, ClientPtr client)
{
    auto &world = waits.world;
    Json whichever {{"id", -1}};
    std::optional<Error> failed;
    Json result;
    waits.cut_off++;
    try {
        auto answer = co_await client->handle().rpc("job-manager.wait", whichever);
        result = answer.json();
    } catch (const Error &error) {
        failed = error;
    }
    if (failed && failed->errnum() != ECHILD)
        throw *failed;
    waits.cut_off--;
    if (failed)
        co_return false;
    JobId id(result.get<uint64_t>("id"));
    world.expect(waits.given.insert(id).second, "the result of job {} was given twice", id);
    if (auto job = waits.jobs.find(id); job != waits.jobs.end() && result.get<bool>("success"))
        world.expect(job->second, "job {} failed, but its waiter was told: {}", id, result.dump());
    co_return true;
}

Task<> waiter(Waits &waits, uint32_t rank)
{
    auto &world = waits.world;
    try {
        auto client = world.connect(rank);
        while (!waits.over) {
            co_await wait_for_one(waits, client);
            co_await world.sleep(seconds(world.random().unit() * 0.3));
        }
    } catch (const Error &error) {
        if (!is_transient(error))
            throw;
    }
}

// Those that are left, then the account: nothing is missing but what may have been on its way when the
// instance ended.
Task<> wait_for_the_rest(Waits &waits, ClientPtr client)
{
    auto &world = waits.world;
    for (bool more = true; more;)
        more = co_await wait_for_one(waits, client);
    size_t missing = 0;
    for (auto [id, good] : waits.jobs)
        missing += !waits.given.contains(id);
    world.expect(missing <= waits.cut_off,
                 "{} results of {} waitable jobs are lost, but only {} waits were cut off", missing,
                 waits.jobs.size(), waits.cut_off);
}

} // namespace

SIM_WORKLOAD(waits, 1, 8)
{
    World world(run);
    auto &random = world.random();
    Waits waits {world};
    for (size_t lives = 1 + random.below(4); lives > 0; lives--) {
        world.boot();
        waits.over = false;
        auto anyone = [&] {
            return uint32_t(random.below(world.size()));
        };
        for (size_t n = 1 + random.below(2); n > 0; n--)
            world.spawn("submitter", submitter(waits, anyone()));
        for (size_t n = random.below(3); n > 0; n--)
            world.spawn("waiter", waiter(waits, anyone()));
        world.run_for(seconds(random.unit() * 5));
        if (random.chance(0.5))
            world.crash();
        else
            world.shutdown();
        waits.over = true;
        world.finish_clients(patience);
    }
    world.boot();
    auto client = world.connect(0);
    world.run("drain", drain(world, client), patience);
    world.run("wait for the rest", wait_for_the_rest(waits, client), patience);
    client.reset();
    world.shutdown();
}

} // namespace flux::sim
