#include "common/graph/replay.hpp"

#include <algorithm>
#include <chrono>
#include <queue>

#include "common/graph/conservative_plan.hpp"
#include "common/graph/planner.hpp"

namespace flux::graph {

namespace {

constexpr int64_t tau = 10; // seconds: shorter runs count as this long in the bounded slowdown

class Simulation {
public:
    Simulation(std::span<const TraceJob> jobs, const ReplayOptions &options)
        : jobs_(jobs), options_(options), queue_(jobs), free_(options.procs),
          conservative_(jobs, queue_, options.procs, options.mark_distance)
    {
        result_.starts.assign(jobs.size(), -1);
    }

    ReplayResult run()
    {
        uint32_t next = 0;
        while (next < jobs_.size() || !ends_.empty()) {
            now_ = INT64_MAX;
            if (next < jobs_.size())
                now_ = jobs_[next].submit;
            if (!ends_.empty())
                now_ = std::min(now_, ends_.top().first);
            for (; !ends_.empty() && ends_.top().first == now_; ends_.pop())
                complete(ends_.top().second);
            uint32_t first_new = next;
            for (; next < jobs_.size() && jobs_[next].submit == now_; next++)
                queue_.add(next);
            result_.longest_queue = std::max(result_.longest_queue, queue_.size());
            auto begin = std::chrono::steady_clock::now();
            pass(first_new);
            result_.seconds +=
                std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
            result_.passes++;
            freed_ = false;
            result_.samples.push_back({now_, options_.procs - free_, int64_t(queue_.size())});
        }
        return std::move(result_);
    }

private:
    void pass(uint32_t first_new)
    {
        switch (options_.policy) {
        case ReplayPolicy::fcfs:
            start_in_order();
            return;
        case ReplayPolicy::easy:
            return pass_easy(first_new);
        case ReplayPolicy::conservative:
            return conservative_.pass(now_, [this](uint32_t job) { start(job); });
        case ReplayPolicy::hybrid:
            return pass_hybrid();
        }
    }

    int64_t planned_end(uint32_t job) const { return result_.starts[job] + jobs_[job].estimate; }

    void start(uint32_t job)
    {
        queue_.remove(job);
        free_ -= jobs_[job].procs;
        result_.starts[job] = now_;
        running_.add(now_, planned_end(job), jobs_[job].procs);
        if (options_.policy == ReplayPolicy::hybrid)
            running_steps_.add(now_, planned_end(job), jobs_[job].procs);
        ends_.emplace(now_ + jobs_[job].run, job);
    }

    void complete(uint32_t job)
    {
        free_ += jobs_[job].procs;
        running_.remove(result_.starts[job], planned_end(job), jobs_[job].procs);
        if (options_.policy == ReplayPolicy::hybrid)
            running_steps_.add(now_, planned_end(job), -jobs_[job].procs);
        if (options_.policy == ReplayPolicy::conservative)
            conservative_.job_ended(job, now_, planned_end(job));
        freed_ = true;
    }

    // The first job that does not fit, or no_job.
    uint32_t start_in_order()
    {
        uint32_t job;
        while ((job = queue_.next(head_)) != no_job && jobs_[job].procs <= free_) {
            start(job);
            head_ = job + 1;
        }
        return job;
    }

    void pass_easy(uint32_t first_new)
    {
        uint32_t old_blocked = blocked_;
        blocked_ = start_in_order();
        if (blocked_ == no_job)
            return;
        head_ = blocked_;
        const TraceJob &first = jobs_[blocked_];
        int64_t shadow = *running_.next_at_most(now_, options_.procs - first.procs);
        int64_t spare = options_.procs - running_.used(shadow) - first.procs;
        // Without a completion nothing has become possible for the jobs that were passed over before.
        uint32_t from = !freed_ && blocked_ == old_blocked ? std::max(first_new, blocked_ + 1) : blocked_ + 1;
        uint32_t job;
        while ((job = queue_.next_backfill(from, free_, spare, shadow - now_)) != no_job) {
            from = job + 1;
            if (jobs_[job].procs > free_)
                continue;
            if (jobs_[job].estimate > shadow - now_) {
                if (jobs_[job].procs > spare)
                    continue;
                spare -= jobs_[job].procs;
            }
            start(job);
        }
    }

    // A job that has a place in plan_ from then on.
    int64_t place(uint32_t job)
    {
        const TraceJob &one = jobs_[job];
        int64_t at = plan_.earliest(places_.bound(one.procs, one.estimate, now_), one.estimate,
                                    options_.procs - one.procs);
        places_.add(one.procs, one.estimate, at);
        plan_.add(at, at + one.estimate, one.procs);
        return at;
    }

    void pass_hybrid()
    {
        running_steps_.forget_before(now_);
        plan_ = running_steps_;
        places_.clear();
        size_t reserved = 0;
        for (uint32_t job = queue_.next(0); job != no_job;) {
            const TraceJob &one = jobs_[job];
            if (reserved < options_.depth) {
                place(job) == now_ ? start(job) : void(reserved++);
            } else if (plan_.earliest(now_, one.estimate, options_.procs - one.procs) == now_) {
                plan_.add(now_, now_ + one.estimate, one.procs);
                start(job);
            }
            job = reserved < options_.depth ? queue_.next(job + 1)
                                            : queue_.next(job + 1, options_.procs - plan_.used(now_));
        }
    }

    using Event = std::pair<int64_t, uint32_t>; // time, job
    using Events = std::priority_queue<Event, std::vector<Event>, std::greater<Event>>;

    std::span<const TraceJob> jobs_;
    ReplayOptions options_;
    ReplayResult result_;
    ReplayQueue queue_;
    Events ends_;
    Planner running_; // the running jobs, until their estimated ends
    int64_t free_;
    int64_t now_ = 0;
    bool freed_ = false; // a job has ended in this instant
    uint32_t head_ = 0;  // no queued job is before it (fcfs, easy)
    uint32_t blocked_ = no_job;
    Profile running_steps_; // hybrid: the same as running_
    Profile plan_;          // hybrid: the running jobs and those placed
    EarlierPlaces places_;
    ConservativePlan conservative_;
};

} // namespace

std::optional<ReplayPolicy> parse_replay_policy(std::string_view name)
{
    if (name == "fcfs")
        return ReplayPolicy::fcfs;
    if (name == "easy")
        return ReplayPolicy::easy;
    if (name == "hybrid")
        return ReplayPolicy::hybrid;
    if (name == "conservative")
        return ReplayPolicy::conservative;
    return std::nullopt;
}

ReplayResult replay(std::span<const TraceJob> jobs, const ReplayOptions &options)
{
    FLUX_ASSERT(jobs.size() < no_job);
    for (const auto &job : jobs)
        FLUX_ASSERT(job.procs > 0 && job.procs <= options.procs && job.run > 0 && job.run <= job.estimate);
    return Simulation(jobs, options).run();
}

ReplaySummary summarize(std::span<const TraceJob> jobs, const ReplayResult &result, int64_t procs)
{
    ReplaySummary out;
    if (jobs.empty())
        return out;
    std::vector<int64_t> waits;
    waits.reserve(jobs.size());
    int64_t last_end = jobs[0].submit;
    double area = 0;
    for (size_t i = 0; i < jobs.size(); i++) {
        int64_t wait = result.starts[i] - jobs[i].submit;
        waits.push_back(wait);
        out.mean_wait += double(wait);
        out.bounded_slowdown +=
            std::max(1.0, double(wait + jobs[i].run) / double(std::max(jobs[i].run, tau)));
        last_end = std::max(last_end, result.starts[i] + jobs[i].run);
        area += double(jobs[i].run) * double(jobs[i].procs);
    }
    double count = double(jobs.size());
    out.mean_wait /= count;
    out.bounded_slowdown /= count;
    std::ranges::sort(waits);
    size_t middle = waits.size() / 2;
    out.median_wait =
        waits.size() % 2 ? double(waits[middle]) : double(waits[middle - 1] + waits[middle]) / 2;
    out.makespan = last_end - jobs[0].submit;
    if (out.makespan > 0)
        out.utilisation = area / (double(out.makespan) * double(procs));
    return out;
}

} // namespace flux::graph
