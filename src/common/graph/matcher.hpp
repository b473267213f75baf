// Matcher: a graph, who uses it, and the jobs: match, reserve, cancel, release in part, restore; grow and
// shrink.
//
// The caller says what time it is; a job's use lasts until it is cancelled, whatever was planned.
#pragma once
#include <map>
#include <memory>
#include <set>
#include <string>

#include "common/graph/allocation.hpp"
#include "common/graph/earlier_places.hpp"
#include "common/graph/first_order.hpp"
#include "common/graph/graph.hpp"
#include "common/graph/interchangeable.hpp"
#include "common/graph/match_stats.hpp"
#include "common/graph/number_plan.hpp"
#include "common/graph/policy.hpp"
#include "common/graph/request.hpp"
#include "common/graph/schedule.hpp"
#include "common/graph/search.hpp"

namespace flux::graph {

enum class MatchOp {
    allocate,
    allocate_orelse_reserve,
    allocate_with_satisfiability,
    satisfiability,
    without_allocating,
    without_allocating_future,
};
std::optional<MatchOp> parse_match_op(std::string_view name);
bool allocates(MatchOp op); // and does not only look

struct MatcherOptions {
    Policy policy;
    std::vector<std::string> subsystems {"containment"};
    PruneFilters prune_filters = PruneFilters::usual();
    std::set<std::string> divisible; // types whose pools are given out in parts
    bool or_slots = false;
    bool thorough = false;                // puts all that may be taken in order, however long that takes
    Time graph_end = Graph::max_duration; // of a job without duration
};

struct Match {
    JobUse use;           // what was found (kept only by the allocating operations)
    bool matched = false; // satisfiability: it could be
};

class Matcher {
public:
    Matcher(Graph graph, MatcherOptions options);
    Matcher(const Matcher &) = delete; // the schedule refers to the graph
    Matcher &operator=(const Matcher &) = delete;

    const Graph &graph() const { return graph_; }
    const MatcherOptions &options() const { return options_; }

    // Errors: EBUSY not now; ENODEV never, where that was looked at; EEXIST the id is in use; EINVAL the
    // request.
    Expected<Match> match(MatchOp op, int64_t id, const JobRequest &request, Time now);
    // For a queue's plan: now, or if `hold` at the earliest time. Where resources are interchangeable a
    // number of them is held then and no certain vertices: match() with allocate_orelse_reserve does for all
    // others. `possible`: it is known that the machine could do it. Errors as of match().
    Expected<Match> start_or_hold(int64_t id, const JobRequest &request, Time now, bool hold, bool possible);
    // --- for a queue that plans by numbers itself (NumberPlan)
    // How many of interchangeable vertices it asks for, and for how long from now.
    std::optional<Place> numbers_of(const JobRequest &request, Time now) const;
    bool could_match(const JobRequest &request, Time now); // an empty machine
    // How many of a type are up, and how much of it is used over time by all but the jobs that are skipped:
    // what is allocated at least now. Nothing where numbers do not say everything.
    struct Counted {
        int64_t units;
        Profile used;
    };
    std::optional<Counted> count_without(TypeId type, const std::function<bool(int64_t)> &skip,
                                         Time now) const;
    void hold(int64_t id, TypeId type, const Place &place);
    void drop_hold(int64_t id);
    // Gives it vertices now although the numbers that are held may not leave them: the caller knows better.
    Expected<Match> start_counted(int64_t id, const JobRequest &request, Time now);
    // It is the earliest place for its job beside all others: who wants as much need not look before it.
    void confirm(const Place &place) { earlier_holds_.add(place.count, place.duration, place.start); }
    void forget_places() { earlier_holds_.clear(); } // holds have moved

    // Why it did not match now, or could never: a sentence. Looks at the whole machine.
    std::string explain(const JobRequest &request, Time now) const;
    // The same when it is known (ENODEV) that it could never.
    std::string explain_never(const JobRequest &request, Time now) const;
    // The same for a job that may have a reservation itself, which is not in its own way.
    std::string explain_job(int64_t id, const JobRequest &request, Time now);

    const JobUse *find(int64_t id) const;
    const std::map<int64_t, JobUse> &jobs() const { return jobs_; }
    Expected<void> cancel(int64_t id);
    // Gives back those vertices for which `gone` is true, with what is below them. True when nothing is left.
    Expected<bool> release(int64_t id, const std::function<bool(VertexId)> &gone);
    // Takes vertices for a job that has them already. EBUSY names one that somebody else has.
    Expected<void> restore(int64_t id, const std::vector<Pick> &picks, Time start, Time end, bool reserved);
    // The same for a job that has others already, in their time. ENOENT, EBUSY.
    Expected<void> extend(int64_t id, const std::vector<Pick> &picks);
    // The job's use is planned to end at another time.
    Expected<void> set_end(int64_t id, Time end);

    // Changes of the graph, with the jobs' use kept in step.
    void set_down(VertexId v, bool down, std::string_view reason = {})
    {
        graph_.set_down(v, down, reason);
        earlier_holds_.clear();
    }
    void set_graph_end(Time end) { options_.graph_end = end; }
    // Other options from the next match on, but for graph_end; what jobs have they keep.
    void reconfigure(MatcherOptions options);
    void set_property(VertexId v, std::string_view key, std::string_view value)
    {
        graph_.set_property(v, key, value);
    }
    bool remove_property(VertexId v, std::string_view key) { return graph_.remove_property(v, key); }
    // Runs `build` on the graph, which adds vertices below these.
    void grow(const std::vector<VertexId> &parents, const std::function<void(Graph &)> &build);
    void shrink(VertexId v); // jobs lose what they had there
    // The jobs that have v, something below it, or something above it. O(what is below v, and the jobs).
    std::vector<int64_t> jobs_touching(VertexId v) const;

    // What jobs got or gave back since the last call: the topmost vertices that they had as a whole or in
    // part, some more than once. Nothing where that was too much to be remembered.
    static constexpr size_t max_changed_uses = 200000;
    std::optional<std::vector<VertexId>> take_changed_uses();

    size_t visited() const { return visited_; } // by the last match
    size_t iterations() const { return iterations_; }
    // Amount of the tracked column that is free (0 for a vertex without children) during the window.
    const Schedule &schedule() const { return schedule_; }
    const MatchStats &stats() const { return stats_; }
    const FirstOrder &first_order() const { return first_order_; }
    // Where the times of matches come from, in seconds (the machine's own clock); a simulation has another.
    void set_clock(std::function<double()> clock) { clock_ = std::move(clock); }
    void reset_stats() { stats_.succeeded.reset(), stats_.failed.reset(); }

private:
    Expected<Match> try_match(MatchOp op, int64_t id, const JobRequest &request, Time now);
    std::string hidden_subsystem(TypeId type) const;
    std::pair<std::string, bool> explain_variant(const JobRequest &request, Time now) const;
    bool search(const JobRequest &request, Window window, bool ignore_use, std::vector<Pick> &picks);
    std::optional<Time> search_future(const JobRequest &request, Time now, Time duration,
                                      std::vector<Pick> &picks);
    Expected<void> prepare(const JobRequest &request);
    Expected<Time> duration_of(const JobRequest &request, Time now) const;
    JobUse make_use(int64_t id, const std::vector<Pick> &picks, Time start, Time duration, bool reserved);
    void commit(JobUse &use) { use.amounts = apply(use, true); }
    void withdraw(const JobUse &use)
    {
        apply(use, false);
        earlier_holds_.clear();
    }
    std::vector<int64_t> apply(const JobUse &use, bool add); // by column, what it takes of the machine
    void apply_held(const JobUse &use, bool add);
    void note_changed_use(VertexId v);
    void replace(JobUse &use, const std::vector<Pick> &picks);
    Expected<void> check_free(const JobUse &use) const; // EBUSY
    void record(bool succeeded, int64_t id, double seconds);
    // Numbers of vertices that are held without saying which (matcher_holds.cpp).
    bool countable_now(const Interchangeable &wanted) const;
    int64_t free_units(TypeId type, Window window) const;
    int64_t units_taken(const std::vector<Pick> &picks) const;
    bool leaves_held(const std::vector<Pick> &picks, Window window) const;
    Expected<Match> try_hold(int64_t id, const JobRequest &request, const Interchangeable &wanted, Time now,
                             Time duration, bool possible);
    void keep(JobUse use);
    void forget(int64_t id);
    std::vector<int64_t> jobs_in(std::vector<JobSlot> slots) const;

    Graph graph_;
    MatcherOptions options_;
    Schedule schedule_;
    std::vector<bool> divisible_;
    uint64_t subsystems_ = 1;
    std::map<int64_t, JobUse> jobs_;
    std::vector<int64_t> job_of_slot_;
    std::vector<JobSlot> free_slots_;
    JobSlot next_slot_ = 1;
    ConstraintCheck constraint_;    // of the job that is matched
    std::vector<uint32_t> passing_; // by type: uses that go through a vertex of it and do not take it whole
    TypeId held_type_ = 0;
    size_t holds_ = 0;     // jobs for which vertices of it are held
    size_t reserved_ = 0;  // jobs that have certain vertices reserved
    bool trusted_ = false; // this match leaves what is held
    EarlierPlaces earlier_holds_;
    FirstOrder first_order_; // of policies that take the first match
    size_t visited_ = 0;
    size_t iterations_ = 0;
    bool gave_up_ = false; // the last search
    std::vector<VertexId> changed_uses_;
    bool many_changed_uses_ = false;
    MatchStats stats_;
    std::function<double()> clock_;
};

} // namespace flux::graph
