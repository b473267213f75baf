// Replay on an instance: a workload trace goes through a whole simulated instance, its real job-ingest,
// job-manager, sched, job-exec and KVS, in virtual time.
//
// The instance is one broker with the machine's nodes as fake resources; jobs run in mock execution for as
// long as the trace says. Nothing in it takes time but the jobs, so everything happens at whole seconds: at
// one instant jobs end first, and what that leads to, then others are submitted. A job that runs longer than
// its estimate is ended by its time limit.
#pragma once
#include <span>

#include "common/graph/graph.hpp"
#include "common/graph/queue_policy.hpp"
#include "common/graph/replay.hpp"
#include "common/job/resource_set.hpp"

namespace flux::sim {

struct InstanceOptions {
    ResourceSet machine; // with its graph as the scheduling key, if it has one
    graph::QueueOptions queue;
    std::string match_policy; // empty: the scheduler's own
};

// One node with so many cores.
ResourceSet flat_resources(int64_t cores);
// R of a machine, with its graph as the scheduling key. EINVAL says what of it R cannot carry.
Expected<ResourceSet> resources_of(const graph::Graph &machine);

// ReplayResult::seconds is what the whole simulation took. Throws Error: EPROTO names a job that did not end
// as the trace says.
graph::ReplayResult replay_on_instance(std::span<const graph::TraceJob> jobs, const InstanceOptions &options);

} // namespace flux::sim
