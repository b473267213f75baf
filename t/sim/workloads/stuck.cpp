// Shells that hang: what a job needs to come to its end all the same.
#include "sim/jobs.hpp"
#include "sim/workload.hpp"

namespace flux::sim {

namespace {

// A job on several nodes, of which all but the first hang, is canceled.
Task<> cancel_one(World &world, ClientPtr client, std::set<JobId> &acknowledged)
{
    JobPlan plan;
    plan.nnodes = plan.ntasks = 2 + world.random().below(world.size() - 1);
    plan.command = {"hang", "1000"};
    auto id = co_await submit(client, plan);
    acknowledged.insert(id);
    co_await world.sleep(seconds(world.random().unit() * 4));
    Json args {{"id", id.value()}, {"type", "cancel"}, {"severity", 0}};
    co_await client->handle().rpc("job-manager.raise", args);
    auto events = co_await follow_job(client, id);
    if (auto wrong = check_eventlog(events))
        world.violated(fmt::format("job {}: {}", id, *wrong));
}

} // namespace

// Some shells of a job have ended, others are killed.
SIM_WORKLOAD(stuck_shells, 2, 12)
{
    World world(run);
    world.boot();
    std::set<JobId> acknowledged;
    auto client = world.connect(uint32_t(world.random().below(world.size())));
    world.run("cancel", cancel_one(world, client, acknowledged), patience);
    client = world.connect(0);
    world.run("check", check_jobs(world, client, acknowledged), patience);
    client.reset();
    world.shutdown();
}

} // namespace flux::sim
