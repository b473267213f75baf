// Planner: how much of something is used over time, as spans that come and go.
//
// A planner counts one or more quantities ("dimensions", up to max_dims). It is one treap, ordered by time,
// of the points where something changes; every node knows the sum, maximum and minimum of the changes below
// it, so that "used at t", "most used during [t, t+d)" and "the next time when at most n are used" are O(log
// n) in the number of points. It knows no capacity: the caller gives the most that may be in use.
#pragma once
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

namespace flux::graph {

using Time = int64_t; // whole seconds

class Planner {
public:
    static constexpr Time forever = std::numeric_limits<Time>::max();
    static constexpr size_t max_dims = 64;

    explicit Planner(size_t dims = 1);

    // Uses amounts[0..dims) during [start, end). remove() takes the same arguments as the add() that it
    // undoes.
    void add(Time start, Time end, std::span<const int64_t> amounts) { span(start, end, amounts, 1); }
    void remove(Time start, Time end, std::span<const int64_t> amounts) { span(start, end, amounts, -1); }
    void add(Time start, Time end, int64_t amount) { span(start, end, {&amount, 1}, 1); }
    void remove(Time start, Time end, int64_t amount) { span(start, end, {&amount, 1}, -1); }

    int64_t used(Time at, size_t dim = 0) const;
    int64_t most_used(Time start, Time end, size_t dim = 0) const; // during [start, end)
    bool fits(Time start, Time end, std::span<const int64_t> limits) const;

    // The first time > after when something changes.
    std::optional<Time> next_change(Time after) const;
    // The first t >= from when at most limit is used.
    std::optional<Time> next_at_most(Time from, int64_t limit, size_t dim = 0) const;
    // The first t > after when more than limit is used, at a change.
    std::optional<Time> next_above(Time after, int64_t limit, size_t dim = 0) const;
    // The first t >= from such that during [t, t+duration) at most limits[dim] is used of every dimension.
    // O(log n) for each gap that is too short.
    std::optional<Time> earliest(Time from, Time duration, std::span<const int64_t> limits) const;
    std::optional<Time> earliest(Time from, Time duration, int64_t limit) const
    {
        return earliest(from, duration, {&limit, 1});
    }

    size_t dims() const { return dims_; }
    size_t points() const { return count_; }
    bool empty() const { return count_ == 0; }
    size_t bytes() const;

private:
    using Index = uint32_t;
    static constexpr Index none = 0; // nodes_[0] stands for no node

    struct Node {
        Time time;
        Index left;
        Index right;
        uint32_t priority;
        uint32_t refs; // spans that begin or end here
    };
    struct Value { // of one dimension: the change here, and of the subtree the sum and extreme prefix sums
        int64_t change;
        int64_t sum;
        int64_t most;
        int64_t least;
    };

    void span(Time start, Time end, std::span<const int64_t> amounts, int sign);
    Index change(Index at, Time time, std::span<const int64_t> amounts, int sign, int refs);
    Index make(Time time, std::span<const int64_t> amounts, int sign);
    Index join(Index left, Index right);
    Index rotate_left(Index at);
    Index rotate_right(Index at);
    void pull(Index at);
    Value &value(Index at, size_t dim) { return values_[at * dims_ + dim]; }
    const Value &value(Index at, size_t dim) const { return values_[at * dims_ + dim]; }
    int64_t most_in(Index at, int64_t before, const Time *after, const Time *until, size_t dim) const;
    template <bool above>
    Index search(Index at, int64_t before, Time after, int64_t limit, size_t dim) const;

    size_t dims_;
    size_t count_ = 0;
    Index root_ = none;
    Index free_ = none; // list of unused nodes, linked by left
    uint32_t random_ = 0x9e3779b9;
    std::vector<Node> nodes_;
    std::vector<Value> values_;
};

} // namespace flux::graph
