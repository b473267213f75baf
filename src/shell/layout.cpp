#include "shell/layout.hpp"

#include <algorithm>
#include <fstream>
#include <numeric>

#include "common/types/taskmap_scheme.hpp"

namespace flux::shell {

namespace {

Error too_many_tasks()
{
    return Error(EINVAL, "the job has more than {} tasks", Taskmap::max_tasks);
}

// How many slots each node holds.
Expected<std::vector<uint64_t>> slots_per_node(const Jobspec &jobspec, const ResourceSet &resources)
{
    auto shape = jobspec.shape();
    if (!shape)
        return std::unexpected(shape.error());
    std::vector<uint64_t> slots;
    uint64_t left = shape->nnodes ? UINT64_MAX : shape->nslots;
    for (const auto &node : resources.nodes()) {
        if (shape->nnodes) { // each node alike
            slots.push_back(shape->slots_per_node);
            continue;
        }
        uint64_t fit = shape->cores_per_slot ? node.cores().count() / shape->cores_per_slot : left;
        if (shape->gpus_per_slot)
            fit = std::min<uint64_t>(fit, node.gpus().count() / shape->gpus_per_slot);
        slots.push_back(std::min(fit, left));
        left -= slots.back();
    }
    if (!shape->nnodes && left)
        return fail(EINVAL, "the resources of the job hold {} of its {} slots", shape->nslots - left,
                    shape->nslots);
    return slots;
}

std::vector<uint64_t> spread(uint64_t total, size_t nnodes)
{
    std::vector<uint64_t> out(nnodes, total / nnodes);
    for (size_t i = 0; i < total % nnodes; i++)
        out[i]++;
    return out;
}

Expected<std::vector<uint64_t>> count_tasks(const Jobspec &jobspec, const ResourceSet &resources)
{
    const auto &task = jobspec.tasks().front();
    std::string resource = task.per == TaskSpec::Per::resource ? task.per_resource : "";
    uint64_t count = task.count;
    if (Json option = jobspec.shell_options()["per-resource"]; option.is_object()) {
        resource = option.value<std::string>("type", {});
        count = option.value<uint64_t>("count", 1);
    }
    if (count > Taskmap::max_tasks)
        return std::unexpected(too_many_tasks());
    std::vector<uint64_t> out;
    if (resource == "node" || resource == "core" || resource == "gpu") {
        for (const auto &node : resources.nodes())
            out.push_back(count * (resource == "node"   ? 1
                                   : resource == "core" ? node.cores().count()
                                                        : node.gpus().count()));
        return out;
    }
    if (!resource.empty() && resource != "slot")
        return fail(EINVAL, "tasks per \"{}\": expected node, core, gpu or slot", resource);
    if (task.per == TaskSpec::Per::total)
        return spread(count, resources.nnodes());
    auto slots = slots_per_node(jobspec, resources);
    if (slots)
        for (auto &n : *slots)
            n = std::min<uint64_t>(n, Taskmap::max_tasks + 1) * count;
    return slots;
}

} // namespace

Expected<std::vector<uint32_t>> tasks_per_node(const Jobspec &jobspec, const ResourceSet &resources)
{
    if (resources.empty())
        return fail(EINVAL, "the job has no resources");
    auto counts = count_tasks(jobspec, resources);
    if (!counts)
        return std::unexpected(counts.error());
    uint64_t total = 0;
    std::vector<uint32_t> out;
    for (auto count : *counts) {
        total += count;
        if (total > Taskmap::max_tasks)
            return std::unexpected(too_many_tasks());
        out.push_back(uint32_t(count));
    }
    if (!total)
        return fail(EINVAL, "the job has no task");
    return out;
}

// taskmap=hostfile:FILE has a host name a line: task 0 runs on the first, task 1 on the second, and from the top
// again after the last. The file must give each node as many tasks as it has room for.
Expected<Taskmap> map_by_hostfile(const std::string &path, const std::vector<uint32_t> &counts,
                                  const ResourceSet &resources)
{
    std::ifstream file(path);
    if (!file)
        return fail(ENOENT, "taskmap=hostfile:{}: the file cannot be read", path);
    std::vector<size_t> nodes;
    Hostlist names = resources.nodelist();
    for (std::string host; file >> host;) {
        auto hosts = Hostlist::parse(host);
        if (!hosts)
            return fail(EINVAL, "taskmap=hostfile:{}: {}", path, hosts.error().text());
        for (size_t i = 0; i < hosts->size(); i++) {
            auto place = names.find(hosts->nth(i));
            if (!place)
                return fail(EINVAL, "taskmap=hostfile:{}: the job has no node {}", path, hosts->nth(i));
            nodes.push_back(*place);
        }
    }
    if (nodes.empty())
        return fail(EINVAL, "taskmap=hostfile:{}: the file names no host", path);
    uint32_t ntasks = std::accumulate(counts.begin(), counts.end(), 0u);
    std::vector<Idset> tasks(counts.size());
    for (uint32_t task = 0; task < ntasks; task++)
        tasks[nodes[task % nodes.size()]].add(task);
    for (size_t i = 0; i < counts.size(); i++)
        if (tasks[i].count() > counts[i])
            return fail(EINVAL, "taskmap=hostfile:{}: {} would get {} tasks and has room for {}", path,
                        resources.nodes()[i].hostname(), tasks[i].count(), counts[i]);
    return Taskmap::from_idsets(tasks);
}

Expected<Taskmap> make_taskmap(const Jobspec &jobspec, const ResourceSet &resources, const Options &options)
{
    auto counts = tasks_per_node(jobspec, resources);
    if (!counts)
        return std::unexpected(counts.error());
    auto block = Taskmap::block(*counts);
    auto scheme = TaskmapScheme::parse(options.taskmap_scheme, options.taskmap_value);
    if (!scheme)
        return fail(EINVAL, "taskmap: {}", scheme.error().text());
    switch (scheme->kind) {
    case TaskmapScheme::Kind::block:
        return block;
    case TaskmapScheme::Kind::cyclic:
        return Taskmap::cyclic(*counts, scheme->stride);
    case TaskmapScheme::Kind::hostfile:
        return map_by_hostfile(scheme->path, *counts, resources);
    case TaskmapScheme::Kind::manual:
        break;
    }
    if (auto fits = scheme->map.check_against(block); !fits)
        return fail(EINVAL, "taskmap=manual: {}", fits.error().text());
    return scheme->map;
}

} // namespace flux::shell
