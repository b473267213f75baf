// The part of Search that puts candidates in the order of the policy.
#include <algorithm>
#include <utility>

#include "common/graph/scored.hpp"
#include "common/graph/search.hpp"

namespace flux::graph {

namespace {

constexpr int64_t node_weight = 10000; // how much more a node's id counts than that of what is in it
constexpr int64_t greatest_id = int64_t(1) << 40;
constexpr int64_t worst_performance = 9999;
constexpr size_t most_tried = 1 << 10; // candidates that are all tried before they are put in order

} // namespace

// Which order counts here: locality is for what stands at the top of a request, all else of it is taken as by
// `high`.
Policy::Order Search::order_at(VertexId at, bool in_slot) const
{
    auto order = scope_.policy.order;
    return order == Policy::Order::locality && (in_slot || at != no_vertex) ? Policy::Order::high : order;
}

// May the candidates be taken as the tree has them, so that the search can end early?
bool Search::in_tree_order(VertexId at, const Request &request, bool in_slot, bool &reverse) const
{
    const Policy &policy = scope_.policy;
    auto by = order_at(at, in_slot);
    reverse = by == Policy::Order::high;
    if (policy.first_match)
        return true;
    if (by != Policy::Order::high && by != Policy::Order::low)
        return false;
    bool inside_node = graph_.above(at, graph_.node_type()) != no_vertex;
    if (inside_node)
        return graph_.ascending_in_nodes(request.type);
    if (policy.node_centric && graph_.only_below_nodes(request.type))
        return graph_.ascending(graph_.node_type()) && graph_.ascending_in_nodes(request.type);
    return graph_.ascending(request.type);
}

// Ids of a machine are not that great; those of a file may be anything.
int64_t Search::bounded_id(VertexId v) const
{
    return std::clamp(graph_[v].id, -greatest_id, greatest_id);
}

int64_t Search::score(VertexId v) const
{
    int64_t score = bounded_id(v) + 1;
    if (!scope_.policy.node_centric || graph_[v].parent == no_vertex)
        return score;
    VertexId node = graph_.above(graph_[v].parent, graph_.node_type());
    if (node != no_vertex)
        score += (bounded_id(node) + 2) * node_weight + std::abs(graph_[node].uniq_id % node_weight - 1);
    return score;
}

// Leaves those that would be taken if they came first; of many those that might be.
void Search::leave_what_would_do(std::vector<VertexId> &list, const Request &request, bool in_slot)
{
    bool try_all = scope_.thorough || list.size() <= most_tried;
    std::erase_if(list, [&](VertexId v) {
        if (!try_all)
            return !viable(v, request, in_slot);
        size_t mark = picks_.size();
        bool does = take(v, request, in_slot, 1) > 0;
        undo(mark);
        return !does;
    });
}

// Where several have the same score and there are more than `few`, what is in the list decides which of them
// comes first: then it is only what would do.
void Search::order_by_score(std::vector<VertexId> &list, const Request &request, bool in_slot, bool high)
{
    constexpr size_t few = 16;
    Scored<VertexId> scored;
    auto sort = [&] {
        scored.clear();
        for (VertexId v : list)
            scored.emplace_back(high ? -score(v) : score(v), v);
        sort_by_score(scored);
    };
    auto equal = [](const auto &a, const auto &b) {
        return a.first == b.first;
    };
    sort();
    if (list.size() > few && std::ranges::adjacent_find(scored, equal) != scored.end()) {
        leave_what_would_do(list, request, in_slot);
        sort();
    }
    std::ranges::transform(scored, list.begin(), &std::pair<int64_t, VertexId>::second);
}

// What has its id in the last run of consecutive ids first.
void Search::order_by_runs(std::vector<VertexId> &list)
{
    std::vector<std::pair<int64_t, VertexId>> scored;
    for (VertexId v : list)
        scored.emplace_back(bounded_id(v), v);
    score_by_runs(scored);
    sort_by_score(scored);
    std::ranges::transform(scored, list.begin(), &std::pair<int64_t, VertexId>::second);
}

void Search::order(std::vector<VertexId> &list, const Request &request, VertexId at, bool in_slot)
{
    auto by = order_at(at, in_slot);
    if (by == Policy::Order::low || by == Policy::Order::high)
        return order_by_score(list, request, in_slot, by == Policy::Order::high);
    // The other policies look at all that might do.
    leave_what_would_do(list, request, in_slot);
    if (by == Policy::Order::locality)
        return order_by_runs(list);
    order_by_performance(list, request, in_slot);
}

// Low classes first; in a slot those of which as many as are wanted have the least spread.
void Search::order_by_performance(std::vector<VertexId> &list, const Request &request, bool in_slot)
{
    Scored<VertexId> scored;
    for (VertexId v : list) {
        const std::string *text = graph_.property(v, "perf_class");
        int64_t value = text ? std::atoll(text->c_str()) : worst_performance;
        scored.emplace_back(std::clamp<int64_t>(value, 0, worst_performance), v);
    }
    sort_by_score(scored);
    size_t best = 0;
    if (in_slot && !list.empty()) {
        size_t wanted = size_t(std::clamp<uint64_t>(request.count.min(), 1, list.size()));
        auto spread = [&](size_t first) {
            return scored[first + wanted - 1].first - scored[first].first;
        };
        for (size_t first = 1; first + wanted <= list.size(); first++)
            if (spread(first) < spread(best))
                best = first;
    }
    std::ranges::rotate(scored, scored.begin() + long(best));
    std::ranges::transform(scored, list.begin(), &std::pair<int64_t, VertexId>::second);
}

// The vertices of shares, those with the best scores first.
std::vector<VertexId> Search::best_first(std::span<const Share> shares) const
{
    Scored<VertexId> scored;
    int64_t sign = scope_.policy.order == Policy::Order::low ? 1 : -1;
    for (const auto &share : shares)
        scored.emplace_back(sign * score(share.vertex), share.vertex);
    sort_by_score(scored);
    std::vector<VertexId> out;
    std::ranges::transform(scored, std::back_inserter(out), &std::pair<int64_t, VertexId>::second);
    return out;
}

} // namespace flux::graph
