// The part of Search that puts slots together.
#include <algorithm>
#include <utility>

#include "common/graph/scored.hpp"
#include "common/graph/search_candidates.hpp"

namespace flux::graph {

namespace {

constexpr int max_mixtures = 1000;     // of or-slots that are tried at one vertex
constexpr int64_t max_slots = 1 << 24; // of one request
// Vertices of a type that slots are put together of, to take the best of them.
constexpr int64_t most_scored = 1 << 14;

} // namespace

// First so that all of a slot stands beside each other, below one socket for instance; if there are not
// enough such slots, wherever it is.
bool Search::match_slots(VertexId at, std::span<const Request *const> slots)
{
    return (slots.size() == 1 && by_children(*slots[0]) && match_slots(at, slots, true)) ||
           match_slots(at, slots, false);
}

bool Search::match_slots(VertexId at, std::span<const Request *const> slots, bool close)
{
    const Count &count = slots[0]->count;
    size_t mark = picks_.size();
    int64_t placed = distribute(at, slots, std::min(as_limit(count.max()), max_slots), close);
    auto acceptable = count.floor(uint64_t(placed));
    if (acceptable && int64_t(*acceptable) < placed) { // for instance 7 where powers of two are wanted
        undo(mark);
        placed = distribute(at, slots, int64_t(*acceptable), close);
        acceptable = count.floor(uint64_t(placed));
    }
    if (!acceptable)
        undo(mark);
    return acceptable.has_value();
}

// Can what a slot needs be gathered one child of its request after the other?
bool Search::by_children(const Request &slot) const
{
    if (scope_.policy.compact)
        return false;
    for (size_t i = 0; i < slot.with.size(); i++) {
        if (slot.with[i].kind != Request::Kind::resource)
            return false;
        for (size_t j = 0; j < i; j++)
            if (slot.with[i].type == slot.with[j].type)
                return false;
    }
    return true;
}

// Slots whose resources belong together fill one node after the other.
int64_t Search::distribute(VertexId at, std::span<const Request *const> slots, int64_t limit, bool close)
{
    bool top = at == no_vertex;
    if (top && close) {
        at = graph_.root();
        if (at == no_vertex || graph_[at].child_count == 0 || !passable(at, slots[0]->below) ||
            conflicts(at, false))
            return 0;
    }
    if (close && best_come_first(at, *slots[0], top))
        return place_close(at, *slots[0], limit);
    if (close && may_score(at, *slots[0]))
        return place_best(at, *slots[0], limit, top);
    bool by_node = std::ranges::all_of(slots, [](const Request *slot) { return slot->colocated; }) &&
                   graph_.above(at, graph_.node_type()) == no_vertex;
    mixtures_left_ = max_mixtures;
    if (!by_node)
        return close ? place_close(at, *slots[0], limit) : place(at, slots, limit);
    Request node;
    node.type = graph_.node_type();
    node.count = Count::range(1, Count::infinite);
    if (slots.size() == 1)
        node.below = node.one = slots[0]->below;
    int64_t placed = 0;
    candidates(at, node, {}, false, limit, [&](VertexId v) -> int64_t {
        mixtures_left_ = max_mixtures;
        if (placed >= limit || graph_[v].child_count == 0 || !passable(v, node.below) || conflicts(v, false))
            return 0;
        int64_t here = close ? place_close(v, *slots[0], limit - placed) : place(v, slots, limit - placed);
        placed += here;
        return here;
    });
    return placed;
}

bool Search::holds(const Request &slot, TypeId type)
{
    return std::ranges::any_of(slot.with, [&](const Request &one) { return one.type == type; });
}

bool Search::may_have_inside(VertexId v, const Request &slot)
{
    return graph_[v].child_count > 0 && visible(v) && !holds(slot, graph_[v].type) &&
           passable(v, slot.below) && !conflicts(v, false);
}

// The slots of the children of each vertex, `at` or one below it. A policy that takes the first match has
// enough of a subtree when it has `limit` of it.
void Search::collect_close(VertexId at, const Request &slot, int64_t limit, std::vector<ScoredSlot> &out)
{
    size_t before = out.size();
    if (std::ranges::any_of(graph_.children(at), [&](VertexId v) { return holds(slot, graph_[v].type); })) {
        direct_ = true;
        collect_slots(at, slot, limit, out);
        direct_ = false;
    }
    visit_children(at, false, [&](VertexId v) {
        if (++visited_ > most_visited_ || int64_t(out.size() - before) >= limit)
            return true;
        if (may_have_inside(v, slot))
            collect_close(v, slot, limit, out);
        return false;
    });
}

// As many as its children fill.
void Search::collect_slots(VertexId at, const Request &slot, int64_t limit, std::vector<ScoredSlot> &out)
{
    size_t mark = picks_.size();
    int64_t slots = limit;
    std::vector<std::vector<Pick>> gathered(slot.with.size());
    std::vector<std::vector<size_t>> ends(slot.with.size());
    for (size_t i = 0; i < slot.with.size() && slots > 0; i++) {
        slots = std::min(slots, gather_shares(at, slot.with[i], slot.with, limit, ends[i]));
        gathered[i].assign(picks_.begin() + long(mark), picks_.end());
        undo(mark);
    }
    for (size_t n = 0; n < size_t(slots); n++) {
        ScoredSlot one;
        for (size_t i = 0; i < slot.with.size(); i++)
            for (size_t pick = n > 0 ? ends[i][n - 1] - mark : 0; pick < ends[i][n] - mark; pick++) {
                one.picks.push_back(gathered[i][pick]);
                if (graph_[gathered[i][pick].vertex].type == slot.with[i].type) {
                    one.score = int64_t(uint64_t(one.score) + uint64_t(score(gathered[i][pick].vertex)));
                    one.members++;
                }
            }
        out.push_back(std::move(one));
    }
}

// Those with the best scores. Slots of one vertex each, at the top of a request, are what locality looks at.
int64_t Search::place_best(VertexId at, const Request &slot, int64_t limit, bool top)
{
    std::vector<ScoredSlot> slots;
    collect_close(at, slot, scope_.policy.first_match ? limit : max_slots, slots);
    auto by = scope_.policy.order;
    Scored<size_t> order;
    bool single = std::ranges::all_of(slots, [](const ScoredSlot &one) { return one.members == 1; });
    if (by == Policy::Order::locality && top && single) {
        for (size_t i = 0; i < slots.size(); i++)
            order.emplace_back(bounded_id(slots[i].picks[0].vertex), i);
        score_by_runs(order);
    } else {
        uint64_t sign = by == Policy::Order::low ? 1 : by == Policy::Order::variation ? 0 : uint64_t(-1);
        for (size_t i = 0; i < slots.size(); i++)
            order.emplace_back(int64_t(sign * uint64_t(slots[i].score)), i);
    }
    sort_by_score(order);
    order.resize(std::min(order.size(), size_t(limit)));
    for (auto [unused, i] : order)
        for (const auto &pick : slots[i].picks)
            push(pick);
    return int64_t(order.size());
}

// Do the slots with the best scores come first in the order of the tree, or in reverse?
bool Search::best_come_first(VertexId at, const Request &slot, bool top) const
{
    bool reverse = false;
    return !scope_.policy.first_match && !(top && scope_.policy.order == Policy::Order::locality) &&
           std::ranges::all_of(slot.with,
                               [&](const Request &child) { return in_tree_order(at, child, true, reverse); });
}

// May they be scored? Where there are many that takes too long.
bool Search::may_score(VertexId at, const Request &slot) const
{
    return std::ranges::all_of(slot.with, [&](const Request &child) {
        int column = graph_.column(child.type);
        bool few = scope_.thorough || graph_.count(child.type) <= size_t(most_scored) ||
                   (column >= 0 && graph_.total(at)[size_t(column)] <= most_scored);
        return child.count.fixed() && (few || scope_.policy.first_match);
    });
}

// Each slot of the children of one vertex: of those of `at`, or of one below it.
int64_t Search::place_close(VertexId at, const Request &slot, int64_t limit)
{
    int64_t placed = 0;
    if (std::ranges::any_of(graph_.children(at), [&](VertexId v) { return holds(slot, graph_[v].type); })) {
        direct_ = true;
        placed = place_slots(at, slot, limit);
        direct_ = false;
    }
    visit_children(at, order_at(at, true) == Policy::Order::high, [&](VertexId v) {
        if (placed >= limit || ++visited_ > most_visited_)
            return true;
        if (may_have_inside(v, slot))
            placed += place_close(v, slot, limit - placed);
        return false;
    });
    return placed;
}

// Alternatives are mixed so that as many slots as possible come out.
int64_t Search::place(VertexId at, std::span<const Request *const> slots, int64_t limit)
{
    if (slots.size() == 1)
        return place_slots(at, *slots[0], limit);
    size_t mark = picks_.size();
    int64_t best = 0, best_first = 0;
    int64_t most = place_slots(at, *slots[0], limit);
    undo(mark);
    for (int64_t first = most; first >= 0 && best < limit && mixtures_left_-- > 0; first--) {
        int64_t placed = first ? place_slots(at, *slots[0], first) : 0;
        placed += place(at, slots.subspan(1), limit - placed);
        undo(mark);
        if (placed > best)
            best = placed, best_first = first;
    }
    if (best == 0)
        return 0;
    int64_t placed = best_first ? place_slots(at, *slots[0], best_first) : 0;
    return placed + place(at, slots.subspan(1), limit - placed);
}

int64_t Search::place_one_by_one(VertexId at, const Request &slot, int64_t limit)
{
    for (int64_t placed = 0; placed < limit; placed++) {
        size_t mark = picks_.size();
        if (!match_list(at, slot.with, true))
            return placed;
        // Where nothing is taken there is room for any number: as many as are needed.
        if (std::ranges::none_of(std::span(picks_).subspan(mark), &Pick::exclusive))
            return std::min(limit, as_limit(slot.count.min()));
    }
    return limit;
}

// Fills slots with the child's vertices; ends[n] is where the picks of n+1 slots end. The number of whole
// slots.
int64_t Search::gather_shares(VertexId at, const Request &child, List siblings, int64_t limit,
                              std::vector<size_t> &ends)
{
    int64_t per_slot = as_limit(child.count.min());
    int64_t most = limit > unlimited / per_slot ? unlimited : limit * per_slot;
    int64_t have = 0;
    size_t mark = picks_.size();
    std::vector<Share> shares;
    auto fill = [&](VertexId v) {
        int64_t before = int64_t(ends.size()) * per_slot + have;
        bool again = true;
        while (again && int64_t(ends.size()) < limit) {
            int64_t amount = take(v, child, true, per_slot - have);
            if (amount == 0)
                break;
            again = picks_.back().part && picks_.back().vertex == v;
            have += amount;
            if (have >= per_slot) {
                ends.push_back(picks_.size());
                have = 0;
            }
        }
        int64_t given = int64_t(ends.size()) * per_slot + have - before;
        if (given > 0 && scope_.policy.first_match)
            shares.push_back({v, 0, given});
        return given;
    };
    candidates(at, child, siblings, true, most, fill);
    if (auto list = best_first(shares); !std::ranges::equal(list, shares, {}, {}, &Share::vertex)) {
        undo(mark);
        ends.clear();
        have = 0;
        for (VertexId v : list)
            fill(v);
    }
    return int64_t(ends.size());
}

// A child whose count is a range gets as many as every slot can have. False, and nothing, when that does not
// come out: what the other children have taken may be in the way.
bool Search::widen(VertexId at, const Request &child, List siblings, int64_t slots, size_t mark)
{
    int64_t most = std::min({as_limit(child.count.max()), unlimited / slots, as_limit(Count::max_value)});
    Request each = child;
    std::vector<size_t> ends;
    auto room_for = [&](int64_t amount) {
        undo(mark);
        ends.clear();
        each.count = Count(uint64_t(amount));
        return gather_shares(at, each, siblings, slots, ends) == slots;
    };
    int64_t best;
    if (graph_.pooled(child.type) || !graph_.has_unit(child.type, child.unit)) {
        // Pools: the amount is doubled while there is room for it, then found by halves.
        best = as_limit(child.count.min()); // was there before
        int64_t too_much = best;
        while (too_much == best && best < most)
            if (room_for(too_much = std::min(2 * best, most)))
                best = too_much;
        while (too_much - best > 1)
            if (int64_t middle = best + (too_much - best) / 2; room_for(middle))
                best = middle;
            else
                too_much = middle;
    } else {
        each.count = Count(1); // every vertex counts one
        undo(mark);
        best = gather_shares(at, each, siblings, slots * most, ends) / slots;
    }
    auto acceptable = child.count.floor(uint64_t(best));
    if (acceptable && room_for(int64_t(*acceptable)))
        return true;
    undo(mark);
    return false;
}

// As many slots as there is enough for of every child. What the children want differs in type: each is
// gathered by itself and cut to the number of slots that all of them can fill.
int64_t Search::place_slots(VertexId at, const Request &slot, int64_t limit)
{
    if (limit <= 0)
        return 0;
    if (!by_children(slot))
        return place_one_by_one(at, slot, limit);
    size_t mark = picks_.size();
    int64_t slots = limit;
    std::vector<std::vector<Pick>> gathered(slot.with.size());
    std::vector<std::vector<size_t>> ends(slot.with.size());
    for (size_t i = 0; i < slot.with.size() && slots > 0; i++) {
        slots = std::min(slots, gather_shares(at, slot.with[i], slot.with, slots, ends[i]));
        gathered[i].assign(picks_.begin() + long(mark), picks_.end());
        undo(mark);
    }
    for (size_t i = 0; i < slot.with.size() && slots > 0; i++) {
        bool range = !slot.with[i].count.fixed() && (slot.with[i].with.empty() || slot.with.size() == 1);
        if (range && widen(at, slot.with[i], slot.with, slots, picks_.size()))
            continue;
        size_t count = ends[i][size_t(slots) - 1] - mark;
        for (size_t pick = 0; pick < count; pick++)
            push(gathered[i][pick]);
    }
    return slots;
}

} // namespace flux::graph
