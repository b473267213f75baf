#include "sim/matches.hpp"

namespace flux::sim {

namespace {

std::string service(std::string_view method)
{
    return fmt::format("sched-fluxion-resource.{}", method);
}

double wall(World &world)
{
    return world.loop().clock().wall_time();
}

std::string random_jobspec(Random &random)
{
    return fmt::format(
        R"({{"version":1,"resources":[{{"type":"slot","count":{},"label":"s","with":[{{"type":"core","count":{}}}]}}],)"
        R"("tasks":[{{"command":["x"],"slot":"s","count":{{"per_slot":1}}}}],)"
        R"("attributes":{{"system":{{"duration":{}}}}}}})",
        1 + random.below(6), 1 + random.below(2), 1 + random.below(60));
}

Task<> one_match(World &world, ClientPtr client, std::vector<HeldMatch> &held)
{
    auto &random = world.random();
    auto next = co_await client->handle().rpc(service("next_jobid"));
    auto id = next.json().get<int64_t>("jobid");
    const char *cmd = random.chance(0.3) ? "allocate_orelse_reserve" : "allocate";
    auto answer = co_await client->handle().rpc(
        service("match"), Json::make("cmd", cmd, "jobid", id, "jobspec", random_jobspec(random)));
    double from = wall(world);
    auto R = value_or_throw(ResourceSet::parse(std::string_view(answer.json().get<std::string>("R"))));
    bool allocated = answer.json().get<std::string>("status") == "ALLOCATED";
    co_await world.sleep(seconds(random.unit() * 10));
    if (allocated && R.nnodes() > 1 && random.chance(0.5)) {
        Idset ranks {R.nodes()[0].rank};
        auto part = R.subset(ranks);
        held.push_back({from, wall(world), id, part});
        auto left = co_await client->handle().rpc(service("partial-cancel"),
                                                  Json::make("jobid", id, "R", part.encode()));
        world.expect(left.json().get<int>("full-removal") == 0, "match {} lost more than it gave back", id);
        R = R.without(ranks);
        co_await world.sleep(seconds(random.unit() * 5));
    }
    if (allocated)
        held.push_back({from, wall(world), id, R});
    co_await client->handle().rpc(service("cancel"), Json::make("jobid", id));
}

Task<bool> knows_resources(ClientPtr client)
{
    try {
        co_await client->handle().rpc(service("stats-get"));
    } catch (const Error &error) {
        if (error.errnum() != EAGAIN)
            throw;
        co_return false;
    }
    co_return true;
}

// The jobs of the queues are not the tool's to give back.
Task<> grab(World &world, ClientPtr client, JobId id)
{
    bool refused = false;
    try {
        co_await client->handle().rpc(service("cancel"), Json::make("jobid", id.value()));
    } catch (const Error &error) {
        if (error.errnum() != EINVAL && error.errnum() != ENOENT)
            throw;
        refused = true;
    }
    world.expect(refused, "job {} was given back by somebody who had not matched it", id);
}

} // namespace

Task<> match_beside(World &world, const bool &over, const std::set<JobId> &jobs, std::vector<HeldMatch> &held)
{
    auto client = world.connect(0);
    while (!over) {
        co_await world.sleep(seconds(world.random().unit() * 2));
        if (!jobs.empty() && world.random().chance(0.2))
            co_await grab(world, client, *jobs.rbegin());
        try {
            co_await one_match(world, client, held);
        } catch (const Error &error) {
            // not now, never, or the scheduler does not know the jobs yet
            if (error.errnum() != EBUSY && error.errnum() != ENODEV && error.errnum() != EAGAIN)
                throw;
        }
    }
}

Task<> flip_nodes(World &world, const bool &over)
{
    auto &random = world.random();
    auto client = world.connect(0);
    while (!over) {
        co_await world.sleep(seconds(random.unit() * 20));
        if (!co_await knows_resources(client))
            continue;
        auto found = co_await client->handle().rpc(service("find"),
                                                   Json::make("criteria", "agfilter=t", "format", "jgf"));
        std::vector<std::string> nodes;
        for (auto vertex : found.json()["R"].at("graph", "nodes").elements())
            if (vertex.at("metadata", "type").string_view() == "node")
                nodes.emplace_back(vertex.at("metadata", "paths", "containment").string_view());
        if (nodes.empty())
            continue;
        auto path = nodes[random.below(nodes.size())];
        co_await client->handle().rpc(service("set_status"),
                                      Json::make("resource_path", path, "status", "down"));
        co_await world.sleep(seconds(random.unit() * 10));
        co_await client->handle().rpc(service("set_status"),
                                      Json::make("resource_path", path, "status", "up"));
    }
}

} // namespace flux::sim
