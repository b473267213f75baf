// The part of Search that walks the tree; included by search.cpp and search_slots.cpp only.
#pragma once
#include <algorithm>
#include <unordered_set>

#include "common/graph/search.hpp"

namespace flux::graph {

// In the order in which they are tried, or in reverse, until one is enough. At the top those are the roots.
template <class Visit>
bool Search::visit_children(VertexId at, bool reverse, Visit &&visit) const
{
    if (at != no_vertex && scope_.first_order)
        return scope_.first_order->visit_children(graph_, at, visit);
    auto children = at == no_vertex ? std::span<const VertexId>() : graph_.children(at);
    std::vector<VertexId> roots;
    if (at == no_vertex) {
        for (size_t subsystem = 0; subsystem < graph_.subsystems().size(); subsystem++)
            if (VertexId root = graph_.root(uint8_t(subsystem)); root != no_vertex)
                roots.push_back(root);
        children = roots;
    }
    for (size_t i = 0; i < children.size(); i++)
        if (visit(children[reverse ? children.size() - 1 - i : i]))
            return true;
    return false;
}

// Here a visit answers how much the vertex gave, and a walk how much all below `at` did. It ends when that is
// `most`: with a policy that takes the first match each subtree is walked until it has as much itself, so
// that there may be more.
template <class Visit>
int64_t Search::walk(VertexId at, const Request &request, List siblings, bool reverse, int64_t most,
                     Visit &visit)
{
    bool now = scope_.window.now && !scope_.ignore_use;
    int64_t found = 0;
    visit_children(at, reverse, [&](VertexId v) {
        if (++visited_ > most_visited_)
            return true;
        if ((now && scope_.schedule.taken(v)) || !visible(v))
            return false;
        const Vertex &vertex = graph_[v];
        bool hides = std::ranges::any_of(siblings, [&](const Request &sibling) {
            return sibling.kind == Request::Kind::resource && sibling.type == vertex.type;
        });
        if (vertex.type == request.type)
            found += visit(v);
        else if (!direct_ && vertex.child_count > 0 && !hides && passable(v, request.one))
            found +=
                walk(v, request, siblings, reverse, scope_.policy.first_match ? most : most - found, visit);
        return found >= most;
    });
    return found;
}

// What supplies `at` or something around it, nearest first.
template <class Visit>
void Search::walk_suppliers(VertexId at, const Request &request, Visit &visit)
{
    std::vector<VertexId> around;
    for (VertexId v = at; v != no_vertex; v = graph_[v].parent)
        around.push_back(v);
    for (size_t i = 0; i < around.size(); i++) {
        if (around.size() > Graph::max_depth)
            return;
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
                return;
            if (graph_[child].subsystem != Graph::containment && graph_[child].type == request.type &&
                visible(child) && visit(child))
                return;
        }
    }
}

// What `at` supplies in the other subsystems, directly or by way of others: the nodes of a switch.
template <class Visit>
void Search::walk_supplied(VertexId at, const Request &request, List siblings, Visit &visit)
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
            return;
        if (v != at && graph_[v].subsystem == Graph::containment && !(now && scope_.schedule.taken(v))) {
            if (graph_[v].type == request.type)
                visit(v);
            else if (graph_[v].child_count > 0 && passable(v, request.one))
                walk(v, request, siblings, false, unlimited, visit);
        }
        for (uint32_t number : graph_.links_from(v))
            if (const Link &link = graph_.links()[number]; scope_.subsystems >> link.subsystem & 1)
                consider(link.to);
        for (VertexId child : graph_.children(v))
            if (graph_[child].subsystem != Graph::containment)
                consider(child);
    }
}

// Visits what may be taken for a request, in the order of the policy, until there is `most`.
template <class Visit>
void Search::candidates(VertexId at, const Request &request, List siblings, bool in_slot, int64_t most,
                        Visit &&visit)
{
    int64_t found = 0;
    auto visit_list = [&](std::span<const VertexId> list) {
        for (VertexId v : list)
            if ((found += visit(v)) >= most)
                return;
    };
    std::vector<VertexId> list;
    auto gather = [&](VertexId v) {
        list.push_back(v);
        return 0;
    };
    bool reverse = false;
    if (in_tree_order(at, request, in_slot, reverse)) {
        found = walk(at, request, siblings, reverse, most, visit);
    } else {
        walk(at, request, siblings, false, unlimited, gather);
        order(list, request, at, in_slot);
        visit_list(list);
    }
    int column = graph_.column(request.type);
    bool none_below = at != no_vertex &&
                      (graph_[at].child_count == 0 || (column >= 0 && graph_.total(at)[size_t(column)] == 0));
    if (found >= most || !none_below || (scope_.subsystems & ~uint64_t(1)) == 0)
        return;
    if (graph_.supplies(graph_[at].type)) {
        list.clear();
        walk_supplied(at, request, siblings, gather);
        order(list, request, at, in_slot);
        visit_list(list);
    }
    auto supplier = [&](VertexId v) {
        return (found += visit(v)) >= most;
    };
    if (found < most)
        walk_suppliers(at, request, supplier);
}

} // namespace flux::graph
