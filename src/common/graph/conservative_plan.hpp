// ConservativePlan: each queued job of a replay, in order, at the earliest time at which there is room for it
// beside the running jobs (until their estimated ends) and those before it.
//
// Most of a plan stays true when a job ends early: it holds up to the first job that can start earlier than
// it was to. So the plan is kept at marks, places in the queue, as what the running jobs and all those before
// the mark use. A look at a mark's plan tells whether anybody up to the next one could use what was freed;
// only there are jobs looked at one by one. From the first that moves on the plan is made anew, and only as
// far as somebody could start now.
#pragma once
#include <functional>
#include <span>
#include <tuple>
#include <vector>

#include "common/graph/earlier_places.hpp"
#include "common/graph/profile.hpp"
#include "common/graph/replay_queue.hpp"

namespace flux::graph {

class ConservativePlan {
public:
    // mark_distance: places from one mark to the next.
    ConservativePlan(std::span<const TraceJob> jobs, const ReplayQueue &queue, int64_t procs,
                     size_t mark_distance);
    // It was planned to run until then.
    void job_ended(uint32_t job, Time now, Time planned_end);
    // Starts what has its place now, by a function that takes it out of the queue.
    void pass(Time now, const std::function<void(uint32_t)> &start);

private:
    static constexpr size_t places_between_looks = 8;
    static constexpr size_t max_gaps = 32; // that are looked at at a mark
    static constexpr size_t passes_between_clearings = 256;

    // Jobs of one shape that follow each other in the queue and have the same place.
    struct Group {
        Time at;
        uint32_t first, last;
        uint32_t next; // job in the queue, or no_job
        bool operator>(const Group &other) const
        {
            return std::tie(at, first) > std::tie(other.at, other.first);
        }
    };
    struct Mark {
        uint32_t from; // place in the queue
        Profile plan;  // the running jobs and those before it
    };
    Group place(uint32_t job);
    bool same_shape(uint32_t job, const TraceJob &one) const;
    bool could_start() const;
    void cut_plan(uint32_t job);
    void start_group(const Group &group, const std::function<void(uint32_t)> &start);
    void keep_what_holds();
    bool could_move(const Mark &mark, uint32_t end) const;
    bool first_move(const Mark &mark, uint32_t end);

    std::span<const TraceJob> jobs_;
    const ReplayQueue &queue_;
    const int64_t procs_;
    const size_t mark_distance_;
    Time now_ = 0;
    Profile plan_;            // the running jobs and those up to planned_
    uint32_t planned_ = 0;    // queued jobs before it have a place
    std::vector<Time> place_; // by job
    std::vector<Mark> marks_; // the first is that of the whole queue
    size_t since_mark_ = 0;   // groups
    EarlierPlaces places_;
    std::vector<Group> due_; // a heap, the next first; of some only a part holds
    Time freed_until_ = 0;   // from now on, by jobs that ended early
    size_t passes_ = 0;
};

} // namespace flux::graph
