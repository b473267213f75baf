// Replay: a workload trace on a flat pool of processors under a queue policy, in virtual time.
//
// At one instant completions come first, then submissions, then one scheduling pass; the queue is in the
// order of the trace. The policies plan by the jobs' estimates, the jobs end when their run time is over:
//   fcfs          jobs start in order, while they fit
//   easy          the first job that does not fit gets the earliest start that the running jobs' estimates allow;
//                 later jobs start now if they end by then or use only processors that are left over at that time
//   hybrid        as conservative for the first depth jobs that do not start now; later ones start now or wait
//   conservative  every job, in order, is placed at its earliest start beside those placed before it
//
// What is planned anew is what an event changed; the outcome is that of planning everything at every event.
// See doc/graph.md.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "common/graph/swf.hpp"

namespace flux::graph {

enum class ReplayPolicy { fcfs, easy, hybrid, conservative };
std::optional<ReplayPolicy> parse_replay_policy(std::string_view name);

struct ReplayOptions {
    ReplayPolicy policy = ReplayPolicy::easy;
    int64_t procs = 0;
    size_t depth = 64;          // of hybrid: how many jobs get a reservation
    size_t mark_distance = 128; // of conservative, which changes no result: places from one mark to the next
};

struct ReplaySample { // what is so from this time on
    int64_t time;
    int64_t used;
    int64_t queued;
};

struct ReplayResult {
    std::vector<int64_t> starts; // of each job
    std::vector<ReplaySample> samples;
    size_t passes = 0;
    size_t longest_queue = 0;
    double seconds = 0; // that all passes took
};

struct ReplaySummary {
    double mean_wait = 0; // seconds
    double median_wait = 0;
    double bounded_slowdown = 0; // the average, tau 10 s
    double utilisation = 0;      // of the processors, from the first submission to the last end
    int64_t makespan = 0;        // seconds
};

// Every job needs procs <= options.procs.
ReplayResult replay(std::span<const TraceJob> jobs, const ReplayOptions &options);
ReplaySummary summarize(std::span<const TraceJob> jobs, const ReplayResult &result, int64_t procs);

} // namespace flux::graph
