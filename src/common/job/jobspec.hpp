// Jobspec: what a job asks for and runs (RFC 14, canonical; RFC 25, version 1), from JSON.
//
//     auto jobspec = value_or_throw(Jobspec::parse(json));   // "resources[0].with[1].count: expected a
//     positive ..." value_or_throw(jobspec.check_v1()); auto shape = value_or_throw(jobspec.shape()); //
//     nodes, slots, cores and gpus per slot
//
// The environment stays JSON as it came: it is the bulk of a jobspec and only the shell reads it.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/error.hpp"
#include "common/json/json.hpp"
#include "common/types/range.hpp"

namespace flux {

struct ResourceVertex {
    std::string type; // "node", "slot", "core", "gpu", or anything a graph scheduler knows
    Count count;
    std::string unit;
    std::string label;
    std::string id;
    std::optional<bool> exclusive;
    std::vector<ResourceVertex> with;

    Json to_json() const;
};

struct TaskSpec {
    enum class Per { slot, resource, total };
    std::vector<std::string> command;
    std::string slot; // a label
    Per per = Per::slot;
    uint64_t count = 1;
    std::string per_resource; // type, when per is resource
    std::string distribution;
    Json attributes;

    Json to_json() const;
};

// The resources of a jobspec of the simple shapes slot>(core,gpu) and node>slot>(core,gpu), and of RFC 25
// only those.
struct JobShape {
    uint64_t nnodes = 0;         // 0: not asked for, the scheduler decides
    uint64_t nslots = 1;         // all slots of the job
    uint64_t slots_per_node = 0; // 0 when nnodes is
    uint64_t cores_per_slot = 1;
    uint64_t gpus_per_slot = 0;
    bool node_exclusive = false;
    std::string slot_label;

    uint64_t ncores() const { return nslots * cores_per_slot; }
    uint64_t ngpus() const { return nslots * gpus_per_slot; }
};

class Jobspec {
public:
    static constexpr size_t max_depth = 32;       // of nested resources
    static constexpr size_t max_vertices = 10000; // in one jobspec

    // RFC 14, any version. EINVAL names the field, what was expected and what was found.
    static Expected<Jobspec> parse(const Json &json);

    int version() const { return version_; }
    const std::vector<ResourceVertex> &resources() const { return resources_; }
    const std::vector<TaskSpec> &tasks() const { return tasks_; }
    const std::vector<std::string> &command() const { return tasks_.front().command; }
    const Json &json() const { return json_; } // the document, read-only

    // RFC 25: version 1, allowed shapes, one task, duration there. EINVAL says what is not.
    Expected<void> check_v1() const;
    // EINVAL when the resources are of a richer form than JobShape tells, or counts are ranges.
    Expected<JobShape> shape() const;
    // Shell option per-resource: so many tasks for each node, or core, that the job gets.
    struct TasksOfEach {
        bool node = false;
        uint64_t count = 1;
    };
    std::optional<TasksOfEach> tasks_of_each() const;
    // Number of tasks, where it does not depend on what the scheduler chooses.
    Expected<uint64_t> ntasks() const;

    // Attributes. Absent ones are empty, 0 or absent Json.
    Json system(std::string_view key) const { return json_.at("attributes", "system", key); }
    // attributes.<dotted path>, e.g. attribute("system.job.name")
    Json attribute(std::string_view dotted) const;
    double duration() const { return duration_; } // seconds; 0 is unlimited
    std::string cwd() const { return std::string(system("cwd").string_view()); }
    Json environment() const { return system("environment"); }
    std::string name() const; // attributes.system.job.name, else the command's base name
    std::string queue() const { return std::string(system("queue").string_view()); }
    std::string bank() const { return std::string(system("bank").string_view()); }
    std::string project() const { return std::string(system("project").string_view()); }
    Json shell_options() const { return json_.at("attributes", "system", "shell", "options"); }
    Json constraints() const { return system("constraints"); }
    Json dependencies() const { return system("dependencies"); } // array or absent

private:
    Json json_;
    int version_ = 1;
    double duration_ = 0;
    std::vector<ResourceVertex> resources_;
    std::vector<TaskSpec> tasks_;
};

// A dependency (RFC 26): {"scheme","value",...}. EINVAL names what is missing.
Expected<void> validate_dependency(const Json &dependency);
// "afterok:f123?key=value" as {"scheme":"afterok","value":"f123","key":"value"}.
Expected<Json> parse_dependency_uri(std::string_view uri);

} // namespace flux
