// Replay on a graph: a workload trace through the very queue policies and matcher that schedule an instance's
// jobs, in virtual time. Each job asks for so many slots of one core.
#pragma once
#include "common/graph/queue_policy.hpp"
#include "common/graph/replay.hpp"

namespace flux::graph {

// Jobs that can never run on the machine keep the start -1.
ReplayResult replay_on_graph(std::span<const TraceJob> jobs, Matcher &matcher, const QueueOptions &options);

} // namespace flux::graph
