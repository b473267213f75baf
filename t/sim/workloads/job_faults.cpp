// Jobs while brokers die and come back, links break and stall.
#include "sim/faults.hpp"
#include "sim/jobs.hpp"
#include "sim/workload.hpp"

namespace flux::sim {

namespace {

struct FaultyJobs {
    World &world;
    std::set<JobId> acknowledged;
    size_t submitters = 0;
    bool over = false;
};

uint32_t anyone(World &world)
{
    return uint32_t(world.random().below(world.size()));
}

Task<> submitter(FaultyJobs &state, size_t count)
{
    co_await submit_stubbornly(state.world, state.acknowledged, count, random_plan);
    state.submitters--;
}

// Follows a job that is acknowledged, from wherever it can; what it sees is a whole log, in order.
Task<> stubborn_watcher(FaultyJobs &state)
{
    auto &world = state.world;
    int failures = 0;
    while (!state.over) {
        co_await world.sleep(seconds(world.random().unit() * 3));
        if (state.acknowledged.empty())
            continue;
        auto at = state.acknowledged.begin();
        std::advance(at, long(world.random().below(state.acknowledged.size())));
        JobId id = *at;
        try {
            auto events = co_await follow_job(world.connect(anyone(world)), id);
            if (auto wrong = check_eventlog(events))
                world.violated(fmt::format("job {}: its watcher saw: {}", id, *wrong));
        } catch (const Error &error) {
            if (!is_transient(error) || ++failures > most_tries)
                throw;
        }
    }
}

// Pings between any two ranks: each is answered, with an answer or an error.
Task<> pinger(FaultyJobs &state)
{
    auto &world = state.world;
    while (!state.over) {
        co_await world.sleep(seconds(world.random().unit() * 0.3));
        try {
            auto client = world.connect(anyone(world));
            RpcOptions to {.nodeid = anyone(world)};
            auto topic = world.random().chance(0.5) ? "broker.ping" : "job-exec.ping";
            auto answer = co_await client->handle().rpc(topic, Json::make("seq", 1), to);
            world.expect(answer.json().get<uint32_t>("rank") == to.nodeid,
                         "a ping of rank {} came from rank {}", to.nodeid,
                         answer.json().get<uint32_t>("rank"));
        } catch (const Error &error) {
            if (!is_transient(error))
                throw;
        }
    }
}

void run_jobs_with(World &world, FaultyJobs &state)
{
    auto &random = world.random();
    state.submitters = 1 + random.below(4);
    for (size_t n = state.submitters; n > 0; n--)
        world.spawn("submitter", submitter(state, 1 + random.below(20)));
    for (size_t n = random.below(3); n > 0; n--)
        world.spawn("watcher", stubborn_watcher(state));
    world.spawn("pinger", pinger(state));
    let_submit(world, state.submitters, state.over, 10);
    heal(world);
    auto client = world.connect(0);
    world.run("drain", drain(world, client), patience);
    world.finish_clients(patience);
    world.run("check", check_jobs(world, client, state.acknowledged), patience);
    client.reset();
    world.shutdown();
}

} // namespace

// Every job acknowledged reaches inactive exactly once, whichever brokers die and come back.
SIM_WORKLOAD(broker_loss, 2, 30)
{
    World world(run);
    world.boot();
    FaultyJobs state {world};
    world.spawn("killer", kill_brokers(world, state.over));
    world.spawn("restarter", restart_ended(world, state.over));
    run_jobs_with(world, state);
}

// The same when it is the links that break.
SIM_WORKLOAD(link_loss, 2, 30)
{
    World world(run);
    world.boot();
    FaultyJobs state {world};
    world.spawn("breaker", break_links(world, state.over));
    world.spawn("restarter", restart_ended(world, state.over));
    run_jobs_with(world, state);
}

// Slow and stalling links change nothing but the time.
SIM_WORKLOAD(link_delay, 2, 30)
{
    World world(run, {.fanout = 1 + uint32_t(run.seed % 4)});
    world.network().delay = {10us, 300ms, 0.02, 5s};
    world.boot();
    FaultyJobs state {world};
    world.spawn("staller", stall_links(world, state.over));
    run_jobs_with(world, state);
}

} // namespace flux::sim
