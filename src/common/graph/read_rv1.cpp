#include "common/graph/readers.hpp"
#include "common/job/resource_set.hpp"

namespace flux::graph {

namespace {

bool has_graph(const Json &r)
{
    return r["scheduling"].is_object() && r.at("scheduling", "graph").is_object();
}

} // namespace

std::pair<std::string, int64_t> split_number(const std::string &name)
{
    size_t begin = name.size();
    while (begin > 0 && name[begin - 1] >= '0' && name[begin - 1] <= '9' && name.size() - begin < 18)
        begin--;
    return {name.substr(0, begin), begin < name.size() ? std::stoll(name.substr(begin)) : -1};
}

void add_nodes(Graph &graph, VertexId above, const ResourceSet &resources)
{
    auto add_runs = [&](VertexId node, std::string_view type, const Idset &ids, int rank) {
        for (const auto &run : ids.runs())
            graph.add_many(node, {.type = type, .id = run.first, .rank = rank}, run.last - run.first + 1, 1);
    };
    for (const auto &node : resources.nodes()) {
        auto [basename, number] = split_number(node.hostname());
        VertexId v = graph.add(above, {.type = "node",
                                       .basename = basename.empty() ? "node" : std::string_view(basename),
                                       .name = node.hostname(),
                                       .id = number,
                                       .rank = int(node.rank)});
        add_runs(v, "core", node.cores(), int(node.rank));
        add_runs(v, "gpu", node.gpus(), int(node.rank));
    }
    for (const auto &[name, ranks] : resources.properties())
        for (uint32_t rank : ranks)
            for (VertexId v : graph.of_rank(int(rank)))
                graph.set_property(v, name, "");
}

Graph graph_of(const ResourceSet &resources)
{
    Graph graph;
    graph.reserve(1 + resources.nnodes() + resources.ncores() + resources.ngpus());
    add_nodes(graph, graph.add(no_vertex, {.type = "cluster"}), resources);
    for (auto type : {"core", "gpu"}) // a request for what the machine does not have is no mistake
        graph.type(type);
    graph.finish();
    return graph;
}

Expected<Graph> read_rv1(const Json &r, bool force)
try {
    if (!force && has_graph(r))
        return read_jgf(r["scheduling"]);
    auto parsed = ResourceSet::parse(r);
    if (!parsed)
        return std::unexpected(parsed.error());
    return graph_of(*parsed);
} catch (const Error &error) {
    return std::unexpected(error);
}

Expected<std::vector<Pick>> picks_of(const Graph &graph, const ResourceSet &resources)
{
    std::vector<Pick> out;
    auto core = graph.find_type("core"), gpu = graph.find_type("gpu");
    for (const auto &node : resources.nodes()) {
        const auto &hosts = graph.of_rank(int(node.rank));
        if (hosts.empty())
            return fail(ENOENT, "the graph has no node of rank {}", node.rank);
        size_t before = out.size();
        std::vector<VertexId> below {hosts[0]};
        while (!below.empty()) {
            VertexId v = below.back();
            below.pop_back();
            int64_t id = graph[v].id;
            const Idset *ids = core && graph[v].type == *core ? &node.cores()
                               : gpu && graph[v].type == *gpu ? &node.gpus()
                                                              : nullptr;
            if (ids && id >= 0 && id <= Idset::max_id && ids->contains(uint32_t(id)))
                out.push_back({v, graph[v].size, true, false});
            for (VertexId child : graph.children(v))
                below.push_back(child);
        }
        size_t wanted = node.cores().count() + node.gpus().count();
        if (out.size() - before != wanted)
            return fail(ENOENT, "rank {} ({}): of {} cores and gpus the graph has {}", node.rank,
                        graph.name(hosts[0]), wanted, out.size() - before);
    }
    return out;
}

Expected<std::vector<Pick>> rv1_picks(const Graph &graph, const Json &r)
{
    if (has_graph(r))
        return jgf_picks(graph, r["scheduling"]);
    auto parsed = ResourceSet::parse(r);
    if (!parsed)
        return std::unexpected(parsed.error());
    return picks_of(graph, *parsed);
}

} // namespace flux::graph
