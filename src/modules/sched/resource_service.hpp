// ResourceService: "sched-fluxion-resource.*", by which tools match jobspecs beside the queues' jobs, look
// for resources, and change them (flux ion-resource).
//
// What is matched here is in the same machine as the queues' jobs: nothing is given twice. Jobs of the job
// manager can be looked at and not changed here, for they would go on with resources that others get.
#pragma once
#include <deque>
#include <map>
#include <string>

#include "common/client/handle.hpp"
#include "modules/sched/scheduler_access.hpp"

namespace flux {

class ResourceService {
public:
    static constexpr const char *name = "sched-fluxion-resource";
    static constexpr size_t max_ended_kept = 1000; // jobs that were canceled, for info
    static constexpr size_t max_jobs = 1000000;    // at one time
    static constexpr size_t max_paths = 10000;     // of one request about properties

    ResourceService(Handle &handle, SchedulerAccess &scheduler);

    bool has_job(int64_t id) const { return jobs_.contains(id); }
    // The machine is about to be made, and is there.
    void loading();
    void loaded();
    // What is up, or all that there is, is something else.
    void tell_watchers() { changed_.notify_all(); }

private:
    struct Job {
        const char *status; // ALLOCATED, RESERVED, CANCELED
        graph::Time at;     // seconds since the epoch
        double overhead;    // seconds
    };

    void serve(const char *method, uint32_t roles, Json (ResourceService::*member)(const Json &request));
    // matching
    Json match(const Json &request);
    Task<> match_multi(Request request);
    Json match_one(graph::MatchOp op, int64_t id, const Json &jobspec);
    Json update(const Json &request);
    Json cancel(const Json &request);
    Json partial_cancel(const Json &request);
    Json info(const Json &request);
    Json next_jobid(const Json &request);
    // looking
    Json stats_get(const Json &request);
    Json stats_clear(const Json &request);
    Json find(const Json &request);
    Json status(const Json &request);
    Json ns_info(const Json &request);
    Json params(const Json &request);
    Task<> notify(Request request);
    // changing
    Json set_property(const Json &request);
    Json remove_property(const Json &request);
    Json get_property(const Json &request);
    Json set_status(const Json &request);
    Json add_subgraph(const Json &request);
    Json remove_subgraph(const Json &request);

    int64_t new_id(const Json &request) const;
    int64_t own_id(const Json &request) const; // of a job that was matched here
    void end_job(int64_t id);
    Json answer(const graph::JobUse &use, const Job &job);
    std::vector<graph::VertexId> vertices(const Json &request, const char *key);

    Handle &handle_;
    SchedulerAccess &scheduler_;
    std::map<int64_t, Job> jobs_;
    std::map<int64_t, Job> ended_;
    std::deque<int64_t> ended_order_;
    int64_t next_id_ = 0;
    Condition changed_;
    // seconds of the loop's monotonic clock
    double load_begin_ = 0, load_end_ = 0, stats_begin_ = 0;
};

} // namespace flux
