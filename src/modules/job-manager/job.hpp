// Job: one job as the job manager sees it. Its state is what its events make of it (RFC 21): apply() is the
// only way to change it, so replaying an event log gives the same job. No messages and no clock in here.
#pragma once
#include <map>
#include <optional>
#include <set>
#include <string>

#include "common/job/eventlog.hpp"
#include "common/job/job_state.hpp"
#include "common/job/resource_set.hpp"
#include "common/types/job_id.hpp"
#include "common/types/urgency.hpp"

namespace flux {

namespace priority {
constexpr int64_t unset = -1;
constexpr int64_t minimum = 0; // held
constexpr int64_t maximum = 4294967295;
} // namespace priority

namespace job_events {
// The last event of a job with resources that was not launched when the job manager was unloaded (RFC 21 leaves debug.* to
// implementations): then the next one may launch it.
constexpr const char *not_launched = "debug.not-launched";
} // namespace job_events

// What a job needs next.
enum class JobAction {
    none,
    post_depend,   // every dependency is met
    set_priority,  // a priority is to be computed and posted
    request_alloc, // ask the scheduler
    cancel_alloc,  // take that back
    start,         // ask the execution service
    stop,          // tell the execution service of a fatal exception
    free,          // give the resources back and post "free"
    clean,         // nothing is left: post "clean"
};

struct Job {
    JobId id;
    uint32_t userid = userid_none;
    int urgency = urgency::default_value;
    int64_t priority = priority::unset;
    uint32_t flags = 0;
    JobState state = JobState::new_;
    double t_submit = 0;
    double t_clean = 0;

    Json jobspec;      // without environment
    std::string environment; // JSON text, until the job is started
    Json R;
    Json annotations;
    std::string eventlog; // as written

    // What the events say
    std::multiset<std::string> dependencies;
    int prologs = 0; // running
    int epilogs = 0;
    bool had_prolog = false; // one has begun
    bool had_epilog = false;
    bool has_resources = false; // between alloc and free
    bool ran = false;           // it came to RUN
    bool started = false;
    bool finished = false;
    bool released = false;     // the execution service is through with it
    int status = 0;            // of finish
    bool not_launched = false; // whoever unloaded the job manager had not launched it, and nothing has happened since
    std::optional<Json> fatal; // context of the first severity 0 exception
    int fatal_exceptions = 0;  // how many there were

    // What is under way with others; not part of the event log.
    std::string unwritten;      // lines of the event log that are not yet given to the store
    Json unpublished;           // the same events for the journal; an array or absent
    uint64_t ticket = 0;        // of the commit that has the last line given to the store
    bool dirty = false;         // unwritten is on the list for the end of this turn
    bool recovered = false; // had resources when this module was loaded: never launched again
    bool launched = false;  // given to the execution service by this module
    bool submitting = false; // its submission is not durable yet: until then it goes nowhere
    bool alloc_pending = false;
    bool alloc_cancelling = false;
    bool alloc_outdated = false; // what was asked of the scheduler has changed since
    bool start_pending = false; // sent to the execution service, no final release yet
    bool stop_sent = false;
    bool queue_stopped = false; // its queue does not send to the scheduler
    bool singleton = false;     // counted among those of its name

    static constexpr uint32_t userid_none = 0xffffffff;

    // EPROTO when the event lacks what RFC 21 requires, EINVAL when it cannot come in this state. On an error
    // the job is unchanged.
    Expected<void> apply(const Event &event);
    JobAction next_action() const;
    // Of an inactive job, or one that has finished.
    JobResult result() const;
    bool waitable() const { return flags & job_flags::waitable; }
    bool is_active() const { return state != JobState::inactive; }
};

// The priority an urgency gives without a priority plugin: itself, all for "expedite".
int64_t default_priority(int urgency);
// annotations, changed as RFC 27 says; absent when nothing is left.
Json merge_annotations(const Json &old, const Json &changes);

} // namespace flux
