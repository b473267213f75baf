// QueueConfig: the tables [queues] and [policy] of the configuration (RFC 33): what queues there are, what a
// jobspec gets that says nothing itself, and what a job may ask for. No state: whether a queue is enabled or
// started is the job manager's.
//
//     auto queues = value_or_throw(QueueConfig::from(context().config()));
//     jobspec = value_or_throw(queues.complete(jobspec));        // default queue and duration, constraints
//     if (auto ok = queues.check(parsed); !ok) ...               // limits
#pragma once
#include <map>
#include <string>
#include <vector>

#include "common/job/jobspec.hpp"

namespace flux {

struct JobSize { // -1: unlimited
    int64_t nnodes = -1;
    int64_t ncores = -1;
    int64_t ngpus = -1;
};

struct QueuePolicy {
    double default_duration = 0; // seconds; 0: none
    double max_duration = 0;     // seconds; 0: unlimited
    JobSize max, min;
};

struct QueueDefinition {
    std::string name; // "": the anonymous queue
    std::string parent;
    std::vector<std::string> properties; // that its nodes have
    QueuePolicy policy;
};

class QueueConfig {
public:
    QueueConfig() { queues_[""]; }
    // EINVAL names the key, what it says and what is allowed.
    static Expected<QueueConfig> from(const Json &config);

    bool named() const { return !queues_.contains(""); }
    const std::map<std::string, QueueDefinition> &queues() const { return queues_; }
    const QueueDefinition *find(const std::string &name) const;
    const std::string &default_queue() const { return default_queue_; }

    // The jobspec with the defaults and its queue's constraint, sharing the rest. EINVAL when it names no queue
    // that there is.
    Expected<Json> complete(const Json &jobspec) const;
    // The same for a job that moves to another queue: the updates (RFC 21 jobspec-update) that this means.
    Expected<Json> move_to(const Json &jobspec, const std::string &queue) const;
    // EINVAL when the job asks for more (or less) than its queue allows.
    Expected<void> check(const Jobspec &jobspec) const;

private:
    std::map<std::string, QueueDefinition> queues_;
    std::string default_queue_;
};

} // namespace flux
