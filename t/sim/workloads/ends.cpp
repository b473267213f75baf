// An instance ends while its scheduler is granting resources, or while epilogs run that never would.
#include "sim/jobs.hpp"
#include "sim/workload.hpp"

namespace flux::sim {

namespace {

constexpr double job_duration = 1000; // seconds
constexpr Duration end_within = 600s;

// A scheduler that takes a while to say what it has decided, and so is overtaken by what becomes of the job
// (RFC 27).
class SlowScheduler {
public:
    explicit SlowScheduler(World &world) : world_(world), client_(world.connect(0))
    {
        for (uint32_t rank = 0; rank < world.size(); rank++)
            for (uint32_t core = 0; core < world.setup().cores; core++)
                free_.emplace(rank, core);
        auto &handle = client_->handle();
        handle.serve("sched.alloc", role::owner, [this](Request request) {
            JobId id(request.get<uint64_t>("id"));
            if (free_.empty())
                waiting_.emplace(id, std::move(request));
            else
                world_.spawn("grant", grant(id, std::move(request)));
        });
        handle.serve("sched.cancel", role::owner, [this](Request request) {
            JobId id(request.get<uint64_t>("id"));
            if (auto found = waiting_.extract(id)) // else it comes too late
                found.mapped().respond(Json {{"id", id.value()}, {"type", 3}});
        });
        handle.serve("sched.free", role::owner, [this](Request request) {
            free_.insert(granted_.extract(JobId(request.get<uint64_t>("id"))).mapped());
        });
        handle.serve("sched.prioritize", role::owner, [](Request) {});
    }
    // In the place of the module.
    Task<> begin()
    {
        auto &handle = client_->handle();
        co_await handle.rpc("module.remove", Json::make("name", "sched"));
        co_await handle.rpc("service.add", Json::make("service", "sched"));
        auto hello = handle.stream("job-manager.sched-hello");
        for (bool more = true; more;)
            more = bool(co_await hello.next());
        co_await handle.rpc("job-manager.sched-ready", Json::make("mode", "unlimited"));
    }

private:
    using Core = std::pair<uint32_t, uint32_t>; // rank and number

    Task<> grant(JobId id, Request request)
    {
        auto core = free_.extract(free_.begin()).value();
        granted_.emplace(id, core);
        co_await world_.sleep(seconds(world_.random().unit() * 0.05));
        Json here {{"rank", fmt::format("{}", core.first)},
                   {"children", Json {{"core", fmt::format("{}", core.second)}}}};
        Json execution {{"R_lite", Json::array().append(here)},
                        {"nodelist", Json::array().append(world_.host(core.first))},
                        {"starttime", 0.0},
                        {"expiration", 0.0}};
        Json R {{"version", 1}, {"execution", execution}};
        Json answer {{"id", id.value()}, {"type", 0}, {"R", R}};
        request.respond(answer);
    }

    World &world_;
    ClientPtr client_;
    std::map<JobId, Request> waiting_; // for a core, until they are canceled
    std::map<JobId, Core> granted_;
    std::set<Core> free_;
};

// Until the instance takes no more.
Task<> submitter(World &world, uint32_t rank)
{
    auto client = world.connect(rank);
    JobPlan plan;
    plan.mock_duration = job_duration;
    try {
        for (;;) {
            co_await submit(client, plan);
            co_await world.sleep(seconds(world.random().unit() * 0.01));
        }
    } catch (const Error &) {
        co_return;
    }
}

JobPlan short_plan(World &world)
{
    JobPlan plan;
    plan.mock_duration = world.random().unit() * 2;
    return plan;
}

void end_in_time(World &world)
{
    auto before = world.loop().now();
    world.shutdown();
    world.expect(world.loop().now() - before < end_within, "the instance took {} s to end",
                 std::chrono::duration<double>(world.loop().now() - before).count());
}

} // namespace

// No job that is granted something just then holds up the end: it gives back what it was given.
SIM_WORKLOAD(ends, 1, 8)
{
    World world(run);
    auto &random = world.random();
    world.boot();
    SlowScheduler scheduler(world);
    world.run("begin", scheduler.begin(), patience);
    for (size_t n = 1 + random.below(3); n > 0; n--)
        world.spawn("submitter", submitter(world, uint32_t(random.below(world.size()))));
    world.run_for(seconds(random.unit() * 0.1));
    end_in_time(world);
}

// Nor does an epilog without a timeout: it is on record, and would begin anew in the instance's next life.
SIM_WORKLOAD(endless_epilog, 1, 8)
{
    Random choices(run.seed ^ 0x65706c67);
    Json epilog {{"command", Json::array().append("sleep").append("1000000")},
                 {"per-rank", choices.chance(0.5)}};
    World world(run, {.config = Json {{"job-manager", Json {{"epilog", epilog}}}}});
    auto &random = world.random();
    world.boot();
    std::set<JobId> jobs;
    world.spawn("submitter", submit_stubbornly(world, jobs, 1 + random.below(3), short_plan));
    world.run_for(seconds(1 + random.unit() * 5)); // some are at their epilogs, others on their way there
    end_in_time(world);
}

namespace {

Task<> submit_deaf(World &world, std::set<JobId> &acknowledged)
{
    auto client = world.connect(0);
    for (size_t n = 1 + world.random().below(4); n > 0; n--) {
        JobPlan plan;
        plan.nnodes = plan.ntasks = 1 + world.random().below(world.size());
        plan.command = {"deaf", "4"}; // to SIGTERM, until it is through
        acknowledged.insert(co_await submit(client, plan));
    }
}

Task<> check_let_finish(World &world, std::set<JobId> acknowledged)
{
    auto client = world.connect(0);
    for (auto id : acknowledged)
        for (const auto &event : co_await follow_job(client, id)) {
            if (event.name == "exception")
                world.expect(event.context.get<std::string>("type") == "cancel", "job {}: {}", id,
                             event.context.dump());
            if (event.name == "finish")
                world.expect(event.context.get<int>("status") == 0, "job {} was not let finish: {}", id,
                             event.context.dump());
        }
}

} // namespace

// Jobs that run when the instance ends are cancelled, and have the time that a cancelled job has: no broker
// leaves before.
SIM_WORKLOAD(ends_running, 2, 12)
{
    World world(run);
    world.boot();
    std::set<JobId> acknowledged;
    world.run("submit", submit_deaf(world, acknowledged), patience);
    world.run_for(seconds(1));
    world.shutdown();
    world.boot();
    auto client = world.connect(0);
    world.run("drain", drain(world, client), patience);
    world.run("check", check_let_finish(world, acknowledged), patience);
    client.reset();
    world.shutdown();
}

} // namespace flux::sim
