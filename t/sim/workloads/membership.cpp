// Which nodes there are, and which queue they are in, changes under the jobs that run and wait: nodes are
// excluded and are not any more, queues get other hosts, while the scheduler and the resource module come and
// go.
#include "common/job/resource_set.hpp"
#include "common/kvs/lookup.hpp"
#include "sim/faults.hpp"
#include "sim/jobs.hpp"
#include "sim/workload.hpp"

namespace flux::sim {

namespace {

constexpr const char *queue_names[] = {"batch", "debug"};

struct Membership {
    World &world;
    std::set<JobId> acknowledged;
    Json configuration; // the last one that all have taken
    size_t submitters = 0;
    bool over = false;
};

// Rank 0 is always among them: the least job can always run.
Idset some_ranks(Random &random, uint32_t size, double chance)
{
    Idset out {0};
    for (uint32_t rank = 1; rank < size; rank++)
        if (random.chance(chance))
            out.add(rank);
    return out;
}

std::string hosts_of(const Idset &ranks)
{
    Hostlist hosts;
    for (uint32_t rank : ranks)
        hosts.append_name(fmt::format("node{}", rank));
    return hosts.encode();
}

Json configuration(const Idset &excluded, const Idset &batch, const Idset &debug)
{
    Json queues {{"batch", Json {{"hosts", hosts_of(batch)}}}, {"debug", Json {{"hosts", hosts_of(debug)}}}};
    return Json {{"resource", Json {{"exclude", excluded.format()}}}, {"queues", queues}};
}

Json random_configuration(Random &random, uint32_t size)
{
    Idset excluded = Idset::iota(size) - some_ranks(random, size, 0.3 + random.unit() * 0.7);
    if (random.chance(0.3))
        excluded = {};
    return configuration(excluded, some_ranks(random, size, 0.7), some_ranks(random, size, 0.4));
}

JobPlan plan_of(World &world)
{
    auto plan = random_plan(world);
    plan.queue = queue_names[world.random().below(std::size(queue_names))];
    if (world.random().chance(0.3))
        plan.mock_duration = world.random().unit() * 20;
    return plan;
}

Task<> submitter(Membership &state, size_t count)
{
    co_await submit_stubbornly(state.world, state.acknowledged, count, plan_of);
    state.submitters--;
}

Task<> start_queues(ClientPtr client)
{
    co_await client->handle().rpc("job-manager.queue-start", Json::make("start", true, "all", true));
}

Task<> change(Membership &state, double delay)
{
    auto &world = state.world;
    auto client = world.connect(0);
    co_await world.sleep(seconds(delay));
    Json next = random_configuration(world.random(), world.size());
    try {
        co_await client->handle().rpc("config.load", next);
        state.configuration = next;
    } catch (const Error &error) {
        if (error.errnum() != EBUSY) // somebody else does it
            throw;
    }
}

// Now and then several changes in a row.
Task<> administrator(Membership &state)
{
    auto &world = state.world;
    auto &random = world.random();
    while (!state.over)
        co_await change(state, random.chance(0.3) ? 0 : random.unit() * 4);
}

struct Known { // to the scheduler
    ResourceSet all, down;
};

Task<Known> what_is_known(ClientPtr client)
{
    auto status = co_await client->handle().rpc("sched.resource-status");
    co_return Known {value_or_throw(ResourceSet::from_json(status.json().get<Json>("all"))),
                     value_or_throw(ResourceSet::from_json(status.json().get<Json>("down")))};
}

// Whoever was loaded again meanwhile knows the last configuration, and the scheduler what it means.
Task<> check_last_configuration(Membership &state)
{
    auto &world = state.world;
    auto client = world.connect(0);
    co_await world.sleep(10s);
    auto [all, down] = co_await what_is_known(client);
    auto excluded = value_or_throw(Idset::parse(state.configuration["resource"].get<std::string>("exclude")));
    Idset usable = Idset::iota(world.size()) - excluded, up = all.ranks() - down.ranks();
    world.expect(up == usable, "ranks {} are not excluded, but for the scheduler {} are up", usable.format(),
                 up.format());
    for (auto [name, queue] : state.configuration["queues"].members()) {
        auto hosts = value_or_throw(Hostlist::parse(queue["hosts"].string_view()));
        Idset members = all.ranks_of(hosts) & usable;
        auto found = all.properties().find(fmt::format("+{}", name));
        Idset known = found == all.properties().end() ? Idset() : found->second & usable;
        world.expect(known == members, "queue {} has ranks {}, but for the scheduler {}", name,
                     members.format(), known.format());
    }
}

Task<> reloader(Membership &state)
{
    auto &world = state.world;
    auto &random = world.random();
    auto client = world.connect(0);
    while (!state.over) {
        co_await world.sleep(seconds(random.unit() * 6));
        std::string name = random.chance(0.6) ? "sched" : "resource";
        co_await remove_module(client, name);
        if (random.chance(0.5))
            co_await world.sleep(seconds(random.unit()));
        if (random.chance(0.5)) // while it is being loaded
            world.spawn("change", change(state, random.unit() * 0.001));
        co_await load_module(client, name);
    }
}

// What the scheduler knows is what there is: all of it can be had by one job, and jobs of a queue get its
// hosts.
Task<> check_membership(Membership &state, Idset debug)
{
    auto &world = state.world;
    auto client = world.connect(0);
    co_await world.sleep(10s);
    auto [all, down] = co_await what_is_known(client);
    auto there = value_or_throw(ResourceSet::parse(std::string_view(world.resources())));
    world.expect(all.same_resources(there), "there is {}, but for the scheduler {}", there.summary(),
                 all.summary());
    world.expect(down.empty(), "nothing is excluded, but for the scheduler {} is down", down.summary());
    for (const auto *queue : queue_names) {
        JobPlan plan;
        plan.queue = queue;
        plan.nnodes = std::string_view(queue) == "batch" ? world.size() : debug.count();
        plan.ntasks = plan.nnodes * world.setup().cores;
        auto id = co_await submit(client, plan);
        state.acknowledged.insert(id);
        auto events = co_await follow_job(client, id);
        auto R = co_await kvs::try_get(client->handle(), id.kvs_path("R"));
        Idset ranks = R ? value_or_throw(ResourceSet::parse(std::string_view(*R))).ranks() : Idset();
        Idset wanted = std::string_view(queue) == "batch" ? Idset::iota(world.size()) : debug;
        world.expect(ranks == wanted, "a job of queue {} got ranks {}, its hosts are those of ranks {}",
                     queue, ranks.format(), wanted.format());
    }
}

} // namespace

// Nothing is given twice, also what a job has on a node that the scheduler did not know for a while.
SIM_WORKLOAD(membership, 1, 8)
{
    Random choices(run.seed ^ 0x6d656d62); // the configuration, before there is a world
    World world(run,
                {.cores = 1 + uint32_t(run.seed % 4), .config = random_configuration(choices, run.size)});
    auto &random = world.random();
    world.boot();
    world.run("start of the queues", start_queues(world.connect(0)), patience);
    Membership state {world};
    state.submitters = 1 + random.below(3);
    for (size_t n = state.submitters; n > 0; n--)
        world.spawn("submitter", submitter(state, 5 + random.below(25)));
    world.spawn("administrator", administrator(state));
    if (random.chance(0.7))
        world.spawn("reloader", reloader(state));
    if (random.chance(0.3)) {
        world.spawn("killer", kill_brokers(world, state.over));
        world.spawn("restarter", restart_ended(world, state.over));
    }
    let_submit(world, state.submitters, state.over, 20);
    heal(world);
    world.finish_clients(patience);
    if (state.configuration)
        world.run("check of the last configuration", check_last_configuration(state), patience);
    auto client = world.connect(0);
    Idset all = Idset::iota(world.size()), debug = some_ranks(random, world.size(), 0.5);
    auto load = [](ClientPtr client, Json config) -> Task<> {
        co_await client->handle().rpc("config.load", config);
    };
    world.run("change for those that wait", load(client, configuration({}, all, all)), patience);
    world.run("drain", drain(world, client), patience);
    world.run("last change", load(client, configuration({}, all, debug)), patience);
    world.run("check of the scheduler", check_membership(state, debug), patience);
    world.run("check", check_jobs(world, client, state.acknowledged), patience);
    client.reset();
    world.shutdown();
}

} // namespace flux::sim
