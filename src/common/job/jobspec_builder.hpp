// Jobspecs from what commands are told: run, submit, alloc, batch (man pages' -N -n -c -g -x, --cores,
// --tasks-per-*).
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/error.hpp"
#include "common/json/json.hpp"

namespace flux {

// Counts as given; absent when not. Text, because each may be a range (RFC 45) where the scheduler knows
// ranges.
struct TaskRequest { // one task per slot: run, submit, bulksubmit
    std::vector<std::string> command;
    std::optional<uint64_t> ntasks;         // -n
    std::optional<uint64_t> cores_per_task; // -c
    std::optional<uint64_t> gpus_per_task;  // -g
    std::optional<uint64_t> nnodes;         // -N
    bool exclusive = false;                 // -x
    // The per-resource options, which exclude the per-task ones.
    std::optional<uint64_t> cores;          // --cores
    std::optional<uint64_t> tasks_per_node; // --tasks-per-node
    std::optional<uint64_t> tasks_per_core; // --tasks-per-core
    std::optional<uint64_t> gpus_per_node;  // --gpus-per-node
};

struct SlotRequest { // an instance on slots: alloc, batch
    std::vector<std::string> command;
    std::optional<uint64_t> nslots;         // -n
    std::optional<uint64_t> cores_per_slot; // -c
    std::optional<uint64_t> gpus_per_slot;  // -g
    std::optional<uint64_t> nnodes;         // -N
    bool exclusive = false;                 // -x
};

// A complete version 1 jobspec with attributes.system.duration 0; callers add environment, cwd and the rest
// with set(). EINVAL says which options do not go together.
class JobspecBuilder {
public:
    static Expected<JobspecBuilder> for_tasks(const TaskRequest &request);
    static Expected<JobspecBuilder> for_slots(const SlotRequest &request);
    explicit JobspecBuilder(Json jobspec) : json_(std::move(jobspec)) {}

    JobspecBuilder &duration(double seconds);
    JobspecBuilder &cwd(std::string_view path);
    JobspecBuilder &environment(Json environment);
    JobspecBuilder &name(std::string_view name);
    JobspecBuilder &queue(std::string_view queue);
    JobspecBuilder &bank(std::string_view bank);
    JobspecBuilder &constraints(Json constraints);
    JobspecBuilder &add_dependency(Json dependency);
    JobspecBuilder &shell_option(std::string_view dotted, Json value);
    // --setattr: a path below attributes, "system." unless it begins with "user." or "system." or ".".
    JobspecBuilder &attribute(std::string_view dotted, Json value);
    // A file to come along, in the form of RFC 37 (already encoded).
    JobspecBuilder &file(std::string_view name, Json entry);

    const Json &json() const { return json_; }
    Json &json() { return json_; }

private:
    Json json_;
};

} // namespace flux
