#include "shell/job.hpp"

#include <cstdlib>
#include <map>

#include "shell/affinity.hpp"
#include "shell/layout.hpp"

namespace flux::shell {

Expected<Job> Job::from(shell_channel::Start start)
{
    Job job;
    job.start = std::move(start);
    try {
        job.jobspec = value_or_throw(Jobspec::parse(job.start.jobspec));
        job.resources = value_or_throw(ResourceSet::from_json(job.start.R));
        job.options = value_or_throw(Options::parse(job.jobspec));
        if (job.resources.nnodes() != job.start.nnodes)
            throw Error(EINVAL, "R has {} nodes, but the job was started on {}", job.resources.nnodes(),
                        job.start.nnodes);
        job.taskmap = value_or_throw(make_taskmap(job.jobspec, job.resources, job.options));
        job.tasks = job.taskmap.tasks(job.start.nodeid);
        job.host = job.node().hostname();
    } catch (const Error &error) {
        return fail(EINVAL, "job {}: {}", job.start.id, error.text());
    }
    std::string parent = job.start.tmpdir;
    if (parent.empty()) {
        const char *tmpdir = getenv("TMPDIR");
        parent = tmpdir && *tmpdir ? tmpdir : "/tmp";
    }
    job.tmpdir = fmt::format("{}/jobtmp-{}-{}", parent, job.start.nodeid, job.start.id.f58(F58Prefix::ascii));
    return job;
}

namespace {

std::optional<std::string> node_tag(std::string_view name, const Job &job)
{
    if (name == "id")
        return fmt::format("{}", job.start.nodeid);
    if (name == "name")
        return job.host;
    if (name == "broker_rank")
        return fmt::format("{}", job.start.rank);
    if (name == "cores")
        return job.node().cores().format();
    if (name == "gpus")
        return job.node().gpus().format();
    if (name == "ncores")
        return fmt::format("{}", job.node().cores().count());
    return std::nullopt;
}

std::optional<std::string> tag(std::string_view name, const Job &job, std::optional<uint32_t> task)
{
    if (name == "id" || name == "jobid")
        return job.start.id.f58();
    if (name.starts_with("id.") || name.starts_with("jobid.")) {
        auto encoded = job.start.id.encode(name.substr(name.find('.') + 1));
        return encoded ? std::optional(*encoded) : std::nullopt;
    }
    if (name == "name")
        return job.jobspec.name();
    if (name == "nnodes")
        return fmt::format("{}", job.start.nnodes);
    if (name == "size" || name == "ntasks")
        return fmt::format("{}", job.taskmap.ntasks());
    if (name == "tmpdir")
        return job.tmpdir;
    if (name.starts_with("node."))
        return node_tag(name.substr(5), job);
    if (task && (name == "taskid" || name == "task.id" || name == "task.rank"))
        return fmt::format("{}", *task);
    if (task && (name == "task.index" || name == "task.localid"))
        return fmt::format("{}", job.tasks.index_of(*task));
    return std::nullopt;
}

} // namespace

std::string render(std::string_view text, const Job &job, std::optional<uint32_t> task)
{
    std::string out;
    while (true) {
        auto open = text.find("{{");
        auto close = open == text.npos ? text.npos : text.find("}}", open);
        if (close == text.npos)
            return out.append(text);
        out += text.substr(0, open);
        auto value = tag(text.substr(open + 2, close - open - 2), job, task);
        out += value ? *value : text.substr(open, close + 2 - open);
        text.remove_prefix(close + 2);
    }
}

bool names_node_or_task(std::string_view text)
{
    return text.find("{{node.id") != text.npos || text.find("{{node.name") != text.npos ||
           text.find("{{node.broker_rank") != text.npos || text.find("{{task") != text.npos;
}

std::string path_in_job(const std::string &path, const Job &job)
{
    return path.starts_with('/') || job.jobspec.cwd().empty() ? path : job.jobspec.cwd() + "/" + path;
}

std::vector<std::string> task_environment(const Job &job, std::optional<uint32_t> task)
{
    std::map<std::string, std::string, std::less<>> environment;
    const Json &given = job.start.environment;
    for (auto [name, value] : (given ? given : job.jobspec.environment()).members())
        if (value.is_string())
            environment[std::string(name)] = value.string_view();
    auto set = [&](const char *name, std::string value) {
        environment[name] = std::move(value);
    };
    const auto &id = job.start.id;
    set("FLUX_JOB_ID", id.f58());
    set("FLUX_JOB_ID_PATH", (job.start.jobid_path == "/" ? "" : job.start.jobid_path) + "/" + id.f58());
    environment.erase("FLUX_ENCLOSING_ID");
    if (!job.start.enclosing_id.empty())
        set("FLUX_ENCLOSING_ID", job.start.enclosing_id);
    set("FLUX_JOB_SIZE", fmt::format("{}", job.taskmap.ntasks()));
    set("FLUX_JOB_NNODES", fmt::format("{}", job.start.nnodes));
    if (task) {
        set("FLUX_TASK_RANK", fmt::format("{}", *task));
        set("FLUX_TASK_LOCAL_ID", fmt::format("{}", job.tasks.index_of(*task)));
    }
    if (!job.topology_file.empty()) {
        set("HWLOC_XMLFILE", job.topology_file);
        environment.erase("HWLOC_COMPONENTS"); // could have it look at something else
    }
    set("FLUX_KVS_NAMESPACE", "job-" + id.dec());
    set("FLUX_JOB_TMPDIR", job.tmpdir);
    if (!job.start.uri.empty())
        set("FLUX_URI", job.start.uri);
    if (auto gpus = task ? gpus_of_task(job, *task) : std::nullopt)
        set("CUDA_VISIBLE_DEVICES", gpus->format());
    else if (job.options.gpu_affinity != "off" && job.node().gpus().empty())
        set("CUDA_VISIBLE_DEVICES", "-1"); // the gpus of others
    if (job.options.gpu_affinity != "off")
        set("CUDA_DEVICE_ORDER", "PCI_BUS_ID");
    for (auto *theirs : {"PMI_FD", "PMI_RANK", "PMI_SIZE"}) // of the shell's own process manager
        environment.erase(theirs);
    if (task && job.options.pmi) {
        set("PMI_SPAWNED", "0");
        set("PMI_RANK", fmt::format("{}", *task));
        set("PMI_SIZE", fmt::format("{}", job.taskmap.ntasks()));
    }
    std::vector<std::string> out;
    for (auto &[name, value] : environment)
        if (name.find('\0') == name.npos && value.find('\0') == value.npos)
            out.push_back(name + "=" + value);
    return out;
}

} // namespace flux::shell
