// ReplayQueue: a replay's queued jobs, by their place in the trace. A tree over the places knows the fewest
// processors and the shortest estimate among the queued, so that the next job that could start is found
// without a look at those that cannot.
#pragma once
#include <algorithm>
#include <bit>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "common/graph/swf.hpp"

namespace flux::graph {

constexpr uint32_t no_job = UINT32_MAX;

class ReplayQueue {
public:
    explicit ReplayQueue(std::span<const TraceJob> jobs)
        : jobs_(jobs), width_(std::bit_ceil(std::max<size_t>(jobs.size(), 1))), tree_(2 * width_)
    {
    }
    void add(uint32_t job) { set(job, {jobs_[job].procs, jobs_[job].estimate}), count_++; }
    void remove(uint32_t job) { set(job, {}), count_--; }
    size_t size() const { return count_; }

    // The first queued job at or after `from` that needs at most so many processors.
    uint32_t next(uint32_t from, int64_t procs = INT64_MAX) const
    {
        return search(from,
                      [=](const Least &least) { return least.procs <= procs && least.procs != INT64_MAX; });
    }
    // The first that fits under the rises of a profile, of so many processors: it could start now.
    uint32_t next_fitting(uint32_t from, int64_t procs,
                          const std::vector<std::pair<int64_t, int64_t>> &rises) const
    {
        return search(from, [&](const Least &least) {
            if (least.procs == INT64_MAX)
                return false;
            auto after =
                std::ranges::lower_bound(rises, least.estimate, {}, &std::pair<int64_t, int64_t>::first);
            return least.procs <= procs - (after - 1)->second;
        });
    }
    int64_t least_procs() const { return tree_[1].procs; }
    // The same, where a job that needs more than `spare` processors must have an estimate of at most
    // `estimate`.
    uint32_t next_backfill(uint32_t from, int64_t procs, int64_t spare, int64_t estimate) const
    {
        return search(from, [=](const Least &least) {
            return least.procs <= std::min(procs, spare) ||
                   (least.procs <= procs && least.estimate <= estimate);
        });
    }

private:
    struct Least {
        int64_t procs = INT64_MAX;
        int64_t estimate = INT64_MAX;
    };
    void set(uint32_t job, Least least)
    {
        size_t at = width_ + job;
        tree_[at] = least;
        for (at /= 2; at > 0; at /= 2)
            tree_[at] = {std::min(tree_[2 * at].procs, tree_[2 * at + 1].procs),
                         std::min(tree_[2 * at].estimate, tree_[2 * at + 1].estimate)};
    }
    template <class Possible>
    uint32_t search(uint32_t from, const Possible &possible) const
    {
        if (from >= width_)
            return no_job;
        for (size_t at = width_ + from;;) {
            if (possible(tree_[at])) {
                if (at >= width_)
                    return uint32_t(at - width_);
                at *= 2;
                continue;
            }
            while (at & 1) // up while it is a right child, then to the right
                at /= 2;
            if (at == 0)
                return no_job;
            at++;
        }
    }

    std::span<const TraceJob> jobs_;
    size_t width_;
    std::vector<Least> tree_;
    size_t count_ = 0;
};

} // namespace flux::graph
