// A tool that matches beside the jobs of the queues (sched-fluxion-resource), and nodes that are set down and
// up.
#pragma once
#include <set>
#include <vector>

#include "common/job/resource_set.hpp"
#include "common/types/job_id.hpp"
#include "sim/world.hpp"

namespace flux::sim {

// What was surely the tool's from one time to another, in seconds since the epoch.
struct HeldMatch {
    double from, to;
    int64_t id;
    ResourceSet R;
};

// Matches, reserves, gives back in parts, until it is over; leaves nothing. `jobs` are those that are not its
// own.
Task<> match_beside(World &world, const bool &over, const std::set<JobId> &jobs,
                    std::vector<HeldMatch> &held);
// Sets nodes down for a while.
Task<> flip_nodes(World &world, const bool &over);

} // namespace flux::sim
