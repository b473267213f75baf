// Layout: which tasks run on which node, from what the jobspec asks for and what R gave.
#pragma once
#include "common/job/jobspec.hpp"
#include "common/job/resource_set.hpp"
#include "common/types/taskmap.hpp"
#include "shell/options.hpp"

namespace flux::shell {

// Tasks per node, in nodeid order. EINVAL when the resources cannot hold the job's slots.
Expected<std::vector<uint32_t>> tasks_per_node(const Jobspec &jobspec, const ResourceSet &resources);

// The whole job's map, as the option taskmap wants it. EINVAL on a map that does not fit the job.
Expected<Taskmap> make_taskmap(const Jobspec &jobspec, const ResourceSet &resources, const Options &options);

} // namespace flux::shell
