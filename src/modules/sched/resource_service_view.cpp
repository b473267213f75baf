// ResourceService: looking at the machine, and changing it.
#include "common/graph/changes.hpp"
#include "common/graph/find.hpp"
#include "modules/sched/request_field.hpp"
#include "modules/sched/resource_service.hpp"

namespace flux {

using graph::VertexId;

namespace {

double seconds_now(Handle &handle)
{
    return std::chrono::duration<double>(handle.loop().clock().now()).count();
}

Json times_json(const graph::MatchTimes &times)
{
    Json stats {
        {"min", times.least()}, {"max", times.most()}, {"avg", times.mean()}, {"variance", times.variance()}};
    return Json {{"njobs", times.total()},
                 {"njobs-reset", times.count()},
                 {"max-match-jobid", times.job_with_most()},
                 {"max-match-iters", times.most_iterations()},
                 {"stats", stats}};
}

// How many vertices the ranks have; ranks with equally many share a key.
Json vertices_by_rank(const graph::Graph &graph)
{
    std::map<int, size_t> counts;
    for (VertexId v = 0; v < graph.size(); v++)
        if (!graph[v].removed)
            counts[graph[v].rank]++;
    std::map<size_t, Idset> same;
    Json out = Json::object();
    for (auto [rank, count] : counts) {
        if (rank < 0 || uint32_t(rank) > Idset::max_id)
            out.set(std::to_string(rank), count);
        else
            same[count].add(uint32_t(rank));
    }
    for (const auto &[count, ranks] : same)
        out.set(ranks.format(Idset::Brackets::unless_single), count);
    return out;
}

} // namespace

void ResourceService::loading()
{
    load_begin_ = seconds_now(handle_);
}

void ResourceService::loaded()
{
    load_end_ = stats_begin_ = seconds_now(handle_);
}

Json ResourceService::stats_get(const Json &)
{
    const auto &matcher = scheduler_.machine().matcher();
    double now = seconds_now(handle_);
    Json match {{"succeeded", times_json(matcher.stats().succeeded)},
                {"failed", times_json(matcher.stats().failed)}};
    return Json {{"V", matcher.graph().vertex_count()},
                 {"E", matcher.graph().edge_count()},
                 {"by_rank", vertices_by_rank(matcher.graph())},
                 {"load-time", load_end_ - load_begin_},
                 {"graph-uptime", now - load_end_},
                 {"time-since-reset", now - stats_begin_},
                 {"match", match}};
}

Json ResourceService::stats_clear(const Json &)
{
    scheduler_.machine().matcher().reset_stats();
    stats_begin_ = seconds_now(handle_);
    return {};
}

Json ResourceService::find(const Json &request)
{
    const Machine &machine = scheduler_.machine();
    auto criteria = request_field<std::string>(request, "criteria");
    graph::MatchFormat format = machine.format();
    if (request.contains("format"))
        format = request_choice(
            request, "format", graph::parse_match_format,
            "simple, pretty_simple, rlite, rv1, rv1_nosched, rv1_shorthand, jgf, jgf_shorthand");
    auto found = graph::find_vertices(machine.matcher(), criteria);
    if (!found)
        throw Error(EINVAL, "key \"criteria\": {}", found.error().text());
    auto listed = graph::found_as_allocation(machine.matcher(), *found, format);
    const auto &graph = machine.matcher().graph();
    if (listed.empty())
        return Json {{"R", nullptr}};
    Json json = graph::emit_json(graph, listed, 0, 0, format);
    return Json {{"R", json ? json : Json(graph::emit(graph, listed, 0, 0, format))}};
}

Json ResourceService::status(const Json &)
{
    return scheduler_.status();
}

// The ids that nodes, cores and gpus have here are those of the enclosing instance: nothing is renumbered but
// ranks, which R tells.
Json ResourceService::ns_info(const Json &request)
{
    auto rank = request_field<int64_t>(request, "rank");
    auto type = request_field<std::string>(request, "type-name");
    auto id = request_field<int64_t>(request, "id");
    const auto &graph = scheduler_.machine().matcher().graph();
    auto wanted = graph.find_type(type);
    if (rank < 0 || rank > INT32_MAX || graph.of_rank(int(rank)).empty())
        throw Error(ENOENT, "key \"rank\": there is no node of rank {}", rank);
    std::vector<VertexId> below = graph.of_rank(int(rank));
    while (wanted && !below.empty()) {
        VertexId at = below.back();
        below.pop_back();
        if (graph[at].type == *wanted && graph[at].id == id)
            return Json {{"id", id}};
        for (VertexId child : graph.children(at))
            below.push_back(child);
    }
    throw Error(ENOENT, "rank {} has no {} of id {}", rank, type.substr(0, 60), id);
}

Json ResourceService::params(const Json &)
{
    return Json {{"params", scheduler_.config().resource_params}};
}

// The resources, then how they change.
Task<> ResourceService::notify(Request request)
{
    request.require_streaming();
    while (!scheduler_.ready())
        co_await changed_.wait();
    Idset up = scheduler_.machine().up(), ranks = scheduler_.machine().all().ranks();
    double expiration = scheduler_.machine().all().expiration();
    Json first {
        {"resources", scheduler_.machine().all().to_json()}, {"up", up.format()}, {"expiration", expiration}};
    request.respond(first);
    for (;;) {
        co_await changed_.wait();
        const Machine &machine = scheduler_.machine();
        Json change = Json::object();
        auto tell = [&](const char *key, const Idset &which) {
            if (!which.empty())
                change.set(key, which.format());
        };
        Idset gone = ranks - machine.all().ranks();
        tell("up", machine.up() - up);
        tell("down", (up - machine.up()) | gone);
        tell("shrink", gone);
        bool different = !change.empty() || expiration != machine.all().expiration();
        up = machine.up();
        ranks = machine.all().ranks();
        expiration = machine.all().expiration();
        change.set("expiration", expiration);
        if (different)
            request.respond(change);
    }
}

std::vector<VertexId> ResourceService::vertices(const Json &request, const char *key)
{
    Json paths = request_field<Json>(request, key);
    if (paths.is_string())
        paths = Json::array().append(paths);
    if (!paths.is_array() || paths.empty() || paths.size() > max_paths)
        throw Error(EINVAL, "key \"{}\": expected a path or an array of at most {} paths", key, max_paths);
    std::vector<VertexId> out;
    for (auto path : paths.elements()) {
        if (!path.is_string())
            throw Error(EINVAL, "key \"{}\": expected paths, found {}", key, path.type_name());
        auto v = scheduler_.machine().matcher().graph().find_path(path.string_view());
        if (!v)
            throw Error(ENOENT, "there is no vertex {} in the resource graph",
                        path.string_view().substr(0, 200));
        out.push_back(*v);
    }
    return out;
}

Json ResourceService::set_property(const Json &request)
{
    auto setting = request_field<std::string>(request, "sp_keyval");
    auto property = graph::parse_property(setting);
    if (!property)
        throw Error(EINVAL, "key \"sp_keyval\": {}", property.error().text());
    for (VertexId v : vertices(request, "sp_resource_path"))
        scheduler_.machine().matcher().set_property(v, property->first, property->second);
    scheduler_.machine_changed();
    return {};
}

Json ResourceService::remove_property(const Json &request)
{
    auto key = request_field<std::string>(request, "key");
    for (VertexId v : vertices(request, "resource_path"))
        scheduler_.machine().matcher().remove_property(v, key);
    scheduler_.machine_changed();
    return {};
}

Json ResourceService::get_property(const Json &request)
{
    auto key = request_field<std::string>(request, "gp_key");
    Json values = Json::array();
    for (VertexId v : vertices(request, "gp_resource_path"))
        if (const auto *value = scheduler_.machine().matcher().graph().property(v, key))
            values.append(*value);
    if (values.empty())
        throw Error(ENOENT, "there is no property \"{}\"", key.substr(0, 60));
    return Json {{"values", values}};
}

Json ResourceService::set_status(const Json &request)
{
    auto path = request_field<std::string>(request, "resource_path");
    auto status = request_field<std::string>(request, "status");
    if (status != "up" && status != "down")
        throw Error(EINVAL, "key \"status\": \"{}\" is not up or down", status.substr(0, 60));
    if (auto done = scheduler_.machine().set_status(path, status == "up"); !done)
        throw done.error();
    scheduler_.machine_changed();
    return {};
}

Json ResourceService::add_subgraph(const Json &request)
{
    Json jgf = request_json(request, "subgraph");
    // A graph from a file may have more nodes than there are brokers.
    bool real = scheduler_.config().load_file.empty();
    auto done = scheduler_.machine().add_subgraph(jgf, real ? scheduler_.brokers() : UINT32_MAX);
    if (!done)
        throw Error(done.error().errnum(), "key \"subgraph\": {}", done.error().text());
    scheduler_.machine_changed();
    return {};
}

Json ResourceService::remove_subgraph(const Json &request)
{
    auto path = request_field<std::string>(request, "subgraph_path");
    if (auto done = scheduler_.machine().remove_subgraph(path); !done)
        throw done.error();
    scheduler_.machine_changed();
    return {};
}

} // namespace flux
