// JobQueue: one queue's jobs in their order, and which of them start, wait or are refused.
//
//   fcfs          jobs start in order; the first that does not fit holds back the others
//   easy          the first that does not fit gets a reservation, later jobs start if they fit beside it
//   hybrid        the same for the first reservation_depth jobs
//   conservative  for every job up to queue_depth
//
// A pass looks at the jobs in order and can be interrupted between any two of them, so that planning delays
// nobody. What was planned stays until something is freed or comes up, or until a job is put before those
// that were planned. A job that is put before others has only those behind it planned anew. Otherwise the queue's
// reservations are given back and made anew; those of numbers are only where they change (NumberPlan).
//
// Where all jobs want interchangeable resources, or only one gets a reservation, it is of a number of them;
// otherwise of certain ones. The two do not mix: a number that is free at any time need not be one that is
// free all the time.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/graph/matcher.hpp"
#include "common/graph/number_plan.hpp"

namespace flux::graph {

struct QueueOptions {
    enum class Policy { fcfs, easy, hybrid, conservative };
    Policy policy = Policy::fcfs;
    size_t queue_depth = 32; // jobs that wait and are still looked at in one pass
    size_t max_queue_depth = 1000000;
    size_t reservation_depth = 64; // hybrid
    size_t max_reservation_depth = 100000;

    static std::optional<Policy> parse_policy(std::string_view name);
    size_t reservations() const; // how many the policy makes
};

struct QueuedJob {
    int64_t id = 0;
    int64_t priority = 0; // greater ones first
    double submitted = 0; // seconds
    std::shared_ptr<const JobRequest> request;
    bool was_possible =
        false; // when it came: on a machine that is too small for it now, it waits for another change
};

struct QueueDecision {
    enum class Kind {
        start,    // the matcher has its use
        deny,     // it can never run
        estimate, // it waits, and is expected to start then (nothing: not known)
    };
    Kind kind;
    int64_t id;
    std::string text;             // deny: why
    std::optional<Time> estimate; // seconds
};

class JobQueue {
public:
    explicit JobQueue(QueueOptions options) : options_(options) {}

    const QueueOptions &options() const { return options_; }
    size_t size() const { return jobs_.size(); }
    void insert(QueuedJob job);
    // The matcher gives back the job's reservation. False when the job is not here.
    bool remove(int64_t id, Matcher &matcher);
    bool set_priority(int64_t id, int64_t priority);
    const QueuedJob *find(int64_t id) const;
    // It was looked at, does not fit now, and nobody knows when it will.
    bool is_blocked(int64_t id) const;
    size_t reserved() const { return reserved_; } // jobs that have a reservation
    // The jobs in order, at most so many.
    std::vector<const QueuedJob *> first(size_t count) const;
    // Something came up or goes down, or will last longer: the next pass plans everything anew.
    void restart() { restart_ = true; }
    // A job gave back what it had, or a part, and was to have it until then.
    void freed(Time planned_end) { freed_until_ = std::max(planned_end, freed_until_.value_or(planned_end)); }
    // The machine is another one: jobs may have become impossible, or possible again. Those that are
    // impossible now, and were not when they came, hold up nobody.
    void machine_changed();
    // What the jobs want, by the type that is counted: jobs for which it matters which they get are under 0.
    const std::map<TypeId, size_t> &wants(const Matcher &matcher);
    // May numbers be reserved? Not when other queues want other things of the same machine.
    void allow_counting(bool allowed, bool alone = true)
    {
        allowed_ = allowed;
        alone_ = alone;
    }
    // The earliest time at which a reservation begins, forever when there is none.
    Time next_estimate() const;

    // Goes on with the pass for about so much effort: one for each job, and one for every visits_per_effort
    // vertices that were looked at. True when the pass is complete.
    static constexpr size_t visits_per_effort = 100;
    static constexpr size_t places_per_effort = 8; // by numbers
    static constexpr size_t jobs_per_reservation = 64; // that run, when planning by numbers is not worth while any more
    bool plan(Matcher &matcher, Time now, size_t effort, std::vector<QueueDecision> &out);

    struct Counts {
        uint64_t started = 0, backfilled = 0, reserved = 0, denied = 0, passes = 0;
    };
    const Counts &counts() const { return counts_; }

private:
    struct Key {
        int64_t negative_priority;
        double submitted;
        int64_t id;
        friend auto operator<=>(const Key &, const Key &) = default;
    };
    struct Entry {
        QueuedJob job;
        bool reserved = false;
        bool possible = false;   // on this machine, that has been looked at
        bool unsure = false;     // it is another machine than when the job came
        bool impossible = false; // on this machine, and was not on that one
        std::optional<TypeId> wants;
        std::optional<Time> told; // the estimate that was told last
    };
    static Key key_of(const QueuedJob &job) { return {-job.priority, job.submitted, job.id}; }
    using Jobs = std::map<Key, Entry>;
    enum class Outcome { waits, starts, unknown }; // unknown: numbers do not tell
    void begin_pass(Matcher &matcher, Time now);
    bool plan_by_numbers(Matcher &matcher, Time now, Time freed_until);
    Outcome place(Matcher &matcher, Time now, Jobs::iterator at, std::vector<QueueDecision> &out);
    void drop_reservation(Matcher &matcher, Entry &entry);
    void give_back(Matcher &matcher, Jobs::iterator from);
    bool may_count(const Matcher &matcher);
    static bool became_impossible(Entry &entry, Matcher &matcher, Time now);
    void erase(Jobs::iterator entry);
    void start(Jobs::iterator at, std::vector<QueueDecision> &out);
    void tell(Entry &entry, std::optional<Time> estimate, std::vector<QueueDecision> &out);

    QueueOptions options_;
    Jobs jobs_;
    std::unordered_map<int64_t, Key> keys_;
    std::map<TypeId, size_t> wants_;
    std::vector<int64_t> unsorted_; // jobs that are not in wants_ yet
    bool allowed_ = true;           // to count
    bool alone_ = true;             // nobody else reserves numbers
    bool counted_ = false;          // the reservations are of numbers
    std::optional<Key> planned_;    // jobs up to this one were looked at
    size_t waiting_ = 0;            // of those, how many wait
    size_t reserved_ = 0;
    bool restart_ = false;
    std::optional<Key> put_in_;       // the first job that was put before planned ones
    std::optional<Time> freed_until_; // since the last pass began
    std::optional<NumberPlan> plan_;  // of this pass
    size_t placed_ = 0;               // reservations in it
    EarlierPlaces places_;
    bool complete_ = true; // nobody behind planned_ need be looked at
    Counts counts_;
};

// Of the queues that plan on one machine: may they reserve numbers?
void allow_counting(std::span<JobQueue> queues, const Matcher &matcher);

} // namespace flux::graph
