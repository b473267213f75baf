// In which order ids come in the tree, by type: what ascends need not be sorted. O(what is new).
#include <algorithm>
#include <utility>

#include "common/graph/graph.hpp"

namespace flux::graph {

// Is nothing behind v in the order of the tree but what is new?
bool Graph::comes_last(VertexId v, VertexId from) const
{
    for (; vertices_[v].parent != no_vertex; v = vertices_[v].parent) {
        auto siblings = children(vertices_[v].parent);
        size_t last = siblings.size() - 1;
        while (siblings[last] != v && siblings[last] >= from)
            last--;
        if (siblings[last] != v)
            return false;
    }
    return true;
}

void Graph::sort_by_rank(VertexId parent)
{
    std::span<VertexId> list(child_pool_.data() + vertices_[parent].children, vertices_[parent].child_count);
    auto rank = [&](VertexId v) {
        return vertices_[v].rank;
    };
    if (!std::ranges::all_of(list, [&](VertexId v) { return is_host(vertices_[v].type); }) ||
        std::ranges::is_sorted(list, {}, rank))
        return;
    std::ranges::stable_sort(list, {}, rank);
    reordered_ = true;
}

// Looks at v, which lies in that node, and all below it, of which `look` is told first what it is about to
// compare. Only what is new is compared.
void Graph::compare_order(VertexId v, VertexId node, VertexId from,
                          const std::function<void(Kind &, const Vertex &, VertexId)> &look)
{
    auto compare = [&](VertexId at, VertexId in_node) {
        const Vertex &vertex = vertices_[at];
        Kind &kind = kinds_[vertex.type];
        Order &before = kind.order;
        if (before.node != in_node)
            before.last_id_in_node = Order::least;
        if (at >= from) {
            if (look)
                look(kind, vertex, in_node);
            kind.ascending = kind.ascending && vertex.id > before.last_id;
            kind.ascending_in_nodes = kind.ascending_in_nodes && vertex.id > before.last_id_in_node;
            kind.outside_node = kind.outside_node || in_node == no_vertex;
        }
        before = {vertex.id, vertex.id, in_node, before.tangled};
    };
    struct Step {
        std::span<const VertexId> left; // of the children of a vertex
        VertexId node;
    };
    std::vector<Step> stack;
    auto enter = [&](VertexId at, VertexId in_node) {
        compare(at, in_node);
        if (vertices_[at].type == node_type_) {
            nested_nodes_ = nested_nodes_ || in_node != no_vertex;
            in_node = at;
        }
        if (vertices_[at].child_count > 0)
            stack.push_back({children(at), in_node});
    };
    enter(v, node);
    while (!stack.empty()) {
        auto &[left, in_node] = stack.back();
        if (left.empty()) {
            stack.pop_back();
            continue;
        }
        VertexId next = left.front();
        left = left.subspan(1);
        enter(next, in_node);
    }
}

// All of a node that was there before, in which something is new.
void Graph::compare_order_in_node(VertexId node)
{
    auto saved = kinds_;
    for (auto &kind : kinds_)
        kind.order = {};
    compare_order(node, no_vertex, 0, {});
    for (size_t type = 0; type < kinds_.size(); type++) {
        bool in_nodes = kinds_[type].ascending_in_nodes;
        kinds_[type] = saved[type];
        kinds_[type].ascending_in_nodes = in_nodes;
    }
}

// The whole tree, or what was added to it from that vertex on. What is added anywhere but at its end, and is
// of a type that was there before, counts as not ascending: to know better, all would have to be looked at.
void Graph::check_order(VertexId from)
{
    if (empty())
        return;
    if (from == 0) {
        nested_nodes_ = false;
        for (auto &kind : kinds_) {
            kind.ascending = kind.ascending_in_nodes = true;
            kind.outside_node = false;
            kind.order = {};
        }
        return compare_order(root(), no_vertex, 0, {});
    }
    VertexId first_parent = no_vertex, last_node = no_vertex;
    for (VertexId v = from; v < vertices_.size(); v++) {
        VertexId parent = vertices_[v].parent;
        if (parent >= from || vertices_[v].removed || vertices_[v].subsystem != containment)
            continue; // it comes with what is above it
        VertexId node = above(parent, node_type_);
        if (first_parent == no_vertex)
            first_parent = parent;
        bool last = parent == first_parent && comes_last(parent, from);
        compare_order(v, node, from, [&](Kind &kind, const Vertex &vertex, VertexId in_node) {
            kind.order.tangled = kind.order.tangled || (!last && kind.order.last_id != Order::least);
            if (in_node == node && node != no_vertex) // below, among its neighbours
                kind.order.last_id_in_node = Order::least;
            kind.ascending = kind.ascending && !kind.order.tangled;
            if (in_node == no_vertex &&
                kind.outside_node) // whatever was between this one and those may be removed
                kind.ascending_in_nodes =
                    kind.ascending_in_nodes && kind.ascending && vertex.id > kind.order.last_id;
        });
        if (node != no_vertex && std::exchange(last_node, node) != node)
            compare_order_in_node(node);
    }
}

} // namespace flux::graph
