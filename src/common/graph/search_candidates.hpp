// The part of Search that walks the tree; included by search.cpp only.
#pragma once
#include <algorithm>
#include <unordered_set>

#include "common/graph/search.hpp"

namespace flux::graph {

template <class Visit>
bool Search::walk(VertexId at, const Request &request, List siblings, bool reverse, Visit &visit)
{
    auto children = at == no_vertex ? std::span<const VertexId>() : graph_.children(at);
    std::vector<VertexId> roots;
    if (at == no_vertex) {
        for (size_t subsystem = 0; subsystem < graph_.subsystems().size(); subsystem++)
            if (VertexId root = graph_.root(uint8_t(subsystem)); root != no_vertex)
                roots.push_back(root);
        children = roots;
    }
    bool now = scope_.window.now && !scope_.ignore_use;
    for (size_t i = 0; i < children.size(); i++) {
        VertexId v = children[reverse ? children.size() - 1 - i : i];
        if (++visited_ > most_visited_)
            return true;
        if ((now && scope_.schedule.taken(v)) || !visible(v))
            continue;
        const Vertex &vertex = graph_[v];
        if (vertex.type == request.type) {
            if (visit(v))
                return true;
            continue;
        }
        bool hides = std::ranges::any_of(siblings, [&](const Request &sibling) {
            return sibling.kind == Request::Kind::resource && sibling.type == vertex.type;
        });
        if (direct_ || vertex.child_count == 0 || hides || !passable(v, request.one))
            continue;
        if (walk(v, request, siblings, reverse, visit))
            return true;
    }
    return false;
}

// What supplies `at` or something around it, nearest first.
template <class Visit>
bool Search::walk_suppliers(VertexId at, const Request &request, Visit &visit)
{
    std::vector<VertexId> around;
    for (VertexId v = at; v != no_vertex; v = graph_[v].parent)
        around.push_back(v);
    for (size_t i = 0; i < around.size(); i++) {
        if (around.size() > Graph::max_depth)
            return false;
        auto consider = [&](VertexId supplier) {
            if (supplier != no_vertex && std::ranges::find(around, supplier) == around.end())
                around.push_back(supplier);
        };
        for (uint32_t number : graph_.links_to(around[i]))
            if (const Link &link = graph_.links()[number]; scope_.subsystems >> link.subsystem & 1)
                consider(link.from);
        if (graph_[around[i]].subsystem != Graph::containment)
            consider(graph_[around[i]].parent);
        if (around[i] == at)
            continue;
        for (VertexId child : graph_.children(around[i])) {
            if (++visited_ > most_visited_)
                return true;
            if (graph_[child].subsystem != Graph::containment && graph_[child].type == request.type &&
                visible(child) && visit(child))
                return true;
        }
    }
    return false;
}

// What `at` supplies in the other subsystems, directly or by way of others: the nodes of a switch.
template <class Visit>
bool Search::walk_supplied(VertexId at, const Request &request, List siblings, Visit &visit)
{
    std::vector<VertexId> from {at};
    std::unordered_set<VertexId> known {at};
    auto consider = [&](VertexId v) {
        if (visible(v) && known.insert(v).second)
            from.push_back(v);
    };
    bool now = scope_.window.now && !scope_.ignore_use;
    for (size_t i = 0; i < from.size(); i++) {
        VertexId v = from[i];
        if (++visited_ > most_visited_)
            return true;
        if (v != at && graph_[v].subsystem == Graph::containment && !(now && scope_.schedule.taken(v))) {
            bool wanted = graph_[v].type == request.type;
            if (wanted && visit(v))
                return true;
            if (!wanted && graph_[v].child_count > 0 && passable(v, request.one) &&
                walk(v, request, siblings, false, visit))
                return true;
        }
        for (uint32_t number : graph_.links_from(v))
            if (const Link &link = graph_.links()[number]; scope_.subsystems >> link.subsystem & 1)
                consider(link.to);
        for (VertexId child : graph_.children(v))
            if (graph_[child].subsystem != Graph::containment)
                consider(child);
    }
    return false;
}

template <class Visit>
void Search::candidates(VertexId at, const Request &request, List siblings, bool in_slot, Visit &&visit)
{
    bool reverse = false;
    if (in_tree_order(at, request, reverse)) {
        if (walk(at, request, siblings, reverse, visit))
            return;
    } else {
        std::vector<VertexId> list;
        auto gather = [&](VertexId v) {
            list.push_back(v);
            return false;
        };
        walk(at, request, siblings, false, gather);
        order(list, request, in_slot);
        for (VertexId v : list)
            if (visit(v))
                return;
    }
    int column = graph_.column(request.type);
    bool none_below = at != no_vertex &&
                      (graph_[at].child_count == 0 || (column >= 0 && graph_.total(at)[size_t(column)] == 0));
    if (!none_below || (scope_.subsystems & ~uint64_t(1)) == 0)
        return;
    if (graph_.supplies(graph_[at].type)) {
        std::vector<VertexId> list;
        auto gather = [&](VertexId v) {
            list.push_back(v);
            return false;
        };
        walk_supplied(at, request, siblings, gather);
        order(list, request, in_slot);
        for (VertexId v : list)
            if (visit(v))
                return;
    }
    walk_suppliers(at, request, visit);
}

} // namespace flux::graph
