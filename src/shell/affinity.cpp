#include "shell/affinity.hpp"

#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <fstream>
#include <set>

namespace flux::shell {

namespace {

// The share of task number `index` of `count` in ids, as even as can be; tasks share ids when there are too
// few.
Idset share(const Idset &ids, size_t index, size_t count)
{
    Idset out;
    size_t size = ids.count();
    if (!size)
        return out;
    size_t first = index * size / count, end = (index + 1) * size / count;
    for (size_t i = first; i < std::max(end, first + 1); i++)
        out.add(ids.nth(i));
    return out;
}

Idset entry_of_map(std::string_view option, std::string_view list, size_t index)
{
    for (; index; index--) {
        auto semicolon = list.find(';');
        if (semicolon == list.npos)
            break; // the last entry holds for the tasks after it
        list.remove_prefix(semicolon + 1);
    }
    auto ids = Idset::parse(list.substr(0, list.find(';')));
    if (!ids)
        throw Error(EINVAL, "shell option {}: {}", option, ids.error().text());
    return *ids;
}

std::optional<Idset> choose(std::string_view option, std::string_view value, const Idset &ids, const Job &job,
                            uint32_t task)
{
    size_t index = job.tasks.index_of(task);
    if (value.empty() || value == "off")
        return std::nullopt;
    if (value == "on")
        return ids;
    if (value == "per-task")
        return share(ids, index, job.tasks.count());
    if (value.starts_with("map:"))
        return entry_of_map(option, value.substr(4), index);
    throw Error(EINVAL, "shell option {}: \"{}\" is none of on, off, per-task and map:LIST", option, value);
}

// The processors of each core, in order of package and first processor: how R counts cores.
std::vector<Idset> processors_of_cores()
{
    std::set<std::tuple<int, uint32_t, Idset>> cores;
    for (uint32_t cpu = 0;; cpu++) {
        auto directory = fmt::format("/sys/devices/system/cpu/cpu{}/topology/", cpu);
        std::ifstream siblings(directory + "thread_siblings_list"),
            package(directory + "physical_package_id");
        std::string list;
        int package_id = 0;
        if (!std::getline(siblings, list) || !(package >> package_id))
            break;
        auto processors = Idset::parse(list);
        if (processors && !processors->empty())
            cores.emplace(package_id, *processors->first(), *processors);
    }
    std::vector<Idset> out;
    for (const auto &core : cores)
        out.push_back(std::get<Idset>(core));
    return out;
}

struct LimitName {
    const char *name;
    int resource;
};
constexpr LimitName limit_names[] = {
    {"as", RLIMIT_AS},
    {"core", RLIMIT_CORE},
    {"cpu", RLIMIT_CPU},
    {"data", RLIMIT_DATA},
    {"fsize", RLIMIT_FSIZE},
    {"memlock", RLIMIT_MEMLOCK},
    {"msgqueue", RLIMIT_MSGQUEUE},
    {"nice", RLIMIT_NICE},
    {"nofile", RLIMIT_NOFILE},
    {"nproc", RLIMIT_NPROC},
    {"rss", RLIMIT_RSS},
    {"rtprio", RLIMIT_RTPRIO},
    {"rttime", RLIMIT_RTTIME},
    {"sigpending", RLIMIT_SIGPENDING},
    {"stack", RLIMIT_STACK},
};

} // namespace

std::optional<Idset> gpus_of_task(const Job &job, uint32_t task)
{
    if (job.node().gpus().empty())
        return std::nullopt;
    return choose("gpu-affinity", job.options.gpu_affinity, job.node().gpus(), job, task);
}

std::optional<Idset> cores_of_task(const Job &job, uint32_t task)
{
    return choose("cpu-affinity", job.options.cpu_affinity, job.node().cores(), job, task);
}

void bind_for_task(const Job &job, uint32_t task)
{
    auto cores = cores_of_task(job, task);
    if (!cores)
        return;
    if (job.options.affinity_dry_run)
        return;
    static const auto processors = processors_of_cores();
    cpu_set_t set;
    CPU_ZERO(&set);
    for (auto core : *cores)
        if (core < processors.size())
            for (auto processor : processors[core])
                if (processor < CPU_SETSIZE)
                    CPU_SET(processor, &set);
    if (sched_setaffinity(0, sizeof(set), &set) < 0)
        throw Error(errno, "cannot bind task {} to cores {}: {}", task, cores->format(), errno_text(errno));
}

void apply_rlimits(const Job &job)
{
    if (job.options.oom_adjust) {
        std::ofstream score("/proc/self/oom_score_adj");
        if (!(score << *job.options.oom_adjust << std::flush))
            throw Error(EPERM, "shell option oom.adjust={}: this system does not allow it",
                        *job.options.oom_adjust);
    }
    for (const auto &[name, value] : job.options.rlimits) {
        auto found = std::ranges::find_if(limit_names, [&](const auto &limit) { return name == limit.name; });
        if (found == std::end(limit_names))
            throw Error(EINVAL, "shell option rlimit: there is no limit named \"{}\"", name);
        rlimit limit;
        getrlimit(__rlimit_resource_t(found->resource), &limit);
        limit.rlim_cur = value < 0 ? RLIM_INFINITY : rlim_t(value);
        limit.rlim_cur = std::min(limit.rlim_cur, limit.rlim_max); // an unlimited wish gets what there is
        if (setrlimit(__rlimit_resource_t(found->resource), &limit) < 0)
            throw Error(errno, "shell option rlimit.{}={}: {}", name, value, errno_text(errno));
    }
}

SoftLimits::SoftLimits()
{
    for (const auto &[name, resource] : limit_names) {
        rlimit limit;
        if (getrlimit(__rlimit_resource_t(resource), &limit) == 0)
            limits_.emplace_back(resource, limit.rlim_cur);
    }
}

void SoftLimits::restore() const
{
    for (const auto &[resource, soft] : limits_) {
        rlimit limit;
        if (getrlimit(__rlimit_resource_t(resource), &limit) < 0 || limit.rlim_cur == soft)
            continue;
        limit.rlim_cur = soft;
        setrlimit(__rlimit_resource_t(resource), &limit);
    }
}

bool mark_the_process(const Options &options)
{
    bool bound = !options.cpu_affinity.empty() && options.cpu_affinity != "off";
    auto cpu = options.rlimits.find("cpu"); // of the shell's own time too, which adds up
    return bound || options.oom_adjust || !options.own_process_groups ||
           (cpu != options.rlimits.end() && cpu->second >= 0);
}

} // namespace flux::shell
