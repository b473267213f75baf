#include "common/graph/search.hpp"

#include <algorithm>
#include <utility>

#include "common/graph/search_candidates.hpp"
#include "common/graph/units.hpp"

namespace flux::graph {

namespace {

constexpr int64_t node_weight = 10000; // how much more a node's id counts than that of what is in it
constexpr int64_t worst_performance = 9999;
constexpr int max_mixtures = 1000;     // of or-slots that are tried at one vertex
constexpr int64_t max_slots = 1 << 24; // of one request
constexpr int64_t most_scored = 1 << 14; // vertices of a type that slots are put together of, to take the best of them
constexpr size_t most_tried = 1 << 10;   // candidates that are all tried before they are put in order

int64_t as_limit(uint64_t count)
{
    constexpr auto unlimited = uint64_t(std::numeric_limits<int64_t>::max() / 4);
    return int64_t(std::min(count, unlimited));
}

} // namespace

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

namespace {

template <class What>
using Scored = std::vector<std::pair<int64_t, What>>;

// The least score first. Equal ones come as std::sort leaves them, which keeps their order where there are few.
template <class What>
void sort_by_score(Scored<What> &scored)
{
    std::sort(scored.begin(), scored.end(), [](const auto &a, const auto &b) { return a.first < b.first; });
}

// Instead of ids: the last run of consecutive ones gets the least score.
template <class What>
void score_by_runs(Scored<What> &scored)
{
    std::vector<int64_t> ids;
    for (const auto &[id, unused] : scored)
        ids.push_back(id);
    std::ranges::sort(ids);
    std::vector<int64_t> first_of_runs;
    for (size_t i = 0; i < ids.size(); i++)
        if (i == 0 || ids[i] > ids[i - 1] + 1)
            first_of_runs.push_back(ids[i]);
    for (auto &[score, unused] : scored)
        score = -*std::prev(std::ranges::upper_bound(first_of_runs, score));
}

} // namespace

// Which order counts here: locality is for what stands at the top of a request, all else of it is taken as by `high`.
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

int64_t Search::score(VertexId v) const
{
    int64_t score = graph_[v].id + 1;
    if (!scope_.policy.node_centric || graph_[v].parent == no_vertex)
        return score;
    VertexId node = graph_.above(graph_[v].parent, graph_.node_type());
    if (node != no_vertex)
        score += (graph_[node].id + 2) * node_weight + std::abs(graph_[node].uniq_id % node_weight - 1);
    return score;
}

// Leaves those that would be taken if they came first; of many those that might be.
void Search::leave_what_would_do(std::vector<VertexId> &list, const Request &request, bool in_slot)
{
    bool try_all = list.size() <= most_tried;
    std::erase_if(list, [&](VertexId v) {
        if (!try_all)
            return !viable(v, request, in_slot);
        size_t mark = picks_.size();
        bool does = take(v, request, in_slot, 1) > 0;
        undo(mark);
        return !does;
    });
}

// Where several have the same score and there are more than `few`, what is in the list decides which of them comes
// first: then it is only what would do.
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
        scored.emplace_back(graph_[v].id, v);
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

// The slots of the children of each vertex, `at` or one below it. A policy that takes the first match has enough of a
// subtree when it has `limit` of it. How many there are.
size_t Search::collect_close(VertexId at, const Request &slot, int64_t limit, std::vector<ScoredSlot> &out)
{
    auto wanted = [&](VertexId v) {
        return std::ranges::any_of(slot.with, [&](const Request &one) { return one.type == graph_[v].type; });
    };
    size_t before = out.size();
    if (std::ranges::any_of(graph_.children(at), wanted)) {
        direct_ = true;
        collect_slots(at, slot, limit, out);
        direct_ = false;
    }
    visit_children(at, false, [&](VertexId v) {
        if (++visited_ > most_visited_ || int64_t(out.size() - before) >= limit)
            return true;
        if (graph_[v].child_count > 0 && visible(v) && !wanted(v) && passable(v, slot.below) &&
            !conflicts(v, false))
            collect_close(v, slot, limit, out);
        return false;
    });
    return out.size() - before;
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
                if (graph_[gathered[i][pick].vertex].type == slot.with[i].type)
                    one.score += score(gathered[i][pick].vertex);
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
    if (by == Policy::Order::locality && top && slot.with.size() == 1 && slot.with[0].count.min() == 1) {
        for (size_t i = 0; i < slots.size(); i++)
            order.emplace_back(graph_[slots[i].picks[0].vertex].id, i);
        score_by_runs(order);
    } else {
        int64_t sign = by == Policy::Order::low ? 1 : by == Policy::Order::variation ? 0 : -1;
        for (size_t i = 0; i < slots.size(); i++)
            order.emplace_back(sign * slots[i].score, i);
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
           std::ranges::all_of(slot.with, [&](const Request &child) { return in_tree_order(at, child, true, reverse); });
}

// May they be scored? Where there are many that takes too long.
bool Search::may_score(VertexId at, const Request &slot) const
{
    return std::ranges::all_of(slot.with, [&](const Request &child) {
        int column = graph_.column(child.type);
        bool few = column >= 0 && graph_.total(at)[size_t(column)] <= most_scored;
        return child.count.fixed() && (few || scope_.policy.first_match);
    });
}

// Each slot of the children of one vertex: of those of `at`, or of one below it.
int64_t Search::place_close(VertexId at, const Request &slot, int64_t limit)
{
    auto wanted = [&](VertexId v) {
        return std::ranges::any_of(slot.with, [&](const Request &one) { return one.type == graph_[v].type; });
    };
    auto children = graph_.children(at);
    int64_t placed = 0;
    if (std::ranges::any_of(children, wanted)) {
        direct_ = true;
        placed = place_slots(at, slot, limit);
        direct_ = false;
    }
    visit_children(at, scope_.policy.order == Policy::Order::high, [&](VertexId v) {
        if (placed >= limit || ++visited_ > most_visited_)
            return true;
        if (graph_[v].child_count > 0 && visible(v) && !wanted(v) && passable(v, slot.below) &&
            !conflicts(v, false))
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
