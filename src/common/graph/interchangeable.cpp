#include "common/graph/interchangeable.hpp"

#include <algorithm>

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
        if (one.kind == Request::Kind::xor_slot || one.colocated || !one.count.fixed() ||
            one.count.min() < 1 || !one.unit.empty() ||
            __builtin_mul_overflow(times, int64_t(one.count.min()), &times))
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
