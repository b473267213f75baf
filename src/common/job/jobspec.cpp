#include "common/job/jobspec.hpp"

#include <set>

namespace flux {

namespace {

const ResourceVertex *find_slot(const std::vector<ResourceVertex> &list, std::string_view label,
                                uint64_t &instances)
{
    for (const auto &vertex : list) {
        uint64_t here = instances;
        if (!vertex.count.fixed() || __builtin_mul_overflow(instances, vertex.count.min(), &here))
            here = 0; // unknown, and so is all below
        if (vertex.type == "slot" && vertex.label == label) {
            instances = here;
            return &vertex;
        }
        if (auto *found = find_slot(vertex.with, label, here)) {
            instances = here;
            return found;
        }
    }
    return nullptr;
}

// How many vertices of a type lie below; 0 when a count on the way is a range.
uint64_t count_below(const std::vector<ResourceVertex> &list, std::string_view type)
{
    uint64_t total = 0;
    for (const auto &vertex : list) {
        uint64_t below = vertex.type == type ? 1 : count_below(vertex.with, type);
        if (!vertex.count.fixed() || __builtin_mul_overflow(below, vertex.count.min(), &below) ||
            __builtin_add_overflow(total, below, &total))
            return 0;
    }
    return total;
}

// cores and gpus of a slot whose children may be nothing else.
Expected<void> read_slot(const ResourceVertex &slot, std::string_view path, JobShape &shape)
{
    bool has_core = false, has_gpu = false;
    for (size_t i = 0; i < slot.with.size(); i++) {
        const auto &vertex = slot.with[i];
        bool is_core = vertex.type == "core";
        bool &seen = is_core ? has_core : has_gpu;
        if ((!is_core && vertex.type != "gpu") || !vertex.with.empty())
            return fail(EINVAL, "{}.with[{}]: expected core or gpu alone, found {}", path, i, vertex.type);
        if (seen)
            return fail(EINVAL, "{}.with[{}]: a second {}", path, i, vertex.type);
        if (!vertex.count.fixed())
            return fail(EINVAL, "{}.with[{}].count: expected a fixed count, found {}", path, i,
                        vertex.count.format());
        seen = true;
        (is_core ? shape.cores_per_slot : shape.gpus_per_slot) = vertex.count.min();
    }
    if (!has_core)
        return fail(EINVAL, "{}.with: a slot must hold cores", path);
    return {};
}

} // namespace

Expected<JobShape> Jobspec::shape() const
{
    if (resources_.size() != 1)
        return fail(EINVAL, "resources: expected one vertex, found {}", resources_.size());
    JobShape shape;
    const ResourceVertex *slot = &resources_.front();
    std::string path = "resources[0]";
    if (slot->type == "node") {
        if (!slot->count.fixed())
            return fail(EINVAL, "{}.count: expected a fixed count, found {}", path, slot->count.format());
        shape.nnodes = slot->count.min();
        shape.node_exclusive = slot->exclusive.value_or(false);
        if (slot->with.size() != 1)
            return fail(EINVAL, "{}.with: expected one slot, found {} vertices", path, slot->with.size());
        slot = &slot->with.front();
        path += ".with[0]";
    }
    if (slot->type != "slot")
        return fail(EINVAL, "{}.type: expected {}slot, found {}", path, shape.nnodes ? "" : "node or ",
                    slot->type);
    if (!slot->count.fixed())
        return fail(EINVAL, "{}.count: expected a fixed count, found {}", path, slot->count.format());
    shape.nslots = slot->count.min();
    shape.slot_label = slot->label;
    if (shape.nnodes > 0) {
        shape.slots_per_node = shape.nslots;
        if (__builtin_mul_overflow(shape.nslots, shape.nnodes, &shape.nslots) ||
            shape.nslots > Count::max_value)
            return fail(EINVAL, "{}.count: more than {} slots in all", path, Count::max_value);
    }
    if (auto done = read_slot(*slot, path, shape); !done)
        return std::unexpected(done.error());
    uint64_t total;
    if (__builtin_mul_overflow(shape.nslots, shape.cores_per_slot, &total) ||
        __builtin_mul_overflow(shape.nslots, shape.gpus_per_slot, &total))
        return fail(EINVAL, "{}: more cores or gpus in all than can be counted", path);
    return shape;
}

Expected<void> Jobspec::check_v1() const
{
    if (version_ != 1)
        return fail(EINVAL, "version: expected 1, found {}", version_);
    if (auto known = shape(); !known)
        return std::unexpected(known.error());
    const auto *vertex = &resources_.front();
    for (std::string path = "resources[0]"; vertex; path += ".with[0]") {
        if (!vertex->id.empty())
            return fail(EINVAL, "{}: key \"id\" is not allowed in version 1", path);
        vertex = vertex->with.empty() ? nullptr : &vertex->with.front();
    }
    if (tasks_.size() != 1)
        return fail(EINVAL, "tasks: expected one task, found {}", tasks_.size());
    const auto &task = tasks_.front();
    if (task.per == TaskSpec::Per::resource)
        return fail(EINVAL, "tasks[0].count: per_resource is not allowed in version 1");
    if (task.per == TaskSpec::Per::slot && task.count != 1)
        return fail(EINVAL, "tasks[0].count.per_slot: expected 1, found {}", task.count);
    if (!json_.at("attributes", "system").is_object())
        return fail(EINVAL, "attributes.system: missing");
    if (!system("duration"))
        return fail(EINVAL, "attributes.system.duration: missing");
    return {};
}

std::optional<Jobspec::TasksOfEach> Jobspec::tasks_of_each() const
{
    Json option = shell_options()["per-resource"];
    if (!option.is_object() || tasks_.size() != 1)
        return std::nullopt;
    auto count = std::max<json_int_t>(1, json_integer_value(option["count"].raw()));
    return TasksOfEach {.node = option["type"].string_view() == "node", .count = uint64_t(count)};
}

Expected<uint64_t> Jobspec::ntasks() const
{
    uint64_t total = 0;
    if (auto each = tasks_of_each()) {
        auto known = shape();
        uint64_t units = !known                  ? 0
                         : each->node            ? known->nnodes
                         : known->node_exclusive ? 0
                                                 : known->ncores();
        if (units == 0 || __builtin_mul_overflow(units, each->count, &total))
            return fail(EINVAL, "the number of tasks depends on the resources that the job gets");
        return total;
    }
    for (const auto &task : tasks_) {
        uint64_t slots = 1, here = task.count;
        const auto *slot = find_slot(resources_, task.slot, slots);
        if (task.per == TaskSpec::Per::resource)
            slots = slot && !__builtin_mul_overflow(slots, count_below(slot->with, task.per_resource), &slots)
                        ? slots
                        : 0;
        if (task.per != TaskSpec::Per::total && (slots == 0 || __builtin_mul_overflow(here, slots, &here)))
            return fail(EINVAL, "the number of tasks depends on the resources that the job gets");
        if (__builtin_add_overflow(total, here, &total))
            return fail(EINVAL, "more tasks than can be counted");
    }
    return total;
}

Json Jobspec::attribute(std::string_view dotted) const
{
    Json at = json_["attributes"];
    while (at) {
        size_t dot = dotted.find('.');
        at = at[dotted.substr(0, dot)];
        if (dot == std::string_view::npos)
            return at;
        dotted.remove_prefix(dot + 1);
    }
    return at;
}

std::string Jobspec::name() const
{
    Json name = json_.at("attributes", "system", "job", "name");
    if (name.is_string())
        return std::string(name.string_view());
    const std::string &program = command().front();
    return program.substr(program.rfind('/') + 1); // npos + 1 is 0
}

} // namespace flux
