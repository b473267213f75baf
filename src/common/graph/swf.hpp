// Workload traces in the Standard Workload Format: one line per job, 18 numbers, comments after ";".
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "common/base/error.hpp"

namespace flux::graph {

struct TraceJob {
    int64_t number = 0;
    int64_t submit = 0;   // seconds
    int64_t run = 0;      // seconds, at most the estimate
    int64_t estimate = 0; // seconds
    int64_t procs = 0;
};

struct Trace {
    static constexpr size_t max_jobs = 20'000'000;
    std::vector<TraceJob> jobs; // by submit time, then job number
    int64_t max_procs = 0;      // what the header says the machine has; 0 when it does not
    size_t skipped = 0; // jobs that are not to be replayed: no run time, or more processors than the machine
};

// Processors are those requested, else those allocated; the estimate is the requested time, else the run
// time; a run longer than its estimate is cut there. Jobs without run time or processors, or with more than
// procs, are left out (procs 0: what the header says). EINVAL names the line.
Expected<Trace> parse_swf(std::string_view text, int64_t procs = 0);

} // namespace flux::graph
