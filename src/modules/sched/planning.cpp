// Planning in slices, carrying out what was decided, and telling the jobs that wait why.
#include <algorithm>

#include "common/runtime/sync.hpp"
#include "modules/sched/sched_module.hpp"

namespace flux {

void Sched::replan()
{
    for (auto &queue : queues_)
        queue.restart();
    plan_soon();
}

void Sched::plan_soon()
{
    if (planning_ || !machine_)
        return;
    planning_ = true;
    handle().post_background([this] { plan_slice(); });
}

void Sched::plan_slice()
{
    planning_ = false;
    bool complete = true;
    std::vector<QueueDecision> decisions;
    graph::allow_counting(queues_, machine_->matcher());
    // No queue is always the first.
    for (size_t i = 0; i < queues_.size(); i++) {
        auto &queue = queues_[(i + turn_) % queues_.size()];
        complete = queue.plan(machine_->matcher(), now(), slice_effort, decisions) && complete;
    }
    turn_++;
    for (auto &decision : decisions)
        carry_out(decision);
    if (!complete)
        return plan_soon();
    watch_estimates();
    tell_later();
}

void Sched::carry_out(QueueDecision &decision)
{
    auto found = pending_.find(JobId(uint64_t(decision.id)));
    FLUX_ASSERT(found != pending_.end());
    Pending &job = found->second;
    if (context().debug_flags() & debug_decisions)
        log(LogLevel::debug, "job {} of queue {}: {}", found->first, config_.queues[job.queue].name,
            decision.kind == QueueDecision::Kind::start  ? "starts"
            : decision.kind == QueueDecision::Kind::deny ? decision.text
            : decision.estimate ? fmt::format("waits, until {} as far as is known", *decision.estimate)
                                : "waits, nobody knows for how long");
    switch (decision.kind) {
    case QueueDecision::Kind::estimate:
        job.estimate = decision.estimate;
        job.estimate_told = false;
        untold_.push_back(found->first);
        return;
    case QueueDecision::Kind::deny:
        stats_.rejected(config_.queues[job.queue].name, decision.id);
        job.request.respond(Json {{"id", decision.id}, {"type", 2}, {"note", decision.text}});
        break;
    case QueueDecision::Kind::start:
        start_job(decision.id, job);
        break;
    }
    pending_.erase(found);
}

void Sched::start_job(int64_t id, Pending &job)
{
    ResourceSet R = machine_->resources_of(*machine_->matcher().find(id), job.wanted.get());
    double now = wall_time();
    double limit = machine_->all().expiration();
    R.set_starttime(now);
    shown_.use_changed();
    stats_.started(config_.queues[job.queue].name, id);
    R.set_expiration(job.duration > 0 ? (limit > 0 ? std::min(limit, now + job.duration) : now + job.duration)
                                      : limit);
    ++allocations_;
    Json sched {{"resource_summary", R.summary()}};
    if (!job.reason.empty())
        sched.set("reason_pending", nullptr);
    if (job.estimate)
        sched.set("t_estimate", nullptr);
    job.request.respond(
        Json {{"id", id}, {"type", 0}, {"R", R.to_json()}, {"annotations", Json {{"sched", sched}}}});
}

void Sched::watch_estimates()
{
    auto next = graph::Planner::forever;
    for (const auto &queue : queues_)
        next = std::min(next, queue.next_estimate());
    if (next == graph::Planner::forever) {
        estimate_timer_ = {};
        return;
    }
    double delay = std::max(1.0, double(next) - wall_time() + 1);
    estimate_timer_ = Timer(loop(), seconds(delay), [this] { replan(); });
}

void Sched::tell_later()
{
    if (telling_ || pending_.empty())
        return;
    telling_ = true;
    spawn(tell_reasons());
}

Task<> Sched::tell_reasons()
{
    co_await sleep_for(loop(), seconds(tell_after));
    telling_ = false;
    std::map<std::string, std::string> known; // jobs that ask for the same wait for the same
    for (auto &queue : queues_) {
        size_t place = 0;
        for (const auto *job : queue.first(told_in_order)) {
            bool looked_at = place++ == 0 || queue.options().policy != graph::QueueOptions::Policy::fcfs;
            Pending &pending = pending_.at(JobId(uint64_t(job->id)));
            tell(*job, pending, looked_at ? reason_of(*job, pending, now(), known) : behind_others);
        }
    }
    // Those behind them hear that once, and what is expected of them when that changes.
    for (size_t told = 0; !untold_.empty() && told < told_at_once; untold_.pop_front()) {
        auto found = pending_.find(untold_.front());
        if (found == pending_.end() || (!found->second.reason.empty() && found->second.estimate_told))
            continue;
        auto *job = queues_[found->second.queue].find(int64_t(found->first.value()));
        told += tell(*job, found->second, behind_others);
    }
    if (!untold_.empty())
        tell_later();
}

std::string Sched::reason_of(const graph::QueuedJob &job, const Pending &pending, graph::Time now,
                             std::map<std::string, std::string> &known)
{
    Json jobspec = pending.request.get<Json>("jobspec");
    std::string key = jobspec["resources"].dump() + pending.wanted->constraint.dump();
    if (machine_->matcher().find(job.id)) // a reservation, which is in the way of others only
        return machine_->matcher().explain_job(job.id, *job.request, now);
    auto [found, added] = known.try_emplace(key);
    if (added)
        found->second = machine_->matcher().explain(*job.request, now);
    return found->second;
}

bool Sched::tell(const graph::QueuedJob &job, Pending &pending, const std::string &reason)
{
    if (reason == pending.reason && pending.estimate_told)
        return false;
    pending.reason = reason;
    Json sched {{"reason_pending", reason}};
    if (!pending.estimate_told)
        sched.set("t_estimate", pending.estimate ? Json(double(*pending.estimate)) : Json(nullptr));
    pending.estimate_told = true;
    pending.request.respond(Json {{"id", job.id}, {"type", 1}, {"annotations", Json {{"sched", sched}}}});
    return true;
}

} // namespace flux
