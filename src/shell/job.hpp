// Job: all that a shell knows about its job before it starts a task, parsed and checked once.
#pragma once
#include "common/job/jobspec.hpp"
#include "common/job/resource_set.hpp"
#include "common/job/shell_channel.hpp"
#include "common/types/hostlist.hpp"
#include "common/types/taskmap.hpp"
#include "shell/options.hpp"

namespace flux::shell {

struct Job {
    shell_channel::Start start;
    Jobspec jobspec;
    ResourceSet resources;
    Options options;
    Taskmap taskmap;
    Idset tasks; // this shell's, by rank
    std::string host;
    std::string tmpdir; // FLUX_JOB_TMPDIR
    std::string topology_file; // HWLOC_XMLFILE; empty: none

    bool leader() const { return start.nodeid == 0; }
    ResourceSet::Node node() const { return resources.nodes()[start.nodeid]; }

    // EINVAL says what is wrong with the jobspec, R or the options.
    static Expected<Job> from(shell_channel::Start start);
};

// Replaces {{id}}, {{id.dec}}, {{name}}, {{size}}, {{nnodes}}, {{node.name}}, {{taskid}}, {{tmpdir}} and the
// like (flux-submit(1), MUSTACHE TEMPLATES). An unknown tag stays as it is. task is nullopt outside of a
// task.
std::string render(std::string_view text, const Job &job, std::optional<uint32_t> task);
// Whether the template gives each node or task a text of its own.
bool names_node_or_task(std::string_view text);

// The environment of one task: the jobspec's, then what a job's tasks are promised. Without a task, of what
// runs beside them.
std::vector<std::string> task_environment(const Job &job, std::optional<uint32_t> task);
// A path of the user's: relative ones are in the job's working directory.
std::string path_in_job(const std::string &path, const Job &job);

} // namespace flux::shell
