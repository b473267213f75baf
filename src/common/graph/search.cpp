#include "common/graph/search.hpp"

#include <algorithm>
#include <utility>

#include "common/graph/search_candidates.hpp"
#include "common/graph/units.hpp"

namespace flux::graph {

bool Search::visible(VertexId v) const
{
    const Vertex &vertex = graph_[v];
    return (scope_.subsystems >> vertex.subsystem & 1) && !vertex.removed &&
           (scope_.ignore_use || !vertex.down);
}

bool Search::allowed(VertexId v)
{
    if (!scope_.constraint.asks(graph_, graph_[v].type))
        return true;
    if (!graph_.is_host(graph_[v].type))
        return scope_.constraint.allows(graph_, v);
    auto [found, added] = allowed_.try_emplace(v, false);
    if (added)
        found->second = scope_.constraint.allows(graph_, v);
    return found->second;
}

bool Search::enough_below(VertexId v, const Needs &needs) const
{
    auto enough = [&](std::span<const int64_t> totals) {
        return std::ranges::all_of(needs, [&](auto need) { return totals[need.first] >= need.second; });
    };
    if (scope_.ignore_use)
        return enough(graph_.total(v));
    return enough(graph_.total_up(v)) && scope_.schedule.enough_below(v, needs, scope_.window);
}

bool Search::passable(VertexId v, const Needs &needs)
{
    if (!enough_below(v, needs) || !allowed(v))
        return false;
    if (scope_.ignore_use)
        return true;
    bool whole = scope_.policy.node_exclusive && graph_[v].type == graph_.node_type();
    return whole ? scope_.schedule.untouched(v, scope_.window) : scope_.schedule.open(v, scope_.window);
}

// What the pick counts in taken_: a part its amount, what is taken as a whole one.
int64_t Search::weight(const Pick &pick) const
{
    return pick.part ? pick.amount : track_ && pick.exclusive ? 1 : 0;
}

void Search::push(const Pick &pick)
{
    picks_.push_back(pick);
    if (int64_t more = weight(pick); more > 0)
        taken_[pick.vertex] += more;
}

void Search::lower(Pick &pick, int64_t amount)
{
    int64_t less = weight(pick);
    pick.amount = std::min(pick.amount, amount);
    less -= weight(pick);
    if (less > 0)
        taken_[pick.vertex] -= less;
}

void Search::undo(size_t mark)
{
    for (; picks_.size() > mark; picks_.pop_back()) {
        int64_t less = weight(picks_.back());
        if (less == 0)
            continue;
        auto found = taken_.find(picks_.back().vertex);
        if ((found->second -= less) == 0)
            taken_.erase(found);
    }
}

bool Search::conflicts(VertexId v, bool exclusive) const
{
    if (!track_ || taken_.empty())
        return false;
    for (VertexId at = v; at != no_vertex; at = graph_[at].parent)
        if ((at != v || exclusive) && taken_.contains(at) &&
            std::ranges::find(enclosing_, at) == enclosing_.end())
            return true;
    return exclusive && graph_[v].child_count > 0 && std::ranges::any_of(picks_, [&](const Pick &pick) {
               return pick.vertex != v && pick.exclusive && graph_.is_ancestor(v, pick.vertex);
           });
}

bool Search::exclusive(VertexId v, const Request &request, bool in_slot) const
{
    return request.exclusive.value_or(in_slot) ||
           (scope_.policy.node_exclusive && graph_[v].type == graph_.node_type());
}

bool Search::part_of_pool(VertexId v, const Request &request, bool in_slot) const
{
    return exclusive(v, request, in_slot) && graph_[v].size > 1 && scope_.divisible[graph_[v].type] &&
           request.with.empty();
}

// Might it do, as far as can be said without a look at what is inside?
bool Search::viable(VertexId v, const Request &request, bool in_slot)
{
    if (!unit_ratio(graph_.unit_of(v), request.unit) || !allowed(v))
        return false;
    bool own = exclusive(v, request, in_slot);
    if (!part_of_pool(v, request, in_slot)) {
        if (conflicts(v, own))
            return false;
        if (!scope_.ignore_use &&
            !(own ? scope_.schedule.untouched(v, scope_.window) : scope_.schedule.open(v, scope_.window)))
            return false;
    }
    return request.below.empty() || (graph_[v].child_count > 0 && enough_below(v, request.below));
}

// How much of `wanted`, in the request's unit, the vertex gives; what it and its children need is picked
// then.
int64_t Search::take(VertexId v, const Request &request, bool in_slot, int64_t wanted)
{
    if (!viable(v, request, in_slot))
        return 0;
    const Vertex &vertex = graph_[v];
    auto ratio = unit_ratio(graph_.unit_of(v), request.unit);
    bool part = part_of_pool(v, request, in_slot);
    int64_t amount = vertex.size;
    if (part) {
        int64_t left = scope_.ignore_use ? vertex.size : scope_.schedule.free_part(v, scope_.window);
        if (auto found = taken_.find(v); found != taken_.end())
            left -= found->second;
        amount = std::min(left, ratio->to_vertex(wanted));
        if (amount <= 0)
            return 0;
    }
    size_t mark = picks_.size();
    bool everything = request.exclusive.value_or(false); // asked for by name: with all that is in it
    push({v, amount, exclusive(v, request, in_slot), part, everything});
    if (!request.with.empty()) {
        enclosing_.push_back(v);
        bool direct = std::exchange(direct_, false);
        bool matched = match_list(v, request.with, in_slot);
        direct_ = direct;
        enclosing_.pop_back();
        if (!matched) {
            undo(mark);
            return 0;
        }
    }
    return std::max<int64_t>(1, ratio->to_request(amount));
}

bool Search::match_resource(VertexId at, const Request &request, List siblings, bool in_slot)
{
    size_t mark = picks_.size();
    int64_t most = as_limit(request.count.max());
    int64_t have = 0;
    std::vector<Share> shares;
    auto take_share = [&](VertexId v) {
        size_t first = picks_.size();
        int64_t amount = take(v, request, in_slot, std::max<int64_t>(most - have, 1));
        if (amount > 0) {
            have += amount;
            shares.push_back({v, first, amount});
        }
        return amount;
    };
    candidates(at, request, siblings, in_slot, most, take_share);
    if (have > most && scope_.policy.first_match) {
        std::vector<VertexId> list = best_first(shares);
        undo(mark);
        shares.clear();
        have = 0;
        for (VertexId v : list)
            if (have < most)
                take_share(v);
    }
    auto acceptable = request.count.floor(uint64_t(have));
    if (!acceptable) {
        undo(mark);
        return false;
    }
    // What is too much goes back, of a pool that is taken whole nothing.
    int64_t surplus = have - int64_t(*acceptable);
    while (surplus > 0 && !shares.empty()) {
        auto [vertex, first, amount] = shares.back();
        if (amount > surplus) {
            auto ratio = unit_ratio(graph_.unit_of(picks_[first].vertex), request.unit);
            if (ratio && picks_[first].part)
                lower(picks_[first], ratio->to_vertex(amount - surplus));
            break;
        }
        undo(first);
        surplus -= amount;
        shares.pop_back();
    }
    return true;
}

bool Search::match_list(VertexId at, List list, bool in_slot)
{
    if (scope_.policy.compact && match_compact(at, list, in_slot))
        return true;
    size_t mark = picks_.size();
    std::vector<const Request *> slots;
    for (const auto &request : list)
        if (request.kind == Request::Kind::slot)
            slots.push_back(&request);
    bool alternatives = scope_.or_slots && slots.size() > 1;
    if (alternatives && !match_slots(at, slots))
        return false;
    for (const auto &request : list) {
        const Request *one = &request;
        bool matched = request.kind == Request::Kind::resource ? match_resource(at, request, list, in_slot)
                       : alternatives                          ? true
                                                               : match_slots(at, {&one, 1});
        if (!matched) {
            undo(mark);
            return false;
        }
    }
    return true;
}

// Tries to have everything below one of the children, the one with the least to spare first.
bool Search::match_compact(VertexId at, List list, bool in_slot)
{
    if (at == no_vertex || graph_[at].child_count == 0)
        return false;
    Needs needs;
    for (const auto &request : list)
        needs.insert(needs.end(), request.all.begin(), request.all.end());
    if (needs.empty())
        return false;
    std::vector<std::pair<int64_t, VertexId>> fitting;
    for (VertexId child : graph_.children(at)) {
        visited_++;
        const Vertex &vertex = graph_[child];
        bool asked_for = std::ranges::any_of(list, [&](const Request &request) {
            return request.kind == Request::Kind::resource && request.type == vertex.type;
        });
        if (asked_for || vertex.child_count == 0 || !visible(child) || !passable(child, needs))
            continue;
        fitting.emplace_back(scope_.schedule.free_below(child, needs[0].first, scope_.window), child);
    }
    std::ranges::stable_sort(fitting, {}, &std::pair<int64_t, VertexId>::first);
    for (auto [unused, child] : fitting)
        if (match_list(child, list, in_slot))
            return true;
    return false;
}

bool Search::run(const JobRequest &request)
{
    picks_.clear();
    taken_.clear();
    track_ = request.rivals || scope_.policy.compact || scope_.or_slots;
    VertexId root = graph_.root();
    if (root == no_vertex || graph_[root].child_count == 0 || !visible(root))
        return root != no_vertex && visible(root) && match_list(no_vertex, request.resources, false) &&
               !gave_up();
    Needs below_root;
    for (auto need : request.needs)
        if (graph_.tracked_type(need.first) != graph_[root].type)
            below_root.push_back(need);
    return enough_below(root, below_root) && match_list(no_vertex, request.resources, false) && !gave_up();
}

} // namespace flux::graph
