// Prologs and epilogs: no task runs before the first has finished, nothing is free before the second has,
// whatever fails, is cancelled or is loaded again in between.
#include <csignal>

#include "common/job/resource_set.hpp"
#include "common/kvs/lookup.hpp"
#include "sim/faults.hpp"
#include "sim/jobs.hpp"
#include "sim/workload.hpp"

namespace flux::sim {

namespace {

constexpr size_t most_jobs = 30;

Json random_table(Random &random)
{
    double failing = random.chance(0.5) ? 0 : random.unit() * 0.2;
    Json table {{"command", Json::array().append("perilog").append(fmt::format("{:.3f}", failing))},
                {"per-rank", random.chance(0.7)},
                {"kill-timeout", 1 + random.unit() * 5}};
    if (random.chance(0.2))
        table.set("timeout", fmt::format("{:.3f}s", 0.2 + random.unit()));
    if (random.chance(0.3))
        table.set("cancel-on-exception", random.chance(0.5));
    return table;
}

Json random_perilogs(Random &random)
{
    Json manager = Json::object();
    auto which = 1 + random.below(7); // some of them
    if (which & 1)
        manager.set("prolog", random_table(random));
    if (which & 2)
        manager.set("epilog", random_table(random));
    if (which & 4) {
        Json table {{"command", random_table(random)["command"]}};
        if (random.chance(0.6))
            table.set("release-after",
                      random.chance(0.5) ? "0" : fmt::format("{:.3f}s", 0.1 + random.unit()));
        manager.set("housekeeping", table);
    }
    return Json {{"job-manager", manager}};
}

// Cancels jobs, whatever they are at.
Task<> canceler(World &world, const std::set<JobId> &jobs, const bool &over)
{
    auto client = world.connect(0);
    while (!over) {
        co_await world.sleep(seconds(world.random().unit() * 2));
        if (jobs.empty() || over)
            continue;
        auto at = jobs.begin();
        std::advance(at, long(world.random().below(jobs.size())));
        Json cancel {{"id", at->value()}, {"type", "cancel"}, {"severity", 0}, {"note", "a change of mind"}};
        try {
            co_await client->handle().rpc("job-manager.raise", cancel);
        } catch (const Error &error) {
            if (!is_transient(error) && error.errnum() != ENOENT)
                throw;
        }
    }
}

Task<> reloader(World &world, const bool &over)
{
    auto client = world.connect(0);
    while (!over) {
        co_await world.sleep(seconds(world.random().unit() * 5));
        if (over)
            co_return;
        std::string name = world.random().chance(0.7) ? "job-manager" : "sched";
        Json remove {{"name", name}};
        co_await client->handle().rpc("module.remove", remove);
        Json load {{"path", name}, {"args", Json::array()}};
        co_await client->handle().rpc("module.load", load);
    }
}

// What failed is drained: it is repaired now and then, or the jobs would wait for ever.
Task<> repairer(World &world, const bool &over)
{
    auto client = world.connect(0);
    auto all = Idset::iota(world.size()).format();
    while (!over) {
        co_await world.sleep(10s);
        Json args {{"targets", all}, {"mode", "update"}};
        co_await client->handle().rpc("resource.undrain", args);
    }
}

// Each job that ran had what is configured, and what failed ended it.
Task<> check_perilogs(World &world, const std::set<JobId> &jobs, bool prolog)
{
    auto client = world.connect(0);
    for (auto id : jobs) {
        std::map<std::string, int> seen;
        bool failed = false;
        for (const auto &event : co_await follow_job(client, id)) {
            seen[event.name]++;
            failed = failed || (event.name == "prolog-finish" && event.context.get<int>("status") != 0);
            if (event.name == "start" && failed)
                world.violated(fmt::format("job {} was started although its prolog had failed", id));
        }
        if (prolog && seen["start"])
            world.expect(seen["prolog-finish"] > 0, "job {} was started without a prolog", id);
        world.expect(seen["prolog-start"] <= 1 && seen["epilog-start"] <= 1,
                     "job {} had a prolog or epilog twice", id);
        world.expect(seen["prolog-start"] == seen["prolog-finish"] &&
                         seen["epilog-start"] == seen["epilog-finish"],
                     "job {} has a prolog or epilog that has not finished", id);
    }
}

// Nobody is given a core before what ran on its rank after the job that had it is done.
Task<> check_cores(World &world, const std::set<JobId> &jobs)
{
    auto client = world.connect(0);
    std::map<std::pair<uint32_t, uint32_t>, std::vector<std::pair<double, JobId>>> given; // when, to whom
    for (auto id : jobs)
        for (const auto &event : co_await follow_job(client, id)) {
            if (event.name != "alloc")
                continue;
            auto text = co_await kvs::get(client->handle(), id.kvs_path("R"));
            auto R = value_or_throw(ResourceSet::parse(std::string_view(text)));
            for (const auto &node : R.nodes())
                for (auto core : node.cores())
                    given[{node.rank, core}].emplace_back(event.timestamp, id);
        }
    for (auto &[core, holders] : given) {
        std::ranges::sort(holders);
        for (size_t at = 1; at < holders.size(); at++) {
            auto before = holders[at - 1].second;
            auto ended = world.processes().around_ended.find({core.first, before.f58(F58Prefix::ascii)});
            if (ended != world.processes().around_ended.end())
                world.expect(holders[at].first >= ended->second,
                             "core {} of rank {} was given to job {} while what follows job {} ran there",
                             core.second, core.first, holders[at].second, before);
        }
    }
}

Task<> await_housekeeping(World &world, ClientPtr client)
{
    for (;;) {
        auto stats = co_await client->handle().rpc("job-manager.stats-get");
        if (stats.json()["housekeeping"]["running"].empty())
            co_return;
        co_await world.sleep(1s);
    }
}

} // namespace

SIM_WORKLOAD(perilog, 1, 6)
{
    Random choices(run.seed ^ 0x7065726c);
    auto config = random_perilogs(choices);
    bool prolog = config["job-manager"].contains("prolog");
    World world(run, {.config = config});
    auto &random = world.random();
    world.boot();
    std::set<JobId> jobs;
    bool over = false, drained = false;
    world.spawn("submitter", submit_stubbornly(world, jobs, 1 + random.below(most_jobs), random_plan));
    if (random.chance(0.3)) { // an earlier life, with what it was about to do
        world.run_for(seconds(random.unit() * 5));
        world.crash();
        world.boot();
    }
    world.spawn("repairer", repairer(world, drained));
    if (random.chance(0.5))
        world.spawn("canceler", canceler(world, jobs, over));
    if (random.chance(0.5))
        world.spawn("reloader", reloader(world, over));
    world.run_for(seconds(random.unit() * 30));
    over = true;
    world.run_for(60s);
    auto client = world.connect(0);
    world.run("drain", drain(world, client), patience);
    world.run("housekeeping", await_housekeeping(world, client), patience);
    drained = true;
    world.finish_clients(patience);
    world.expect(jobs.empty() || world.processes().perilogs > 0, "no prolog or epilog has run");
    world.run("check", check_jobs(world, client, jobs), patience);
    world.run("check cores", check_cores(world, jobs), patience);
    world.run("check perilogs", check_perilogs(world, jobs, prolog), patience);
    client.reset();
    world.shutdown();
}

namespace {

// Each housekeeping gets one signal, as soon as it is seen.
Task<> kill_once(World &world, const bool &over)
{
    auto client = world.connect(0);
    std::set<std::string> killed;
    while (!over) {
        auto stats = co_await client->handle().rpc("job-manager.stats-get");
        for (auto [id, house] : stats.json()["housekeeping"]["running"].members())
            if (killed.emplace(id).second) {
                auto job = value_or_throw(JobId::parse(id));
                Json kill {{"signal", SIGKILL}, {"jobid", job.value()}};
                co_await client->handle().rpc("job-manager.housekeeping-kill", kill);
            }
        co_await world.sleep(seconds(world.random().unit() * 0.01));
    }
}

} // namespace

// A signal for housekeeping that has not started everywhere is not lost.
SIM_WORKLOAD(housekeeping_kill, 1, 6)
{
    Json house {{"command", Json::array().append("sleep").append("1000000")}, {"release-after", "0"}};
    World world(run, {.config = Json {{"job-manager", Json {{"housekeeping", house}}}}});
    world.boot();
    std::set<JobId> jobs;
    bool over = false;
    world.spawn("repairer", repairer(world, over));
    world.spawn("killer", kill_once(world, over));
    world.spawn("submitter", submit_stubbornly(world, jobs, 1 + world.random().below(5), random_plan));
    world.run_for(30s);
    auto client = world.connect(0);
    world.run("drain", drain(world, client), patience);
    world.run("housekeeping", await_housekeeping(world, client), 600s);
    over = true;
    world.finish_clients(patience);
    world.run("check", check_jobs(world, client, jobs), patience);
    client.reset();
    world.shutdown();
}

} // namespace flux::sim
