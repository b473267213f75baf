// Dependencies of jobs (RFC 26): what a job waits for before it may be scheduled, and who waits for whom. No
// messages and no clock; the job manager posts the events.
#pragma once
#include <deque>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/job/job_state.hpp"
#include "common/json/json.hpp"
#include "common/types/job_id.hpp"

namespace flux {

// What is remembered of a job that has ended.
struct EndedJob {
    double t_clean = 0;
    uint32_t userid = 0;
    JobResult result = JobResult::completed;
    bool ran = false;      // it came to RUN
    bool excepted = false; // a fatal exception ended it
};

struct Dependency {
    enum class Kind { start, finish, success, failure, except, singleton, begin_time };
    Kind kind;
    JobId on;        // the antecedent, of those kinds that have one
    double time = 0; // of begin_time, seconds since the epoch
    std::string description; // in the job's dependency-add event

    // {"scheme","value"}. EINVAL names the scheme or value and what is known.
    static Expected<Dependency> from(const Json &dependency);
    bool has_antecedent() const { return kind <= Kind::except; }
    enum class Outcome { met, waiting, never };
    // Once the antecedent has ended.
    Outcome judge(const EndedJob &antecedent) const;
};

class DependencyIndex {
public:
    struct Waiting {
        JobId dependent;
        Dependency dependency;
    };
    void add(JobId dependent, Dependency dependency) { waiting_[dependency.on].push_back({dependent, dependency}); }
    // Who waited for this job to start, or to end; they are forgotten here.
    std::vector<Waiting> started(JobId antecedent);
    std::vector<Waiting> ended(JobId antecedent);

private:
    std::unordered_map<JobId, std::vector<Waiting>> waiting_; // by antecedent
};

// Jobs of one user with one name: a job with the dependency "singleton" is let go when no other of them is
// active that is not held likewise.
class Singletons {
public:
    // `name` as singleton_key() makes it. True when a held one may go at once (then it counts as let go).
    bool add(const std::string &name, JobId id, bool held);
    // A job has ended. Returns the one that may go now, if any (it then counts as let go).
    std::optional<JobId> remove(const std::string &name, JobId id);
    static std::string key(uint32_t userid, std::string_view job_name);

private:
    struct Group {
        size_t active = 0; // and not held
        std::deque<JobId> held;
    };
    std::unordered_map<std::string, Group> groups_;
};

} // namespace flux
