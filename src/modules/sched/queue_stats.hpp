// QueueStats: what became of each queue's jobs, for sched-fluxion-qmanager.stats-get and sched.stats-get.
#pragma once
#include <deque>
#include <map>
#include <string>
#include <unordered_map>

#include "common/graph/queue_policy.hpp"
#include "common/json/json.hpp"

namespace flux {

class QueueStats {
public:
    static constexpr size_t max_listed = 20; // jobs that were rejected or canceled last

    void started(const std::string &queue, int64_t id);
    void freed(int64_t id);                         // nothing when it is not known
    void forget(int64_t id) { running_.erase(id); } // it never came to run
    void rejected(const std::string &queue, int64_t id);
    void canceled(const std::string &queue, int64_t id);
    void reprioritized(const std::string &queue) { queues_[queue].reprioritized++; }
    void clear(); // the numbers; what runs is not forgotten

    static Json summary(const graph::JobQueue &queue);
    Json full(const std::string &name, const graph::JobQueue &queue) const;

private:
    struct Queue {
        uint64_t complete = 0, rejected = 0, canceled = 0, reprioritized = 0;
        std::deque<int64_t> last_rejected, last_canceled;
    };
    std::map<std::string, Queue> queues_; // by name
    std::unordered_map<int64_t, std::string> running_;
};

} // namespace flux
