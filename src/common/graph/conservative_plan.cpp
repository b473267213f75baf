#include "common/graph/conservative_plan.hpp"

#include <algorithm>

namespace flux::graph {

ConservativePlan::ConservativePlan(std::span<const TraceJob> jobs, const ReplayQueue &queue, int64_t procs,
                                   size_t mark_distance)
    : jobs_(jobs), queue_(queue), procs_(procs), mark_distance_(mark_distance),
      place_(jobs.size()), marks_ {{0, Profile()}}
{
}

void ConservativePlan::job_ended(uint32_t job, Time now, Time planned_end)
{
    if (planned_end <= now)
        return;
    plan_.add(now, planned_end, -jobs_[job].procs);
    for (auto &mark : marks_)
        mark.plan.add(now, planned_end, -jobs_[job].procs);
    freed_until_ = std::max(freed_until_, planned_end);
}

void ConservativePlan::pass(Time now, const std::function<void(uint32_t)> &start)
{
    now_ = now;
    if (freed_until_ > now_)
        keep_what_holds();
    freed_until_ = 0;
    while (!due_.empty() && due_.front().at <= now_) {
        std::ranges::pop_heap(due_, std::greater());
        start_group(due_.back(), start);
        due_.pop_back();
    }
    while (could_start()) {
        uint32_t job = queue_.next(planned_);
        for (size_t i = 0; i < places_between_looks && job != no_job; i++) {
            if (since_mark_++ >= mark_distance_) {
                marks_.push_back({planned_, plan_});
                since_mark_ = 1;
            }
            Group group = place(job);
            planned_ = group.last + 1;
            job = group.next;
            if (group.at == now_) {
                start_group(group, start);
                continue;
            }
            due_.push_back(group);
            std::ranges::push_heap(due_, std::greater());
        }
        if (job == no_job)
            break;
    }
    if (++passes_ % passes_between_clearings == 0) {
        plan_.forget_before(now_);
        for (auto &mark : marks_)
            mark.plan.forget_before(now_);
    }
}

// Places the job, and with it those behind it that would get the same place: as many of its shape as there is
// room for.
ConservativePlan::Group ConservativePlan::place(uint32_t job)
{
    const TraceJob &one = jobs_[job];
    Time at = plan_.earliest(places_.bound(one.procs, one.estimate, now_), one.estimate, procs_ - one.procs);
    places_.add(one.procs, one.estimate, at);
    place_[job] = at;
    Group group {at, job, job, queue_.next(job + 1)};
    int64_t count = 1;
    if (same_shape(group.next, one)) {
        int64_t most = (procs_ - plan_.most_used(at, one.estimate)) / one.procs;
        for (; count < most && same_shape(group.next, one); count++) {
            group.last = group.next;
            place_[group.last] = at;
            group.next = queue_.next(group.last + 1);
        }
    }
    plan_.add(at, at + one.estimate, count * one.procs);
    return group;
}

bool ConservativePlan::same_shape(uint32_t job, const TraceJob &one) const
{
    return job != no_job && jobs_[job].procs == one.procs && jobs_[job].estimate == one.estimate;
}

// Is there a job that has no place yet and would fit now beside those that have one? The others can wait for
// theirs.
bool ConservativePlan::could_start() const
{
    if (queue_.next(planned_, procs_ - plan_.used(now_)) == no_job)
        return false;
    auto rises = plan_.rises(now_, procs_ - queue_.least_procs());
    return queue_.next_fitting(planned_, procs_, rises) != no_job;
}

// Those of it that have their place now.
void ConservativePlan::start_group(const Group &group, const std::function<void(uint32_t)> &start)
{
    for (uint32_t job = queue_.next(group.first), next; job <= group.last && job < planned_; job = next) {
        next = queue_.next(job + 1);
        if (place_[job] != now_)
            continue;
        start(job);
        for (auto &mark : marks_)
            if (mark.from <= job)
                mark.plan.add(now_, now_ + jobs_[job].estimate, jobs_[job].procs);
    }
}

// Ends the plan before the first job that can start earlier than it was to.
void ConservativePlan::keep_what_holds()
{
    for (size_t i = 0; i < marks_.size(); i++) {
        // Of a mark before which all have started since the one before it, the plan is the same.
        while (i + 1 < marks_.size() && queue_.next(marks_[i].from) >= marks_[i + 1].from)
            marks_.erase(marks_.begin() + long(i) + 1);
        uint32_t end = i + 1 < marks_.size() ? marks_[i + 1].from : planned_;
        if (!could_move(marks_[i], end) || !first_move(marks_[i], end))
            continue;
        marks_.resize(i + 1, Mark {0, Profile()});
        return;
    }
}

// Is there a job up to `end` that would fit into what was freed, if all those before it left it to it?
bool ConservativePlan::could_move(const Mark &mark, uint32_t end) const
{
    int64_t most = procs_ - mark.plan.least_used(now_, freed_until_ - now_);
    if (queue_.next(mark.from, most) >= end)
        return false;
    auto gaps = mark.plan.falls(now_, freed_until_, max_gaps + 1);
    if (gaps.size() > max_gaps)
        return true;
    return std::ranges::any_of(gaps, [&](Time at) {
        auto rises = mark.plan.rises(at, procs_ - queue_.least_procs());
        return queue_.next_fitting(mark.from, procs_, rises) < end;
    });
}

// Those from this one on have no place any more.
void ConservativePlan::cut_plan(uint32_t job)
{
    planned_ = job;
    places_.clear();
    std::erase_if(due_, [=](const Group &group) { return group.first >= job; });
    std::ranges::make_heap(due_, std::greater());
}

// Looks at the jobs up to `end` one by one. At the first that moves the plan ends, before it.
bool ConservativePlan::first_move(const Mark &mark, uint32_t end)
{
    Profile plan = mark.plan;
    size_t groups = 0;
    for (uint32_t job = queue_.next(mark.from); job < end; groups++) {
        const TraceJob &one = jobs_[job];
        Time at = place_[job];
        Time until = std::min(at, freed_until_);
        if (now_ < until && plan.earliest(now_, one.estimate, procs_ - one.procs, until) < until) {
            plan_ = std::move(plan);
            since_mark_ = groups;
            cut_plan(job);
            return true;
        }
        int64_t amount = 0;
        for (; job < end && same_shape(job, one) && place_[job] == at; job = queue_.next(job + 1))
            amount += one.procs;
        plan.add(at, at + one.estimate, amount);
    }
    return false;
}

} // namespace flux::graph
