// flux job hostpids, and the table of tasks that it shares with flux job attach --debug.
#include <list>

#include "cmd/job_client.hpp"
#include "cmd/job_commands.hpp"
#include "cmd/print.hpp"
#include "cmd/task_table.hpp"
#include "common/job/resource_set.hpp"
#include "common/types/duration.hpp"
#include "common/types/taskmap.hpp"

namespace flux::cmd {

namespace {

// Then every shell has said something, so that its broker knows of the job.
Task<> wait_for_start(Handle &handle, JobId id)
{
    bool started = false;
    co_await follow_log(handle, id, "eventlog", [&](const Event &event) {
        started = event.name == "start";
        return !started;
    });
    if (!started)
        throw Error(ENOENT, "job {} ended before its tasks were started", id_text(id));
}

Task<std::vector<int>> read_pids(Rpc &answer, JobId id, uint32_t rank)
{
    try {
        Message message = co_await answer;
        co_return message.json().get<std::vector<int>>("pids");
    } catch (const Error &error) {
        if (error.errnum() != ENOENT && error.errnum() != ENOSYS)
            throw;
        throw Error(ENOENT, "job {} has no tasks on rank {} any more: it has ended, or does soon",
                    id_text(id), rank);
    }
}

Task<> print_table(Handle &handle, JobId id, std::string delimiter, std::optional<Idset> wanted)
{
    std::vector<std::string> out;
    auto table = co_await task_table(handle, id);
    for (const auto &entry : table)
        if (!wanted || wanted->contains(entry.task))
            out.push_back(fmt::format("{}:{}", entry.host, entry.pid));
    cmd::print("{}\n", fmt::join(out, delimiter));
}

int run_job_hostpids(const Args &args, Session &flux)
{
    JobId id = args.job_id(0);
    std::optional<Idset> wanted;
    if (args.has("ranks") && args.value("ranks") != "all")
        wanted = option_value("ranks", Idset::parse(args.value("ranks")));
    double timeout = args.duration("timeout", -1);
    Timer alarm;
    if (timeout >= 0)
        alarm = Timer(flux.loop(), seconds(timeout), [&] {
            flux.handle().fail_all(Error(ETIMEDOUT, "the tasks of {} do not run within {}", id_text(id),
                                         format_duration(timeout)));
        });
    flux.run(print_table(flux.handle(), id, args.value("delimiter", ","), wanted));
    return 0;
}

} // namespace

Task<std::vector<TaskEntry>> task_table(Handle &handle, JobId id)
{
    co_await wait_for_start(handle, id);
    Taskmap map = value_or_throw(Taskmap::parse(co_await wait_for_taskmap(handle, id)));
    auto text = co_await look_up(handle, id, "R");
    ResourceSet R = value_or_throw(ResourceSet::parse(text.as<std::string>()));
    Json request {{"id", id.value()}};
    std::list<Rpc> asked; // all at once
    for (const auto &node : R.nodes())
        asked.emplace_back(handle, Message::request("job-exec.task-pids", request),
                           RpcOptions {.nodeid = node.rank});
    std::vector<TaskEntry> out(map.ntasks());
    uint32_t nodeid = 0;
    auto answer = asked.begin();
    for (const auto &node : R.nodes()) {
        auto pids = co_await read_pids(*answer++, id, node.rank);
        Idset tasks = map.tasks(nodeid++);
        size_t i = 0;
        for (uint32_t task : tasks)
            if (task < out.size() && i < pids.size())
                out[task] = {task, node.hostname(), pids[i++]};
    }
    co_return out;
}

const Command job_hostpids {
    .name = "hostpids",
    .args = "JOBID",
    .summary = "Show HOST:PID of each task, once all of them run",
    .options = {{"-d,--delimiter=STRING", "between them (default: ,)"},
                {"-r,--ranks=IDSET", "only of these tasks"},
                {"-t,--timeout=FSD", "give up after this time"}},
    .min_args = 1,
    .max_args = 1,
    .run = run_job_hostpids,
};

} // namespace flux::cmd
