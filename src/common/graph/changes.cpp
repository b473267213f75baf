#include "common/graph/changes.hpp"

#include <unordered_set>

#include "common/graph/readers.hpp"
#include "common/types/idset.hpp"

namespace flux::graph {

Expected<std::vector<VertexId>> add_subgraph(Matcher &matcher, const Json &jgf)
{
    auto points = attach_points(matcher.graph(), jgf);
    if (!points)
        return std::unexpected(points.error());
    VertexId from = VertexId(matcher.graph().size());
    std::vector<VertexId> down;
    Expected<size_t> added = 0;
    matcher.grow(*points, [&](Graph &graph) { added = attach_jgf(graph, jgf, down); });
    std::vector<VertexId> out;
    for (VertexId v = from; v < matcher.graph().size(); v++)
        out.push_back(v);
    if (!added) {
        for (VertexId v : out)
            if (VertexId parent = matcher.graph()[v].parent; parent == no_vertex || parent < from)
                matcher.shrink(v);
        return std::unexpected(added.error());
    }
    for (VertexId v : down)
        matcher.set_down(v, true);
    return out;
}

Expected<std::vector<VertexId>> removable(const Graph &graph, std::string_view path_or_ranks)
{
    std::vector<VertexId> out;
    if (path_or_ranks.starts_with('/')) {
        if (auto v = graph.find_path(path_or_ranks))
            out.push_back(*v);
    } else if (auto ranks = Idset::parse(path_or_ranks)) {
        for (uint32_t rank : *ranks)
            for (VertexId v : graph.of_rank(int(rank)))
                out.push_back(v);
    }
    if (out.empty())
        return fail(ENOENT, "can't find subgraph {}", path_or_ranks.substr(0, 200));
    for (VertexId v : out)
        if (graph[v].parent == no_vertex)
            return fail(EINVAL, "{} is a root, which cannot be removed", path_or_ranks.substr(0, 200));
    return out;
}

Expected<bool> release_picks(Matcher &matcher, int64_t id, const std::vector<Pick> &picks)
{
    std::unordered_set<VertexId> gone;
    for (const auto &pick : picks)
        gone.insert(pick.vertex);
    return matcher.release(id, [&](VertexId v) { return gone.contains(v); });
}

Expected<std::pair<std::string, std::string>> parse_property(std::string_view setting)
{
    size_t equal = setting.find('=');
    if (equal == setting.npos || equal == 0 || equal + 1 == setting.size())
        return fail(EINVAL, "\"{}\" is not PROPERTY=VALUE", setting.substr(0, 200));
    return std::pair(std::string(setting.substr(0, equal)), std::string(setting.substr(equal + 1)));
}

} // namespace flux::graph
