// The scheduler's configuration: the tables [sched-fluxion-resource], [sched-fluxion-qmanager] and [queues].
#pragma once
#include <map>
#include <string>
#include <vector>

#include "common/graph/queue_policy.hpp"
#include "modules/sched/machine.hpp"

namespace flux {

struct SchedConfig {
    struct Queue {
        std::string name;
        graph::QueueOptions options;
    };
    MachineOptions machine;
    std::string load_file;                            // in place of what the instance has
    std::string load_format = "rv1exec";              // or grug, hwloc, jgf, jgf_shorthand, rv1exec_force
    std::set<std::string> load_only;                  // hwloc: these types; empty: all
    std::vector<Queue> queues;                        // at least one; without [queues] it is "default"
    std::map<std::string, size_t, std::less<>> index; // of every queue, virtual ones with their parent's
    Json resource_params = Json::object();            // the tables as they hold, for people
    Json queue_params = Json::object();

    // Module arguments ("queue-policy=easy") win over the tables. EINVAL, ERANGE or ENOENT names table and
    // key.
    static SchedConfig parse(const Json &config, const std::vector<std::string> &arguments); // throws Error
    size_t queue_of(std::string_view name) const; // the first for a name that is not known
    // What is scheduled: `instance` (R), or what load_file says instead. Throws Error.
    ResourceSet load_resources(const Json &instance) const;
    bool loads_recipe() const
    {
        return !load_file.empty() && (load_format == "grug" || load_format == "hwloc");
    }
    std::string read_load_file() const; // throws Error
};

} // namespace flux
