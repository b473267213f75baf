// Jobs through their life, without any fault of the machine: many clients submit, others meddle.
#include <csignal>

#include "sim/jobs.hpp"
#include "sim/workload.hpp"

namespace flux::sim {

namespace {

struct Jobs {
    World &world;
    std::set<JobId> acknowledged;
    size_t submitters = 0;
    std::vector<JobId> ids() const { return {acknowledged.begin(), acknowledged.end()}; }
};

// Submits a few jobs, some at once, and follows each to its end.
Task<> follow_to_the_end(Jobs &jobs, ClientPtr client, JobId id, JobPlan plan)
{
    auto events = co_await follow_job(client, id);
    if (auto wrong = check_eventlog(events))
        jobs.world.violated(fmt::format("job {} ({}): its watcher saw: {}", id, plan.command[0], *wrong));
}

Task<> submitter(Jobs &jobs, uint32_t rank, size_t count)
{
    auto &world = jobs.world;
    auto client = world.connect(rank);
    for (size_t n = 0; n < count; n++) {
        auto plan = random_plan(world);
        auto id = co_await submit(client, plan);
        world.expect(jobs.acknowledged.insert(id).second, "job id {} was given twice", id);
        if (world.random().chance(0.5))
            world.spawn(fmt::format("watcher of job {} ({})", id, plan.command[0]),
                        follow_to_the_end(jobs, client, id, plan));
        if (world.random().chance(0.3))
            co_await world.sleep(seconds(world.random().unit()));
    }
    jobs.submitters--;
}

// What people do to jobs: any of it may be refused because the job is past it.
Task<> meddler(Jobs &jobs, uint32_t rank)
{
    auto &world = jobs.world;
    auto &random = world.random();
    auto client = world.connect(rank);
    while (jobs.submitters > 0) {
        co_await world.sleep(seconds(random.unit() * 0.5));
        auto ids = jobs.ids();
        if (ids.empty())
            continue;
        auto id = ids[random.below(ids.size())].value();
        try {
            switch (random.below(5)) {
            case 0:
                co_await client->handle().rpc(
                    "job-manager.raise",
                    Json::make("id", id, "type", "cancel", "severity", 0, "note", "no more"));
                break;
            case 1:
                co_await client->handle().rpc(
                    "job-manager.raise",
                    Json::make("id", id, "type", "test", "severity", 1 + random.below(7)));
                break;
            case 2:
                co_await client->handle().rpc("job-manager.urgency",
                                              Json::make("id", id, "urgency", random.below(32)));
                break;
            case 3:
                co_await client->handle().rpc(
                    "job-manager.kill",
                    Json::make("id", id, "signum", random.chance(0.5) ? SIGTERM : SIGKILL));
                break;
            case 4:
                co_await client->handle().rpc(
                    "job-manager.memo", Json::make("id", id, "memo", Json::make("key", random.below(9))));
                break;
            }
        } catch (const Error &error) {
            if (error.errnum() != ENOENT && error.errnum() != EINVAL)
                throw;
        }
    }
}

// When everything is submitted: until no job is left, what meddlers have held is released.
Task<> drain(Jobs &jobs)
{
    while (jobs.submitters > 0)
        co_await jobs.world.sleep(1s);
    co_await drain(jobs.world, jobs.world.connect(0), HeldJobs::release);
}

} // namespace

// Every job acknowledged reaches inactive exactly once, in the order of RFC 21; no core is given twice;
// nothing is left.
SIM_WORKLOAD(jobs, 1, 12)
{
    World world(run, {.cores = 2 + uint32_t(run.seed % 5)});
    world.boot();
    Jobs jobs {world};
    jobs.submitters = 1 + world.random().below(5);
    for (size_t n = 0; n < jobs.submitters; n++)
        world.spawn(
            fmt::format("submitter {}", n),
            submitter(jobs, uint32_t(world.random().below(world.size())), 1 + world.random().below(30)));
    for (uint64_t n = world.random().below(3); n > 0; n--)
        world.spawn("meddler", meddler(jobs, uint32_t(world.random().below(world.size()))));
    world.run("drain", drain(jobs), patience);
    world.finish_clients(patience);
    world.run("check", check_jobs(world, world.connect(0), jobs.acknowledged), patience);
    world.shutdown();
}

} // namespace flux::sim
