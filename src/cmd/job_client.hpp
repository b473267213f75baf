// What the job commands share: submitting, following a job's event log, its output, its end.
#pragma once
#include <functional>
#include <string>

#include "cmd/command.hpp"
#include "common/job/eventlog.hpp"

namespace flux::cmd {

struct Submission {
    Json jobspec;
    int urgency = 16;
    uint32_t flags = 0;
};
// Signs for the calling user and submits; returns the job's id.
Task<JobId> submit_job(Handle &handle, const Submission &submission);
std::string id_text(JobId id); // F58 as the terminal can show it

// Follows one of a job's logs ("eventlog", "guest.exec.eventlog", "guest.output") from its start. fn returns
// false when it has seen enough.
using EventFn = std::function<bool(const Event &)>;
Task<> follow_log(Handle &handle, JobId id, std::string path, EventFn fn);

struct JobEnd {
    bool started = false;
    int wait_status = 0;        // of the finish event
    std::string exception_type; // of the first exception of severity 0
    std::string exception_note;
    Json gravest_exception; // the context of its event
    double t_submit = 0, t_run = 0, t_cleanup = 0; // seconds since the epoch, 0: not reached
    bool failed() const { return !exception_type.empty() || wait_status != 0; }
    // 0, the tasks' exit code, 128 + signal; exception_code when it ended before it ran.
    int exit_code(int exception_code = 1) const;
    std::string describe() const;
    Json to_json(JobId id) const; // what flux job status --json shows
};
// Takes in one event of the main event log.
void record_end(JobEnd &end, const Event &event);

// One document of a job as job-info has it, with flags of job-info.lookup.
Task<Json> look_up(Handle &handle, JobId id, std::string key, int flags = 0);
Json look_up(Session &flux, JobId id, std::string key, int flags = 0);

// The job's task map (RFC 34) as its first shell tells it when the tasks are started. ENOENT when it ends before.
Task<std::string> wait_for_taskmap(Handle &handle, JobId id);

// "flux-job: TEXT" for a job that did not end well, on standard error.
void report_end(JobId id, const JobEnd &end, bool with_id);

} // namespace flux::cmd
