#include "modules/sched/queue_stats.hpp"

#include <algorithm>

#include "common/types/job_id.hpp"

namespace flux {

namespace {

constexpr const char *policy_names[] = {"fcfs", "easy", "hybrid", "conservative"};
constexpr size_t max_pending_listed = 1000; // jobs, in the order in which they are looked at

void remember(std::deque<int64_t> &list, int64_t id)
{
    list.push_back(id);
    if (list.size() > QueueStats::max_listed)
        list.pop_front();
}

template <class Range>
Json ids_of(const Range &range)
{
    Json out = Json::array();
    for (int64_t id : range)
        out.append(JobId(uint64_t(id)).f58(F58Prefix::ascii));
    return out;
}

} // namespace

void QueueStats::started(const std::string &queue, int64_t id)
{
    running_.insert_or_assign(id, queue);
}

void QueueStats::freed(int64_t id)
{
    auto found = running_.find(id);
    if (found == running_.end())
        return;
    queues_[found->second].complete++;
    running_.erase(found);
}

void QueueStats::rejected(const std::string &queue, int64_t id)
{
    queues_[queue].rejected++;
    remember(queues_[queue].last_rejected, id);
}

void QueueStats::canceled(const std::string &queue, int64_t id)
{
    queues_[queue].canceled++;
    remember(queues_[queue].last_canceled, id);
}

void QueueStats::clear()
{
    queues_.clear();
}

Json QueueStats::summary(const graph::JobQueue &queue)
{
    const auto &counts = queue.counts();
    return Json {{"policy", policy_names[size_t(queue.options().policy)]},
                 {"queue_depth", queue.options().queue_depth},
                 {"max_queue_depth", queue.options().max_queue_depth},
                 {"pending", queue.size()},
                 {"action_counts", Json {{"running", counts.started},
                                         {"backfilled", counts.backfilled},
                                         {"reserved", counts.reserved},
                                         {"rejected", counts.denied},
                                         {"passes", counts.passes}}}};
}

Json QueueStats::full(const std::string &name, const graph::JobQueue &queue) const
{
    static const Queue none;
    auto found = queues_.find(name);
    const Queue &own = found == queues_.end() ? none : found->second;
    std::vector<int64_t> pending, blocked, running;
    for (const auto *job : queue.first(max_pending_listed))
        (queue.is_blocked(job->id) ? blocked : pending).push_back(job->id);
    for (const auto &[id, of] : running_)
        if (of == name)
            running.push_back(id);
    std::ranges::sort(running);
    const auto &options = queue.options();
    return Json {{"policy", policy_names[size_t(options.policy)]},
                 {"queue_depth", options.queue_depth},
                 {"max_queue_depth", options.max_queue_depth},
                 {"queue_parameters", Json {{"queue-depth", std::to_string(options.queue_depth)},
                                            {"max-queue-depth", std::to_string(options.max_queue_depth)}}},
                 {"policy_parameters",
                  Json {{"reservation-depth", std::to_string(options.reservation_depth)},
                        {"max-reservation-depth", std::to_string(options.max_reservation_depth)}}},
                 {"action_counts", Json {{"pending", queue.size()},
                                         {"running", running.size()},
                                         {"reserved", queue.reserved()},
                                         {"rejected", own.rejected},
                                         {"complete", own.complete},
                                         {"cancelled", own.canceled},
                                         {"reprioritized", own.reprioritized}}},
                 {"pending_queues", Json {{"pending", ids_of(pending)},
                                          {"pending_provisional", Json::array()},
                                          {"blocked", ids_of(blocked)}}},
                 {"scheduled_queues", Json {{"running", ids_of(running)},
                                            {"rejected", ids_of(own.last_rejected)},
                                            {"canceled", ids_of(own.last_canceled)}}}};
}

} // namespace flux
