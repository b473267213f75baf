#include "common/graph/planner.hpp"

#include <algorithm>

#include "common/base/error.hpp"

namespace flux::graph {

namespace {
constexpr int64_t lowest = std::numeric_limits<int64_t>::min() / 4; // of an empty subtree's prefix sums
constexpr int64_t highest = std::numeric_limits<int64_t>::max() / 4;
} // namespace

Planner::Planner(size_t dims)
    : dims_(dims), nodes_(1, Node {0, none, none, 0, 0}), values_(dims, Value {0, 0, lowest, highest})
{
    FLUX_ASSERT(dims >= 1 && dims <= max_dims);
}

size_t Planner::bytes() const
{
    return sizeof(*this) + nodes_.capacity() * sizeof(Node) + values_.capacity() * sizeof(Value);
}

void Planner::pull(Index at)
{
    const Node &node = nodes_[at];
    const Value *left = &values_[node.left * dims_];
    const Value *right = &values_[node.right * dims_];
    Value *own = &values_[at * dims_];
    for (size_t dim = 0; dim < dims_; dim++) {
        int64_t here = left[dim].sum + own[dim].change;
        own[dim].sum = here + right[dim].sum;
        own[dim].most = std::max({left[dim].most, here, here + right[dim].most});
        own[dim].least = std::min({left[dim].least, here, here + right[dim].least});
    }
}

Planner::Index Planner::make(Time time, std::span<const int64_t> amounts, int sign)
{
    Index at = free_;
    if (at != none) {
        free_ = nodes_[at].left;
    } else {
        at = Index(nodes_.size());
        nodes_.emplace_back();
        values_.resize(values_.size() + dims_);
    }
    random_ ^= random_ << 13, random_ ^= random_ >> 17, random_ ^= random_ << 5;
    nodes_[at] = {time, none, none, random_, 1};
    for (size_t dim = 0; dim < dims_; dim++)
        value(at, dim).change = sign * amounts[dim];
    pull(at);
    count_++;
    return at;
}

Planner::Index Planner::rotate_right(Index at)
{
    Index up = nodes_[at].left;
    nodes_[at].left = nodes_[up].right;
    nodes_[up].right = at;
    pull(at);
    pull(up);
    return up;
}

Planner::Index Planner::rotate_left(Index at)
{
    Index up = nodes_[at].right;
    nodes_[at].right = nodes_[up].left;
    nodes_[up].left = at;
    pull(at);
    pull(up);
    return up;
}

Planner::Index Planner::join(Index left, Index right)
{
    if (left == none || right == none)
        return left == none ? right : left;
    if (nodes_[left].priority > nodes_[right].priority) {
        Index joined = join(nodes_[left].right, right);
        nodes_[left].right = joined;
        pull(left);
        return left;
    }
    Index joined = join(left, nodes_[right].left);
    nodes_[right].left = joined;
    pull(right);
    return right;
}

Planner::Index Planner::change(Index at, Time time, std::span<const int64_t> amounts, int sign, int refs)
{
    if (at == none) {
        FLUX_ASSERT(refs > 0); // else a span is removed that was never added
        return make(time, amounts, sign);
    }
    if (time < nodes_[at].time) {
        Index child = change(nodes_[at].left, time, amounts, sign, refs);
        nodes_[at].left = child;
        if (child != none && nodes_[child].priority > nodes_[at].priority)
            return rotate_right(at);
    } else if (nodes_[at].time < time) {
        Index child = change(nodes_[at].right, time, amounts, sign, refs);
        nodes_[at].right = child;
        if (child != none && nodes_[child].priority > nodes_[at].priority)
            return rotate_left(at);
    } else {
        nodes_[at].refs += refs;
        for (size_t dim = 0; dim < dims_; dim++)
            value(at, dim).change += sign * amounts[dim];
        if (nodes_[at].refs == 0) {
            Index rest = join(nodes_[at].left, nodes_[at].right);
            nodes_[at].left = free_;
            free_ = at;
            count_--;
            return rest;
        }
    }
    pull(at);
    return at;
}

void Planner::span(Time start, Time end, std::span<const int64_t> amounts, int sign)
{
    if (start >= end)
        return;
    root_ = change(root_, start, amounts, sign, sign);
    if (end != forever)
        root_ = change(root_, end, amounts, -sign, sign);
}

int64_t Planner::used(Time at, size_t dim) const
{
    int64_t sum = 0;
    for (Index node = root_; node != none;) {
        if (nodes_[node].time <= at) {
            sum += value(nodes_[node].left, dim).sum + value(node, dim).change;
            node = nodes_[node].right;
        } else {
            node = nodes_[node].left;
        }
    }
    return sum;
}

// The greatest prefix sum at the subtree's points in (after, until); a null bound is none.
int64_t Planner::most_in(Index at, int64_t before, const Time *after, const Time *until, size_t dim) const
{
    while (at != none) {
        if (!after && !until)
            return before + value(at, dim).most;
        const Node &node = nodes_[at];
        int64_t here = before + value(node.left, dim).sum + value(at, dim).change;
        if (after && node.time <= *after) {
            before = here;
            at = node.right;
        } else if (until && node.time >= *until) {
            at = node.left;
        } else {
            return std::max({most_in(node.left, before, after, nullptr, dim), here,
                             most_in(node.right, here, nullptr, until, dim)});
        }
    }
    return lowest;
}

int64_t Planner::most_used(Time start, Time end, size_t dim) const
{
    return std::max(used(start, dim), most_in(root_, 0, &start, &end, dim));
}

bool Planner::fits(Time start, Time end, std::span<const int64_t> limits) const
{
    for (size_t dim = 0; dim < dims_; dim++)
        if (most_used(start, end, dim) > limits[dim])
            return false;
    return true;
}

std::optional<Time> Planner::next_change(Time after) const
{
    std::optional<Time> found;
    for (Index at = root_; at != none;) {
        if (nodes_[at].time > after) {
            found = nodes_[at].time;
            at = nodes_[at].left;
        } else {
            at = nodes_[at].right;
        }
    }
    return found;
}

// The first point after `after` whose prefix sum is above (or not above) the limit.
template <bool above>
Planner::Index Planner::search(Index at, int64_t before, Time after, int64_t limit, size_t dim) const
{
    while (at != none) {
        const Value &own = value(at, dim);
        if (above ? before + own.most <= limit : before + own.least > limit)
            return none;
        const Node &node = nodes_[at];
        int64_t here = before + value(node.left, dim).sum + own.change;
        if (node.time > after) {
            if (Index found = search<above>(node.left, before, after, limit, dim); found != none)
                return found;
            if (above ? here > limit : here <= limit)
                return at;
        }
        before = here;
        at = node.right;
    }
    return none;
}

std::optional<Time> Planner::next_at_most(Time from, int64_t limit, size_t dim) const
{
    if (used(from, dim) <= limit)
        return from;
    Index found = search<false>(root_, 0, from, limit, dim);
    return found == none ? std::nullopt : std::optional(nodes_[found].time);
}

std::optional<Time> Planner::next_above(Time after, int64_t limit, size_t dim) const
{
    Index found = search<true>(root_, 0, after, limit, dim);
    return found == none ? std::nullopt : std::optional(nodes_[found].time);
}

std::optional<Time> Planner::earliest(Time from, Time duration, std::span<const int64_t> limits) const
{
    Time at = from;
    for (size_t dim = 0, settled = 0; settled < dims_; dim = (dim + 1) % dims_) {
        auto start = next_at_most(at, limits[dim], dim);
        while (start) {
            auto above = next_above(*start, limits[dim], dim);
            if (!above || *above - duration >= *start)
                break;
            start = next_at_most(*above, limits[dim], dim);
        }
        if (!start)
            return std::nullopt;
        settled = *start == at ? settled + 1 : 1;
        at = *start;
    }
    return at;
}

} // namespace flux::graph
