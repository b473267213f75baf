#include "sim/jobs.hpp"

#include "common/job/jobspec_builder.hpp"
#include "common/job/resource_set.hpp"
#include "common/job/sign.hpp"
#include "common/kvs/lookup.hpp"
#include "common/kvs/treeobj.hpp"
#include "sim/workload.hpp"

namespace flux::sim {

namespace {

constexpr uint32_t owner = 1000;
constexpr uint32_t flag_waitable = 4;

} // namespace

JobPlan random_plan(World &world)
{
    auto &random = world.random();
    JobPlan plan;
    plan.ntasks = 1 + random.below(3);
    if (random.chance(0.3)) {
        plan.nnodes = 1 + random.below(std::min<uint64_t>(world.size(), 4));
        plan.ntasks = plan.nnodes * (1 + random.below(world.setup().cores));
    }
    plan.ntasks = std::min<uint64_t>(plan.ntasks, uint64_t(world.size()) * world.setup().cores);
    plan.urgency = random.chance(0.7) ? 16 : int(1 + random.below(31));
    plan.waitable = random.chance(0.2);
    double time = random.unit() * (random.chance(0.1) ? 100 : 2);
    auto text = [](double value) {
        return fmt::format("{:.6f}", value);
    };
    switch (random.below(12)) {
    case 0:
    case 1:
    case 2:
        plan.mock_duration = time;
        break;
    case 3:
        plan.command = {"false"};
        break;
    case 4:
        plan.command = {"exit", fmt::format("{}", random.below(256))};
        break;
    case 5:
        plan.command = {"lines", fmt::format("{}", random.below(20))};
        break;
    case 6:
        plan.command = {"barrier", fmt::format("{}", random.below(6))};
        break;
    case 7:
        plan.command = {"deaf", text(time)};
        plan.duration = random.chance(0.3) ? time / 2 : 0;
        break;
    case 8:
        if (random.chance(0.2))
            plan.command = {"crash", text(time)};
        break;
    case 9:
    case 10:
        plan.command = {"sleep", text(time)};
        plan.duration = random.chance(0.2) ? time / 2 : 0;
        break;
    default:
        break;
    }
    return plan;
}

Task<JobId> submit(ClientPtr client, JobPlan plan)
{
    TaskRequest request;
    request.command = plan.command;
    request.ntasks = plan.ntasks;
    request.cores_per_task = plan.cores_per_task;
    if (plan.nnodes)
        request.nnodes = plan.nnodes;
    auto builder = value_or_throw(JobspecBuilder::for_tasks(request));
    builder.duration(plan.duration).cwd("/tmp").environment(Json::object());
    if (!plan.queue.empty())
        builder.queue(plan.queue);
    if (plan.mock_duration)
        builder.attribute("system.exec.test.run_duration", fmt::format("{:.6f}s", *plan.mock_duration));
    Json args {{"J", sign_none(owner, builder.json().dump())},
               {"urgency", plan.urgency},
               {"flags", plan.waitable ? flag_waitable : 0}};
    try {
        auto answer = co_await client->handle().rpc("job-ingest.submit", args);
        co_return JobId(answer.json().get<uint64_t>("id"));
    } catch (
        const Error &error) { // plans ask for more than there is, now and then: the least is always there
        bool least = plan.nnodes == 0 && plan.ntasks == 1 && plan.cores_per_task == 1;
        if (error.errnum() != EINVAL || !error.text().contains("never satisfiable") || least)
            throw;
    }
    plan.nnodes = 0;
    plan.ntasks = plan.cores_per_task = 1;
    co_return co_await submit(client, plan);
}

Task<std::vector<Event>> follow_job(ClientPtr client, JobId id)
{
    Json args {{"id", id.value()}, {"path", "eventlog"}, {"flags", 0}};
    auto stream =
        client->handle().stream("job-info.eventlog-watch", args, {}, "job-info.eventlog-watch-cancel");
    std::vector<Event> events;
    while (auto message = co_await stream.next())
        events.push_back(value_or_throw(Event::parse(message->json().get<std::string>("event"))));
    co_return events;
}

// ---- the order of events, told apart from the job manager's own state machine

std::optional<std::string> check_eventlog(const std::vector<Event> &events)
{
    std::map<std::string, int> seen;
    bool fatal = false;
    double last_time = 0;
    bool resources = false;
    for (const auto &event : events) {
        auto wrong = [&](std::string_view why) {
            return fmt::format("event {} ({}) {}", event.name,
                               std::accumulate(seen.begin(), seen.end(), 0,
                                               [](int sum, const auto &entry) { return sum + entry.second; }),
                               why);
        };
        auto before = [&](const char *name) {
            return seen[name] > 0;
        };
        const auto &name = event.name;
        if (event.timestamp < last_time)
            return wrong("is older than the one before it");
        last_time = event.timestamp;
        if (before("clean"))
            return wrong("comes after clean");
        if (!before("submit") && name != "submit")
            return wrong("comes before submit");
        bool once = name == "submit" || name == "validate" || name == "depend" || name == "alloc" ||
                    name == "start" || name == "finish" || name == "free" || name == "clean";
        if (once && seen[name] > 0)
            return wrong("comes a second time");
        if (name == "depend" && !before("validate"))
            return wrong("comes before validate");
        if (name == "priority" && !before("depend"))
            return wrong("comes before depend");
        if (name == "alloc") {
            if (!before("priority"))
                return wrong("comes before priority");
            resources = true;
        }
        if (name == "start" && !before("alloc"))
            return wrong("comes before alloc");
        if (name == "start" && seen["prolog-start"] > seen["prolog-finish"])
            return wrong("comes before the prolog has finished");
        if (name.ends_with("log-finish") && seen[name.substr(0, 6) + "-start"] <= seen[name])
            return wrong("comes without its start");
        if (name == "epilog-start" && !resources)
            return wrong("comes when its resources are free");
        if (name == "free" &&
            (seen["epilog-start"] > seen["epilog-finish"] || seen["prolog-start"] > seen["prolog-finish"]))
            return wrong("comes while a prolog or epilog runs");
        if (name == "finish" && !before("start") && !fatal) // RFC 32: what fails early may omit start
            return wrong("comes before start");
        if (name == "release" && !before("alloc"))
            return wrong("comes before alloc");
        if (name == "free") {
            if (!resources)
                return wrong("comes without alloc");
            if (!before("release") && !fatal)
                return wrong("comes before release");
            if (before("start") && !before("release"))
                return wrong("comes before what was started has been released");
            resources = false;
        }
        if (name == "exception" && event.context.get<int>("severity") == 0)
            fatal = true;
        if (name == "clean") {
            if (resources)
                return wrong("comes before free");
            if (!before("finish") && !fatal)
                return wrong("comes before the job finished or failed");
        }
        seen[name]++;
    }
    if (!seen["clean"])
        return fmt::format("there is no clean event, the last is {}",
                           events.empty() ? std::string("none") : events.back().name);
    return std::nullopt;
}

// ---- what the instance has written

namespace {

constexpr int readdir = 1;
constexpr int levels = 4; // of a job's directory

Task<std::vector<JobId>> all_jobs(ClientPtr client)
{
    std::vector<std::string> directories {"job"};
    for (int level = 0; level < levels; level++) {
        std::vector<std::string> below;
        for (const auto &directory : directories) {
            Json object;
            try {
                object = co_await kvs::lookup(client->handle(), directory, readdir);
            } catch (const Error &error) {
                if (error.errnum() != ENOENT)
                    throw;
            }
            for (auto [name, unused] : treeobj::entries(object).members())
                below.push_back(directory + "." + std::string(name));
        }
        directories = std::move(below);
    }
    std::vector<JobId> out;
    for (const auto &directory : directories)
        out.push_back(value_or_throw(JobId::parse(directory)));
    co_return out;
}

// A job that was lost with its instance has complete logs all the same: whoever reads them waits for their
// ends.
Task<> check_lost(World &world, ClientPtr client, JobId id)
{
    auto events = value_or_throw(
        parse_eventlog(co_await kvs::get(client->handle(), id.kvs_path("guest.exec.eventlog"))));
    world.expect(events.back().name == "done", "job {} was lost: its guest.exec.eventlog ends with {}", id,
                 events.back().name);
    auto output = co_await kvs::try_get(client->handle(), id.kvs_path("guest.output"));
    if (!output)
        co_return; // a mock job
    std::map<std::string, Idset> open;
    for (const auto &event : value_or_throw(parse_eventlog(*output))) {
        if (event.name == "header")
            for (auto [stream, count] : event.context["count"].members())
                open[std::string(stream)] = Idset::iota(count.as<uint32_t>());
        if (event.context["eof"])
            open[event.context.get<std::string>("stream")] -=
                value_or_throw(Idset::parse(event.context.get<std::string>("rank")));
    }
    for (const auto &[stream, tasks] : open)
        world.expect(tasks.empty(), "job {} was lost: {} of tasks {} does not end", id, stream,
                     tasks.format());
}

struct Held {
    double from, to;
    JobId job;
};

} // namespace

Task<> check_jobs(World &world, ClientPtr client, const std::set<JobId> &acknowledged,
                  std::vector<HeldMatch> beside)
{
    auto ids = co_await all_jobs(client);
    std::set<JobId> found(ids.begin(), ids.end());
    for (auto id : acknowledged)
        world.expect(found.contains(id), "job {} was acknowledged, but the KVS does not have it", id);
    std::map<std::pair<uint32_t, uint32_t>, std::vector<Held>> use; // of a core of a rank
    for (auto id : ids) {
        auto text = co_await kvs::get(client->handle(), id.kvs_path("eventlog"));
        auto events = parse_eventlog(text);
        if (!events) {
            world.violated(fmt::format("job {}: {}", id, events.error().text()));
            continue;
        }
        if (auto wrong = check_eventlog(*events)) {
            world.violated(fmt::format("job {}: {}", id, *wrong));
            continue;
        }
        double from = 0, to = 0;
        for (const auto &event : *events) {
            if (event.name == "alloc")
                from = event.timestamp;
            else if (event.name == "free")
                to = event.timestamp;
            else if (event.name == "exception" &&
                     event.context["note"].string_view().contains("when the instance stopped"))
                co_await check_lost(world, client, id);
        }
        if (!from)
            continue;
        auto R = value_or_throw(
            ResourceSet::parse(std::string_view(co_await kvs::get(client->handle(), id.kvs_path("R")))));
        for (const auto &node : R.nodes())
            for (auto core : node.cores())
                use[{node.rank, core}].push_back({from, to, id});
    }
    for (const auto &match : beside)
        for (const auto &node : match.R.nodes())
            for (auto core : node.cores())
                use[{node.rank, core}].push_back({match.from, match.to, JobId(uint64_t(match.id))});
    for (auto &[core, holders] : use) {
        std::ranges::sort(holders, {}, &Held::from);
        for (size_t at = 1; at < holders.size(); at++)
            world.expect(holders[at].from >= holders[at - 1].to,
                         "core {} of rank {} was given to job {} while job {} had it", core.second,
                         core.first, holders[at].job, holders[at - 1].job);
    }
    auto jobs = co_await client->handle().rpc("job-manager.list", Json::make("max_entries", 0));
    world.expect(jobs.json()["jobs"].empty(), "{} jobs are still active", jobs.json()["jobs"].size());
    auto status = co_await client->handle().rpc("sched.resource-status");
    auto allocated = value_or_throw(ResourceSet::from_json(status.json().get<Json>("allocated")));
    world.expect(allocated.empty(), "no job is active, but {} is allocated", allocated.summary());
    world.expect(world.processes().busy() == 0, "no job is active, but {} processes run",
                 world.processes().busy());
    world.expect(world.cores().held() == 0, "no job is active, but {} cores are in use",
                 world.cores().held());
}

namespace {

Task<> release_held(World &world, ClientPtr client)
{
    for (;;) {
        auto answer = co_await client->handle().rpc("job-manager.list", Json::make("max_entries", 0));
        if (answer.json()["jobs"].empty())
            co_return;
        for (auto job : answer.json()["jobs"].elements()) {
            if (job.get<int>("urgency") > 0)
                continue;
            try {
                co_await client->handle().rpc("job-manager.urgency",
                                              Json::make("id", job["id"], "urgency", 16));
            } catch (const Error &error) {
                if (error.errnum() != ENOENT && error.errnum() != EINVAL)
                    throw;
            }
        }
        co_await world.sleep(10s);
    }
}

} // namespace

void let_submit(World &world, const size_t &submitters, bool &over, double go_on)
{
    if (!world.run_until([&] { return submitters == 0; }, patience)) {
        world.violated("submitting never came to an end");
        throw Stuck();
    }
    world.run_for(seconds(world.random().unit() * go_on));
    over = true;
}

Task<> submit_stubbornly(World &world, std::set<JobId> &acknowledged, size_t count, JobPlan (*plan)(World &))
{
    ClientPtr client;
    int failures = 0;
    for (size_t done = 0; done < count;) {
        bool failed = false;
        try {
            if (!client || client->lost())
                client = world.connect(uint32_t(world.random().below(world.size())));
            auto id = co_await submit(client, plan(world));
            world.expect(acknowledged.insert(id).second, "job id {} was given twice", id);
            done++;
        } catch (const Error &error) {
            if (!is_transient(error) || ++failures > most_tries)
                throw;
            failed = true;
        }
        if (failed)
            client.reset();
        if (failed || world.random().chance(0.5))
            co_await world.sleep(seconds(world.random().unit()));
    }
}

Task<> drain(World &world, ClientPtr client, HeldJobs held)
{
    if (held == HeldJobs::release)
        co_await release_held(world, client);
    co_await client->handle().rpc("job-manager.drain");
}

void drain_and_check(World &world, const std::set<JobId> &acknowledged, HeldJobs held)
{
    auto client = world.connect(0);
    world.run("drain", drain(world, client, held), patience);
    world.run("check", check_jobs(world, client, acknowledged), patience);
}

bool is_transient(const Error &error)
{
    switch (error.errnum()) {
    case ENOSYS:
    case ECANCELED:
    case EHOSTUNREACH:
    case ECONNRESET:
    case ECONNREFUSED:
    case EAGAIN:
        return true;
    default:
        return false;
    }
}

} // namespace flux::sim
