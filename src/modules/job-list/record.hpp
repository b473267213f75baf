// Record: what job listings tell of one job (RFC 43), compact, because there is one for every job that was not
// purged. Made from the jobspec, R and the events of the journal; the state machine is the job manager's.
#pragma once
#include <memory>
#include <optional>
#include <span>

#include "common/types/constraint.hpp"
#include "modules/job-list/pool.hpp"
#include "modules/job-manager/job.hpp"

namespace flux::job_list {

struct Record {
    JobId id;
    int64_t priority = priority::unset;
    double t_submit = 0, t_depend = 0, t_priority = 0, t_sched = 0, t_run = 0, t_cleanup = 0, t_inactive = 0;
    double duration = 0, expiration = 0;
    Pooled name, cwd, queue, project, bank, nodelist, ranks;
    Pooled annotations, dependencies; // JSON
    Pooled exception_type, exception_note;
    uint32_t userid = 0, ntasks = 0, ncores = 0, nnodes = 0;
    int32_t waitstatus = -1; // unknown
    JobState state = JobState::new_;
    JobResult result = JobResult::completed;
    int8_t exception_severity = -1; // none
    uint8_t urgency = 0;
    bool tasks_by_node = false;
    uint32_t tasks_of_each = 0; // nodes, or cores, that it gets; 0: ntasks does not depend on them
    std::unique_ptr<Job> job; // while active

    bool inactive() const { return state == JobState::inactive; }

    void take_jobspec(Pool &pool, const Json &jobspec);
    void take_R(Pool &pool, const Json &R);
    void set_annotations(Pool &pool, Json fresh); // of the scheduler
    void take_memo(Pool &pool, const Json &memo); // RFC 21: shown as annotations.user
    // Errors are of an event that cannot come here; then nothing changes.
    Expected<void> take_event(Pool &pool, const Event &event);
    // Absent when it does not have this attribute (yet).
    Json attribute(std::string_view name) const;
};

std::span<const std::string_view> all_attributes();
// {"id",...}; EINVAL names an attribute that there is not. "all" is all.
Json row(const Record &record, const std::vector<std::string> &attributes);

// The operators of RFC 43. `virtual_queues` maps queues to their parents.
ConstraintOperators<Record> constraint_operators(std::map<std::string, std::string, std::less<>> virtual_queues);

} // namespace flux::job_list
