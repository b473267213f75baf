#include "common/graph/interchangeable.hpp"

#include <algorithm>
#include <limits>

namespace flux::graph {

namespace {

// All of it is found inside a vertex that has it: nothing comes from another subsystem.
bool stays_inside(const std::vector<Request> &list, const Graph &graph)
{
    return std::ranges::all_of(list, [&](const Request &one) {
        return one.kind != Request::Kind::xor_slot &&
               (one.kind == Request::Kind::slot || graph.only_contained(one.type)) &&
               stays_inside(one.with, graph);
    });
}

// Is one vertex of the type as good as another, and a number of them simply a number of vertices?
bool countable(TypeId type, const Graph &graph, bool node_exclusive)
{
    if (node_exclusive && type != graph.node_type() && graph.only_below_nodes(type))
        return false; // its node is taken with it
    VertexId model = graph.model(type);
    int column = graph.column(type);
    if (model == no_vertex || column < 0 || graph.pooled(type) || !graph.only_contained(type))
        return false;
    return graph[model].child_count == 0 || graph.total(model)[size_t(column)] == 0; // none inside another
}

// How many of the slots one node of these has room for.
int64_t slots_on(VertexId node, const Request &slot, const Graph &graph)
{
    int64_t most = std::numeric_limits<int64_t>::max();
    for (const auto &one : slot.with) {
        int column = graph.column(one.type);
        if (one.kind != Request::Kind::resource || !one.with.empty() || !one.unit.empty() || column < 0 ||
            !one.count.fixed() || one.count.min() < 1 || graph.pooled(one.type) ||
            !graph.only_contained(one.type) || !graph.only_below_nodes(one.type))
            return 0;
        most = std::min(most, graph.total(node)[size_t(column)] / int64_t(one.count.min()));
    }
    return slot.with.empty() ? 0 : most;
}

// Slots inside nodes that are taken whole: as many nodes as they fill.
std::optional<Interchangeable> nodes_of_slots(const Request &slot, int64_t times, const Graph &graph)
{
    TypeId node = graph.node_type();
    if (!countable(node, graph, true) || graph[graph.model(node)].child_count == 0)
        return std::nullopt;
    int64_t on_one = slots_on(graph.model(node), slot, graph);
    if (on_one == 0)
        return std::nullopt;
    return Interchangeable {node, (times - 1) / on_one + 1};
}

} // namespace

std::optional<Interchangeable> interchangeable(const JobRequest &request, const Graph &graph,
                                               bool node_exclusive)
{
    if (graph.empty() || (bool(request.constraint) && request.constraint.size() > 0))
        return std::nullopt;
    const std::vector<Request> *list = &request.resources;
    int64_t times = 1;
    bool in_slot = false;
    while (list->size() == 1) {
        const Request &one = list->front();
        if (one.kind == Request::Kind::xor_slot || !one.count.fixed() || one.count.min() < 1 ||
            !one.unit.empty() || __builtin_mul_overflow(times, int64_t(one.count.min()), &times))
            return std::nullopt;
        if (one.kind == Request::Kind::slot && node_exclusive)
            if (auto nodes = nodes_of_slots(one, times, graph))
                return nodes;
        if (one.colocated)
            return std::nullopt;
        if (one.kind == Request::Kind::resource) {
            bool exclusive =
                one.exclusive.value_or(in_slot) || (node_exclusive && one.type == graph.node_type());
            if (exclusive && countable(one.type, graph, node_exclusive) && stays_inside(one.with, graph))
                return Interchangeable {one.type, times};
            bool passed = one.type == graph[graph.root()].type && one.count.min() == 1 && !exclusive;
            if (!passed)
                return std::nullopt;
        }
        in_slot = in_slot || one.kind == Request::Kind::slot;
        list = &one.with;
    }
    return std::nullopt;
}

} // namespace flux::graph
