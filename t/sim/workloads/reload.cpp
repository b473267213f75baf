// Modules are unloaded and loaded again while jobs run.
#include "common/job/job_state.hpp"
#include "common/job/resource_set.hpp"
#include "sim/faults.hpp"
#include "sim/jobs.hpp"
#include "sim/workload.hpp"

namespace flux::sim {

namespace {

struct Reloads {
    World &world;
    std::set<JobId> acknowledged;
    size_t submitters = 0;
    bool exec_goes = false; // job-exec is among those that are reloaded
    bool over = false;
};

Task<> submitter(Reloads &state, uint32_t rank, size_t count)
{
    auto &world = state.world;
    auto client = world.connect(rank);
    for (size_t done = 0, failures = 0; done < count;) {
        try {
            auto id = co_await submit(client, random_plan(world));
            world.expect(state.acknowledged.insert(id).second, "job id {} was given twice", id);
            done++;
        } catch (const Error &error) {
            if (!is_transient(error) || ++failures > most_tries)
                throw;
        }
        co_await world.sleep(seconds(world.random().unit() * 0.3));
    }
    state.submitters--;
}

// Any module that stands on others may go and come back under them.
Task<> reloader(Reloads &state, std::vector<std::string> modules)
{
    auto &world = state.world;
    auto &random = world.random();
    while (!state.over) {
        co_await world.sleep(seconds(random.unit() * 2));
        auto &name = modules[random.below(modules.size())];
        bool anywhere = name == "job-ingest" || name == "job-info" || name == "job-exec";
        auto client = world.connect(anywhere ? uint32_t(random.below(world.size())) : 0);
        co_await remove_module(client, name);
        if (random.chance(0.5))
            co_await world.sleep(seconds(random.unit()));
        co_await load_module(client, name);
    }
}

// A job that no execution service had begun waits for the next one; one that runs does so as long as its
// execution service is there.
Task<> check_launches(Reloads &state)
{
    auto client = state.world.connect(0);
    for (auto id : state.acknowledged)
        for (const auto &event : co_await follow_job(client, id)) {
            auto note = event.context.value<std::string>("note", "");
            bool wrong =
                note.starts_with("the execution service failed") || note.starts_with("its resources cannot");
            if (!state.exec_goes)
                wrong = wrong || note.ends_with("its tasks are lost") ||
                        note.starts_with("the execution service was");
            if (event.name == "exception" && wrong)
                state.world.violated(fmt::format("job {}: {}", id, note));
        }
}

// Who asks the job list hears what is on record.
Task<> check_list(Reloads &state)
{
    auto client = state.world.connect(0);
    Json args {{"max_entries", 0}, {"attrs", Json::array().append("state").append("waitstatus")}};
    auto answer = co_await client->handle().rpc("job-list.list", args);
    std::map<JobId, Json> listed;
    for (auto job : answer.json()["jobs"].elements())
        listed.emplace(JobId(job.get<uint64_t>("id")), job);
    for (auto id : state.acknowledged) {
        if (!listed.contains(id)) {
            state.world.violated(fmt::format("job {} is not listed", id));
            continue;
        }
        const Json &job = listed.at(id);
        state.world.expect(job.get<uint32_t>("state") == bit(JobState::inactive), "job {} is listed as {}",
                           id, job.dump());
        for (const auto &event : co_await follow_job(client, id))
            if (event.name == "finish")
                state.world.expect(job.value<int>("waitstatus", -1) == event.context.get<int>("status"),
                                   "job {} finished with {}, listed is {}", id, event.context.dump(),
                                   job.dump());
    }
}

// The scheduler hears of what happens to the resources, whichever resource module tells it.
Task<> check_scheduler_hears(World &world, ClientPtr client)
{
    Json target {{"targets", "0"}, {"reason", "to be heard of"}};
    co_await client->handle().rpc("resource.drain", target);
    co_await world.sleep(10s);
    auto status = co_await client->handle().rpc("sched.resource-status");
    auto down = value_or_throw(ResourceSet::from_json(status.json().get<Json>("down")));
    world.expect(down.ranks() == Idset {0}, "rank 0 is drained, but for the scheduler {} is down",
                 down.empty() ? "nothing" : down.summary());
    co_await client->handle().rpc("resource.undrain", target);
}

void run_with(World &world, std::vector<std::string> modules)
{
    auto &random = world.random();
    world.boot();
    Reloads state {world};
    state.exec_goes = std::ranges::find(modules, "job-exec") != modules.end();
    state.submitters = 1 + random.below(4);
    for (size_t n = state.submitters; n > 0; n--)
        world.spawn("submitter",
                    submitter(state, uint32_t(random.below(world.size())), 1 + random.below(25)));
    world.spawn("reloader", reloader(state, std::move(modules)));
    let_submit(world, state.submitters, state.over, 10);
    world.finish_clients(patience);
    auto client = world.connect(0);
    world.run("drain", drain(world, client), patience);
    world.run("check", check_jobs(world, client, state.acknowledged), patience);
    world.run("check launches", check_launches(state), patience);
    world.run("check list", check_list(state), patience);
    world.run("check of the scheduler", check_scheduler_hears(world, client), patience);
    client.reset();
    world.shutdown();
}

// One whose first shells are done, and wait for what comes, while its last still runs.
Task<> submit_lopsided(World &world, std::set<JobId> &acknowledged)
{
    auto client = world.connect(0);
    JobPlan plan;
    plan.nnodes = plan.ntasks = world.size();
    plan.command = {"last", "2"};
    acknowledged.insert(co_await submit(client, plan));
    co_await world.sleep(seconds(0.2 + world.random().unit()));
}

} // namespace

// Jobs go on while the modules around the job manager are replaced.
SIM_WORKLOAD(reload, 1, 8)
{
    World world(run);
    run_with(world, {"sched", "resource", "job-ingest", "job-info", "job-list"});
}

// The job manager itself is replaced: what runs goes on, what waits runs afterwards, and nothing is given
// twice.
SIM_WORKLOAD(manager_reload, 1, 8)
{
    World world(run);
    std::vector<std::string> modules {"job-manager"};
    for (const char *other : {"sched", "resource", "job-list", "job-info", "job-exec"})
        if (world.random().chance(0.2))
            modules.push_back(other);
    run_with(world, std::move(modules));
}

// An execution service that goes does not wait for shells that could take another job.
SIM_WORKLOAD(exec_leaves, 2, 8)
{
    constexpr Duration shells_end_within = 9s; // an idle one goes by itself after ten
    World world(run);
    world.boot();
    std::set<JobId> acknowledged;
    world.run("submit", submit_lopsided(world, acknowledged), patience);
    auto client = world.connect(uint32_t(world.random().below(world.size())));
    auto before = world.loop().now();
    world.run("remove", remove_module(client, "job-exec"), patience);
    auto taken = world.loop().now() - before;
    world.expect(taken < shells_end_within, "job-exec took {} s to go",
                 std::chrono::duration<double>(taken).count());
    world.run("load", load_module(client, "job-exec"), patience);
    client.reset();
    drain_and_check(world, acknowledged);
    world.shutdown();
}

// Those that run while their execution service goes, on whatever rank, end; others wait.
SIM_WORKLOAD(exec_reload, 1, 12)
{
    World world(run);
    run_with(world, {"job-exec"});
}

} // namespace flux::sim
