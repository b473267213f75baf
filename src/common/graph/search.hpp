// Search: finds the vertices for one job in one window of time. Changes nothing.
//
// A request's vertices are looked for below the vertex that was found for the request around it: children
// whose type is asked for are candidates, others are passed through, unless they are down, taken, excluded by
// the constraint, or their filter says that there cannot be enough below. What the containment tree does not
// have below a vertex is looked for, in the other subsystems that are visible, at what supplies it.
#pragma once
#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>
#include <unordered_map>
#include <vector>

#include "common/graph/constraint_check.hpp"
#include "common/graph/first_order.hpp"
#include "common/graph/policy.hpp"
#include "common/graph/request.hpp"
#include "common/graph/schedule.hpp"

namespace flux::graph {

struct SearchScope {
    const Graph &graph;
    const Schedule &schedule;
    const Policy &policy;
    const std::vector<bool> &divisible; // by type
    uint64_t subsystems = 1;            // visible ones, one bit each
    bool or_slots = false;              // slots beside each other are alternatives
    bool thorough = false;              // no limit to what is put in order
    bool ignore_use = false;            // could it ever be, whatever is taken or down?
    Window window {0, 1, true};
    const ConstraintCheck &constraint;
    const FirstOrder *first_order = nullptr; // of a policy that takes the first match
};

class Search {
public:
    static constexpr size_t visits_at_least = size_t(1) << 25;
    static constexpr size_t visits_per_vertex = 16;
    explicit Search(const SearchScope &scope)
        : scope_(scope), graph_(scope.graph),
          most_visited_(visits_at_least + visits_per_vertex * scope.graph.size())
    {
    }
    // The vertices in the order in which they were found, or false.
    bool run(const JobRequest &request);
    const std::vector<Pick> &picks() const { return picks_; }
    size_t visited() const { return visited_; } // vertices that were looked at, in all runs together
    // Some requests have more arrangements than can be tried: nothing was found then.
    bool gave_up() const { return visited_ > most_visited_; }

private:
    using List = std::span<const Request>;
    static constexpr int64_t unlimited = std::numeric_limits<int64_t>::max() / 4;
    static int64_t as_limit(uint64_t count) { return int64_t(std::min(count, uint64_t(unlimited))); }
    struct Share { // what one vertex brought to a request
        VertexId vertex;
        size_t first_pick;
        int64_t amount; // in the request's unit
    };

    // search.cpp: requests
    bool match_list(VertexId at, List list, bool in_slot);
    bool match_compact(VertexId at, List list, bool in_slot);
    bool match_resource(VertexId at, const Request &request, List siblings, bool in_slot);
    bool exclusive(VertexId v, const Request &request, bool in_slot) const;
    bool part_of_pool(VertexId v, const Request &request, bool in_slot) const;
    bool viable(VertexId v, const Request &request, bool in_slot);
    int64_t take(VertexId v, const Request &request, bool in_slot, int64_t wanted);

    // search_slots.cpp
    bool match_slots(VertexId at, std::span<const Request *const> slots);
    bool match_slots(VertexId at, std::span<const Request *const> slots, bool close);
    bool by_children(const Request &slot) const;
    int64_t distribute(VertexId at, std::span<const Request *const> slots, int64_t limit, bool close);
    struct ScoredSlot {
        int64_t score = 0;
        size_t members = 0; // of its request's children
        std::vector<Pick> picks;
    };
    static bool holds(const Request &slot, TypeId type);
    bool may_have_inside(VertexId v, const Request &slot);
    void collect_close(VertexId at, const Request &slot, int64_t limit, std::vector<ScoredSlot> &out);
    void collect_slots(VertexId at, const Request &slot, int64_t limit, std::vector<ScoredSlot> &out);
    int64_t place_best(VertexId at, const Request &slot, int64_t limit, bool top);
    bool best_come_first(VertexId at, const Request &slot, bool top) const;
    bool may_score(VertexId at, const Request &slot) const;
    int64_t place_close(VertexId at, const Request &slot, int64_t limit);
    int64_t place(VertexId at, std::span<const Request *const> slots, int64_t limit);
    int64_t place_slots(VertexId at, const Request &slot, int64_t limit);
    int64_t place_one_by_one(VertexId at, const Request &slot, int64_t limit);
    int64_t gather_shares(VertexId at, const Request &child, List siblings, int64_t limit,
                          std::vector<size_t> &ends);
    bool widen(VertexId at, const Request &child, List siblings, int64_t slots, size_t mark);

    // search_candidates.hpp
    template <class Visit>
    bool visit_children(VertexId at, bool reverse, Visit &&visit) const;
    template <class Visit>
    void candidates(VertexId at, const Request &request, List siblings, bool in_slot, int64_t most,
                    Visit &&visit);
    template <class Visit>
    int64_t walk(VertexId at, const Request &request, List siblings, bool reverse, int64_t most,
                 Visit &visit);
    template <class Visit>
    void walk_supplied(VertexId at, const Request &request, List siblings, Visit &visit);
    template <class Visit>
    void walk_suppliers(VertexId at, const Request &request, Visit &visit);
    bool visible(VertexId v) const;
    bool passable(VertexId v, const Needs &needs);
    bool enough_below(VertexId v, const Needs &needs) const;
    bool allowed(VertexId v);

    // search_order.cpp
    Policy::Order order_at(VertexId at, bool in_slot) const;
    bool in_tree_order(VertexId at, const Request &request, bool in_slot, bool &reverse) const;
    int64_t bounded_id(VertexId v) const;
    int64_t score(VertexId v) const;
    void leave_what_would_do(std::vector<VertexId> &list, const Request &request, bool in_slot);
    void order(std::vector<VertexId> &list, const Request &request, VertexId at, bool in_slot);
    void order_by_score(std::vector<VertexId> &list, const Request &request, bool in_slot, bool high);
    void order_by_runs(std::vector<VertexId> &list);
    void order_by_performance(std::vector<VertexId> &list, const Request &request, bool in_slot);
    std::vector<VertexId> best_first(std::span<const Share> shares) const;

    // picks
    int64_t weight(const Pick &pick) const;
    void push(const Pick &pick);
    void lower(Pick &pick, int64_t amount);
    void undo(size_t mark);
    bool conflicts(VertexId v, bool exclusive) const;

    const SearchScope scope_;
    const Graph &graph_;
    std::vector<Pick> picks_;
    bool track_ = false; // could one vertex be taken twice?
    std::unordered_map<VertexId, int64_t> taken_;
    std::vector<VertexId> enclosing_; // taken, and what is inside is being matched
    std::unordered_map<VertexId, bool> allowed_;
    bool direct_ = false; // only children are candidates, nothing is passed through
    int mixtures_left_ = 0;
    size_t visited_ = 0;
    const size_t most_visited_;
};

} // namespace flux::graph
