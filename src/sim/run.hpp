// Run: one workload with one seed, and what came of it.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "common/runtime/loop.hpp"

namespace flux::sim {

struct Run {
    std::string workload;
    uint64_t seed = 0;
    uint32_t size = 1; // brokers
    bool print_messages = false;

    // What the worlds of the run leave behind.
    std::vector<std::string> violations;
    uint64_t trace_hash = 0;
    uint64_t messages = 0;
    uint64_t steps = 0;
    Duration virtual_time {};
};

} // namespace flux::sim
