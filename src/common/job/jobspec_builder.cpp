#include "common/job/jobspec_builder.hpp"

#include "common/job/jobspec.hpp"

namespace flux {

namespace {

constexpr const char *slot_label = "task";

struct Layout {
    uint64_t nnodes = 0; // 0: no node vertex
    uint64_t slots = 1;  // per node, or in all
    uint64_t cores = 1;  // per slot
    uint64_t gpus = 0;
    bool exclusive = false;
};

Json vertex(const char *type, uint64_t count)
{
    return Json {{"type", type}, {"count", count}};
}

Json list_of(Json item)
{
    Json list = Json::array();
    list.append(std::move(item));
    return list;
}

Json make_jobspec(const Layout &layout, const std::vector<std::string> &command, Json task_count)
{
    Json contents = list_of(vertex("core", layout.cores));
    if (layout.gpus > 0)
        contents.append(vertex("gpu", layout.gpus));
    Json top = vertex("slot", layout.slots).set("with", contents).set("label", slot_label);
    if (layout.nnodes > 0) {
        Json node = vertex("node", layout.nnodes);
        if (layout.exclusive)
            node.set("exclusive", Json(true));
        top = node.set("with", list_of(top));
    }
    Json task {{"command", Json::array_of(command)}, {"slot", slot_label}, {"count", std::move(task_count)}};
    Json system {{"duration", 0}};
    return Json {{"resources", list_of(top)},
                 {"tasks", list_of(task)},
                 {"attributes", Json {{"system", system}}},
                 {"version", 1}};
}

Expected<void> check_positive(std::optional<uint64_t> value, const char *option, bool zero_allowed = false)
{
    if (value && *value == 0 && !zero_allowed)
        return fail(EINVAL, "{} must be at least 1", option);
    if (value && *value > Count::max_value)
        return fail(EINVAL, "{} is over the limit of {}", option, Count::max_value);
    return {};
}

template <class... Checks>
Expected<void> first_error(Checks &&...checks)
{
    Expected<void> out;
    ((out && !checks ? void(out = std::unexpected(checks.error())) : void()), ...);
    return out;
}

Expected<void> check_exclusive(bool exclusive, std::optional<uint64_t> nnodes)
{
    if (exclusive && !nnodes)
        return fail(EINVAL, "--exclusive needs --nodes");
    return {};
}

// --cores, --tasks-per-node, --tasks-per-core, --gpus-per-node: resources first, tasks as many as they give.
Expected<JobspecBuilder> per_resource(const TaskRequest &request)
{
    if (request.ntasks || request.cores_per_task || request.gpus_per_task)
        return fail(EINVAL, "--ntasks, --cores-per-task and --gpus-per-task do not go together with --cores, "
                            "--tasks-per-node, --tasks-per-core or --gpus-per-node");
    if (request.tasks_per_node && request.tasks_per_core)
        return fail(EINVAL, "--tasks-per-node and --tasks-per-core do not go together");
    if (request.gpus_per_node && !request.nnodes)
        return fail(EINVAL, "--gpus-per-node needs --nodes");
    if (!request.nnodes && !request.cores)
        return fail(EINVAL, "--tasks-per-node and --tasks-per-core need --nodes or --cores");
    Layout layout {.exclusive = request.exclusive};
    if (request.nnodes) {
        layout.nnodes = *request.nnodes;
        layout.gpus = request.gpus_per_node.value_or(0);
        if (request.cores) {
            if (*request.cores % layout.nnodes != 0)
                return fail(EINVAL, "--cores={} cannot be spread evenly over --nodes={}", *request.cores,
                            layout.nnodes);
            layout.cores = *request.cores / layout.nnodes;
        } else {
            layout.exclusive = true; // nodes without a number of cores: all of them
        }
    } else {
        layout.slots = *request.cores;
    }
    JobspecBuilder builder(make_jobspec(layout, request.command, Json {{"per_slot", 1}}));
    const char *type = request.tasks_per_node || !(request.cores || request.tasks_per_core) ? "node" : "core";
    uint64_t count = request.tasks_per_node ? *request.tasks_per_node : request.tasks_per_core.value_or(1);
    builder.shell_option("per-resource", Json {{"type", type}, {"count", count}});
    return builder;
}

} // namespace

Expected<JobspecBuilder> JobspecBuilder::for_tasks(const TaskRequest &request)
{
    auto checked =
        first_error(check_positive(request.ntasks, "--ntasks"),
                    check_positive(request.cores_per_task, "--cores-per-task"),
                    check_positive(request.gpus_per_task, "--gpus-per-task", true),
                    check_positive(request.nnodes, "--nodes"), check_positive(request.cores, "--cores"),
                    check_positive(request.tasks_per_node, "--tasks-per-node"),
                    check_positive(request.tasks_per_core, "--tasks-per-core"),
                    check_positive(request.gpus_per_node, "--gpus-per-node", true),
                    check_exclusive(request.exclusive, request.nnodes));
    if (!checked)
        return std::unexpected(checked.error());
    if (request.command.empty() || request.command.front().empty())
        return fail(EINVAL, "a command to run is missing");
    if (request.cores || request.tasks_per_node || request.tasks_per_core || request.gpus_per_node)
        return per_resource(request);
    Layout layout {.nnodes = request.nnodes.value_or(0),
                   .slots = request.ntasks.value_or(request.nnodes.value_or(1)),
                   .cores = request.cores_per_task.value_or(1),
                   .gpus = request.gpus_per_task.value_or(0),
                   .exclusive = request.exclusive || (request.nnodes && !request.ntasks)};
    Json count {{"per_slot", 1}};
    if (layout.nnodes > 0) {
        uint64_t ntasks = layout.slots;
        if (layout.nnodes > ntasks)
            return fail(EINVAL, "--nodes={} is more than --ntasks={}: every node needs a task", layout.nnodes,
                        ntasks);
        layout.slots = (ntasks + layout.nnodes - 1) / layout.nnodes;
        if (ntasks % layout.nnodes != 0)
            count = Json {{"total", ntasks}};
    }
    return JobspecBuilder(make_jobspec(layout, request.command, std::move(count)));
}

Expected<JobspecBuilder> JobspecBuilder::for_slots(const SlotRequest &request)
{
    auto checked = first_error(check_positive(request.nslots, "--nslots"),
                               check_positive(request.cores_per_slot, "--cores-per-slot"),
                               check_positive(request.gpus_per_slot, "--gpus-per-slot", true),
                               check_positive(request.nnodes, "--nodes"),
                               check_exclusive(request.exclusive, request.nnodes));
    if (!checked)
        return std::unexpected(checked.error());
    if (!request.nslots && !request.nnodes)
        return fail(EINVAL, "one of --nslots and --nodes is needed");
    if (request.command.empty() || request.command.front().empty())
        return fail(EINVAL, "a command to run is missing");
    Layout layout {.nnodes = request.nnodes.value_or(0),
                   .slots = request.nslots.value_or(request.nnodes.value_or(1)),
                   .cores = request.cores_per_slot.value_or(1),
                   .gpus = request.gpus_per_slot.value_or(0),
                   .exclusive = request.exclusive || (request.nnodes && !request.nslots)};
    if (layout.nnodes > 0) {
        if (layout.nnodes > layout.slots)
            return fail(EINVAL, "--nodes={} is more than --nslots={}: every node needs a slot", layout.nnodes,
                        layout.slots);
        layout.slots = (layout.slots + layout.nnodes - 1) / layout.nnodes;
    }
    JobspecBuilder builder(make_jobspec(layout, request.command, Json {{"per_slot", 1}}));
    // One broker per node, however many slots the node has.
    builder.shell_option("per-resource", Json {{"type", "node"}, {"count", 1}});
    return builder;
}

JobspecBuilder &JobspecBuilder::duration(double seconds)
{
    json_.set_path("attributes.system.duration", Json(seconds));
    return *this;
}

JobspecBuilder &JobspecBuilder::cwd(std::string_view path)
{
    json_.set_path("attributes.system.cwd", Json(path));
    return *this;
}

JobspecBuilder &JobspecBuilder::environment(Json environment)
{
    json_.set_path("attributes.system.environment", std::move(environment));
    return *this;
}

JobspecBuilder &JobspecBuilder::name(std::string_view name)
{
    json_.set_path("attributes.system.job.name", Json(name));
    return *this;
}

JobspecBuilder &JobspecBuilder::queue(std::string_view queue)
{
    json_.set_path("attributes.system.queue", Json(queue));
    return *this;
}

JobspecBuilder &JobspecBuilder::bank(std::string_view bank)
{
    json_.set_path("attributes.system.bank", Json(bank));
    return *this;
}

JobspecBuilder &JobspecBuilder::constraints(Json constraints)
{
    json_.set_path("attributes.system.constraints", std::move(constraints));
    return *this;
}

JobspecBuilder &JobspecBuilder::add_dependency(Json dependency)
{
    Json list = json_.at("attributes", "system", "dependencies");
    if (!list.is_array()) {
        list = Json::array();
        json_.set_path("attributes.system.dependencies", list);
    }
    list.append(std::move(dependency));
    return *this;
}

JobspecBuilder &JobspecBuilder::shell_option(std::string_view dotted, Json value)
{
    json_.set_path(fmt::format("attributes.system.shell.options.{}", dotted), std::move(value));
    return *this;
}

JobspecBuilder &JobspecBuilder::attribute(std::string_view dotted, Json value)
{
    std::string path = "attributes.";
    if (dotted.starts_with('.'))
        path += dotted.substr(1);
    else if (dotted.starts_with("system.") || dotted.starts_with("user."))
        path += dotted;
    else
        path.append("system.").append(dotted);
    json_.set_path(path, std::move(value));
    return *this;
}

JobspecBuilder &JobspecBuilder::file(std::string_view name, Json entry)
{
    Json files = json_.at("attributes", "system", "files");
    if (!files.is_object()) {
        files = Json::object();
        json_.set_path("attributes.system.files", files);
    }
    files.set(name, std::move(entry)); // a file's name may hold periods
    return *this;
}

} // namespace flux
