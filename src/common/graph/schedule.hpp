// Schedule: who uses which vertices of a graph, and when.
//
// A vertex that nobody ever used costs 4 bytes here. One that is used has its spans: whole (nobody else may
// use it or anything below), or part of it (divisible pools, and vertices that were only passed through and
// have nothing below). Inner vertices on the way to what is used have a Filter, the sum of what is used below
// them over time, so that a search does not go down where there cannot be enough. A filter is a short list at
// first and gets planners when it has more than Filter::max_listed spans.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "common/graph/graph.hpp"
#include "common/graph/planner.hpp"

namespace flux::graph {

using JobSlot = uint32_t; // a number of the job for as long as it uses something

struct Window { // [start, end)
    Time start;
    Time end;
    bool now; // what is allocated is in use, even when it was to end before
};

struct Span {
    Time start;
    Time end;
    JobSlot job;
    bool reserved; // and not allocated

    bool overlaps(const Window &window) const
    {
        return start < window.end && (end > window.start || (window.now && !reserved));
    }
    // At one time in the window. What was to end before it and is still allocated counts at its beginning.
    bool uses(Time at, const Window &window) const
    {
        return start <= at && (end > at || (window.now && !reserved && at == window.start));
    }
};

// How much of some columns (of the graph's totals) is wanted.
using Needs = std::vector<std::pair<uint32_t, int64_t>>;

class Filter {
public:
    static constexpr size_t max_listed = 8;

    // The columns of which there is something below the vertex; another one counts the spans.
    explicit Filter(std::span<const int64_t> totals);
    void add(const Span &span, std::span<const int64_t> amounts);
    void remove(const Span &span, std::span<const int64_t> amounts);
    bool empty() const { return count_ == 0; }
    // Has somebody used something below during the window?
    bool touched(const Window &window) const;
    // Is enough left of totals?
    bool enough(std::span<const int64_t> totals, const Needs &needs, const Window &window) const;
    int64_t most_used(uint32_t column, const Window &window) const;

    // For reservations: the first time >= from when needs may be met for so long; nothing when never.
    std::optional<Time> earliest(std::span<const int64_t> totals, const Needs &needs, Time from,
                                 Time duration);
    std::optional<Time> next_change(Time after) const;
    int64_t held(uint32_t column) const
    {
        return place_of_[column] < 0 ? 0 : held_[size_t(place_of_[column])];
    }
    size_t bytes() const;

private:
    int64_t most(size_t place, const Window &window) const;
    void make_planner();
    std::vector<int64_t> compact(std::span<const int64_t> amounts) const;

    std::vector<uint8_t> columns_;
    std::vector<int8_t> place_of_; // by column
    std::vector<Span> spans_;      // while there are few
    std::vector<int64_t> amounts_; // columns_.size() + 1 for each of them
    std::vector<int64_t> held_;    // by what is allocated
    std::unique_ptr<Planner> planner_;
    size_t count_ = 0;
};

class Schedule {
public:
    explicit Schedule(const Graph &graph) : graph_(&graph) {}

    void use_whole(VertexId v, const Span &span);
    void use_part(VertexId v, const Span &span, int64_t amount);
    void release(VertexId v, JobSlot job);
    // What is used below an inner vertex, by the columns of the graph's totals.
    void add_below(VertexId v, const Span &span, std::span<const int64_t> amounts);
    void remove_below(VertexId v, const Span &span, std::span<const int64_t> amounts);

    // Somebody has the whole vertex now: not in any window that begins now will it be free. Costs a bit's
    // look.
    bool taken(VertexId v) const { return v / 64 < taken_.size() && (taken_[v / 64] >> (v % 64) & 1); }
    // Nobody has the whole vertex.
    bool open(VertexId v, const Window &window) const;
    // Nobody has anything of it or below it.
    bool untouched(VertexId v, const Window &window) const;
    // Of a divisible pool.
    int64_t free_part(VertexId v, const Window &window) const;
    // May there be so much below an inner vertex? False is certain.
    bool enough_below(VertexId v, const Needs &needs, const Window &window) const;
    int64_t free_below(VertexId v, uint32_t column, const Window &window) const;
    int64_t held_below(VertexId v, uint32_t column) const; // by what is allocated, and not reserved
    int64_t held_part(VertexId v) const;                   // of a divisible pool, the same

    // The first end or start of anybody's use of the vertex or of what is below it, after a time; forever
    // when there is none.
    Time next_change(VertexId v, Time after) const;
    Filter *filter(VertexId v); // nullptr when nothing below was used
    // The spans of those who have the whole vertex, or a part, by start.
    std::span<const Span> users(VertexId v) const;
    // Adds those who have the vertex as a whole, and without `whole` also a part of it, or passed a leaf.
    void collect_jobs(VertexId v, bool whole, std::vector<JobSlot> &out) const;
    size_t bytes() const;

private:
    struct Use {
        std::vector<Span> whole; // by start
        std::vector<Span> parts;
        std::vector<int64_t> amounts; // of the parts
        std::unique_ptr<Filter> filter;
    };
    Use *find(VertexId v);
    const Use *find(VertexId v) const;
    Use &make(VertexId v);
    void drop_if_unused(VertexId v);
    void set_taken(VertexId v, bool taken);

    const Graph *graph_;
    std::vector<uint32_t> use_of_; // by vertex: index into uses_ plus one
    std::vector<Use> uses_;
    std::vector<uint64_t> taken_; // a bit for each vertex
    std::vector<uint32_t> unused_;
};

} // namespace flux::graph
