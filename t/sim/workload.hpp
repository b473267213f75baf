// Workloads: what a simulated instance is put through. One file each under workloads/, in the form set-up,
// run, check:
//
//     // Every job submitted and acknowledged reaches inactive exactly once, whatever dies.
//     SIM_WORKLOAD(jobs_survive_broker_loss, 3, 40)
//     {
//         World world(run, {.cores = 8});
//         world.boot();
//         ...
//         world.shutdown();
//     }
//
// The two numbers are the smallest and the largest instance that the seed chooses from.
#pragma once
#include <string>
#include <vector>

#include "sim/world.hpp"

namespace flux::sim {

struct Workload {
    const char *name;
    uint32_t least_size;
    uint32_t most_size;
    void (*body)(Run &run);
};

// Virtual time after which what has not come to an end never will: a hundred jobs of at most 100 s on few
// cores do.
constexpr Duration patience = 24h;

std::vector<Workload> workloads(); // by name
bool register_workload(Workload workload);

} // namespace flux::sim

#define SIM_WORKLOAD(identifier, least, most)                                                                \
    static void workload_##identifier(::flux::sim::Run &run);                                                \
    [[maybe_unused]] static const bool registered_##identifier =                                             \
        ::flux::sim::register_workload({#identifier, least, most, workload_##identifier});                   \
    static void workload_##identifier([[maybe_unused]] ::flux::sim::Run &run)
