// The scheduler: queues with policies of their own, reservations, urgencies and durations that change, jobs
// that are cancelled and held, new configurations, a tool that matches beside them and nodes that are set
// down, while brokers come and go under the jobs that are matched.
#include <csignal>

#include "common/job/resource_set.hpp"
#include "sim/faults.hpp"
#include "sim/jobs.hpp"
#include "sim/matches.hpp"
#include "sim/workload.hpp"

namespace flux::sim {

namespace {

constexpr const char *queue_names[] = {"batch", "debug", "night"};

struct Scheduling {
    World &world;
    std::set<JobId> acknowledged;
    std::vector<HeldMatch> held; // beside the jobs
    size_t submitters = 0;
    bool over = false;
};

// Every queue with its policy; depths so small that they matter.
Json random_config(Random &random)
{
    constexpr const char *policies[] = {"fcfs", "easy", "hybrid", "conservative"};
    auto policy = [&] {
        return policies[random.chance(0.2) ? 0 : 1 + random.below(3)];
    };
    Json queues = Json::object();
    std::string each;
    for (const auto *name : queue_names) {
        queues.set(name, Json::object());
        each += fmt::format("{}{}:{}", each.empty() ? "" : " ", name, policy());
    }
    constexpr const char *matching[] = {"lonode", "first", "high", "low", "hinodex"};
    Json resource {{"match-policy", matching[random.below(std::size(matching))]}};
    Json depths {{"queue-depth", 1 + random.below(50)}, {"reservation-depth", 1 + random.below(8)}};
    return Json {
        {"queues", queues},
        {"sched-fluxion-resource", resource},
        {"sched-fluxion-qmanager",
         Json {{"queue-policy", policy()}, {"queue-policy-per-queue", each}, {"queue-params", depths}}}};
}

// Queues with names wait until somebody starts them.
Task<> start_queues(ClientPtr client)
{
    co_await client->handle().rpc("job-manager.queue-start", Json::make("start", true, "all", true));
}

// Most have a time limit, which reservations stand on, and some of them run into it.
JobPlan plan_of(World &world)
{
    auto &random = world.random();
    auto plan = random_plan(world);
    plan.queue = queue_names[random.below(std::size(queue_names))];
    if (random.chance(0.5))
        plan.mock_duration = random.unit() * 20;
    if (random.chance(0.8))
        plan.duration = 0.1 + random.unit() * 30;
    return plan;
}

Task<> submitter(Scheduling &state, size_t count)
{
    co_await submit_stubbornly(state.world, state.acknowledged, count, plan_of);
    state.submitters--;
}

// What people do to jobs, and their administrators to the scheduler: it may be refused because the job is
// past it.
Task<> meddler(Scheduling &state)
{
    auto &world = state.world;
    auto &random = world.random();
    auto client = world.connect(0);
    while (!state.over) {
        co_await world.sleep(seconds(random.unit() * 0.4));
        if (state.acknowledged.empty())
            continue;
        auto at = state.acknowledged.begin();
        std::advance(at, long(random.below(state.acknowledged.size())));
        auto id = at->value();
        std::string topic;
        Json args {{"id", id}};
        switch (random.below(8)) {
        case 0:
            topic = "job-manager.raise";
            args = Json {{"id", id}, {"type", "cancel"}, {"severity", 0}, {"note", "no more"}};
            break;
        case 1:
            topic = "job-manager.kill";
            args.set("signum", SIGTERM);
            break;
        case 2:
        case 3: {
            topic = "job-manager.update";
            Json updates {{"attributes.system.duration", random.unit() * 60}};
            args.set("updates", updates);
            break;
        }
        case 4:
            if (random.chance(0.2)) {
                topic = "sched.config-reload";
                args = random_config(random);
                break;
            }
            [[fallthrough]];
        case 5:
            if (random.chance(0.3)) {
                topic = "job-manager.queue-start";
                args = Json {{"name", queue_names[random.below(std::size(queue_names))]},
                             {"start", random.chance(0.6)}};
                break;
            }
            [[fallthrough]];
        default:
            topic = "job-manager.urgency";
            args.set("urgency", random.below(32));
        }
        try {
            co_await client->handle().rpc(topic, args);
        } catch (const Error &error) {
            if (error.errnum() != ENOENT && error.errnum() != EINVAL)
                throw;
        }
    }
}

// What the scheduler says of itself holds together at any time.
Task<> auditor(Scheduling &state)
{
    auto &world = state.world;
    auto client = world.connect(0);
    while (!state.over) {
        co_await world.sleep(seconds(world.random().unit() * 2));
        auto status = co_await client->handle().rpc("sched.resource-status");
        auto all = value_or_throw(ResourceSet::from_json(status.json().get<Json>("all")));
        auto allocated = value_or_throw(ResourceSet::from_json(status.json().get<Json>("allocated")));
        world.expect(all.contains(allocated), "{} is allocated of {}", allocated.summary(), all.summary());
        auto stats = co_await client->handle().rpc("sched.stats-get");
        size_t queued = 0, pending = stats.json().get<size_t>("pending");
        for (auto [name, queue] : stats.json()["queues"].members())
            queued += queue.get<size_t>("pending");
        world.expect(queued == pending, "{} jobs wait, {} of them in queues", pending, queued);
        auto reserved = stats.json()["matched"].get<size_t>("reserved");
        world.expect(reserved <= pending, "{} jobs have reservations, and {} wait", reserved, pending);
    }
}

Task<> check_scheduler(World &world, ClientPtr client)
{
    auto stats = co_await client->handle().rpc("sched.stats-get");
    for (const auto *what : {"allocated", "reserved"}) {
        auto count = stats.json()["matched"].get<size_t>(what);
        world.expect(count == 0, "no job is left, but the scheduler has {} {}", count, what);
    }
    auto pending = stats.json().get<size_t>("pending");
    world.expect(pending == 0, "no job is left, but {} wait in the scheduler", pending);
    auto status = co_await client->handle().rpc("sched.resource-status");
    auto down = value_or_throw(ResourceSet::from_json(status.json().get<Json>("down")));
    world.expect(down.empty(), "every broker is up, but for the scheduler {} is not", down.summary());
}

} // namespace

// Nothing is given twice, and nothing is lost: at the end all is free, up, and nobody waits.
SIM_WORKLOAD(sched, 2, 12)
{
    Random choices(run.seed ^ 0x7363686564); // the configuration, before there is a world
    World world(run, {.cores = 2 + uint32_t(run.seed % 3), .config = random_config(choices)});
    auto &random = world.random();
    world.boot();
    world.run("start of the queues", start_queues(world.connect(0)), patience);
    Scheduling state {world};
    state.submitters = 1 + random.below(4);
    for (size_t n = state.submitters; n > 0; n--)
        world.spawn("submitter", submitter(state, 5 + random.below(30)));
    for (size_t n = 1 + random.below(2); n > 0; n--)
        world.spawn("meddler", meddler(state));
    world.spawn("auditor", auditor(state));
    world.spawn("matcher", match_beside(world, state.over, state.acknowledged, state.held));
    world.spawn("flipper", flip_nodes(world, state.over));
    world.spawn("killer", kill_brokers(world, state.over));
    world.spawn("restarter", restart_ended(world, state.over));
    let_submit(world, state.submitters, state.over, 20);
    heal(world);
    world.finish_clients(patience);
    world.run("start of the queues", start_queues(world.connect(0)), patience);
    world.run("drain", drain(world, world.connect(0), HeldJobs::release), patience);
    auto client = world.connect(0);
    world.run("check", check_jobs(world, client, state.acknowledged, state.held), patience);
    world.run("check of the scheduler", check_scheduler(world, client), patience);
    client.reset();
    world.shutdown();
}

} // namespace flux::sim
