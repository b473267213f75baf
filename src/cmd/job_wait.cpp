// flux job attach, status, wait, wait-event, eventlog: what follows a job as it goes on.
#include "cmd/attach.hpp"
#include "cmd/eventlog_view.hpp"
#include "cmd/job_client.hpp"
#include "cmd/job_commands.hpp"
#include "cmd/print.hpp"
#include "cmd/task_table.hpp"

namespace flux::cmd {

namespace {

constexpr JobId any_job(~uint64_t(0)); // whichever ends first, to job-manager.wait
constexpr int cannot_wait = 2;         // the exit code when there is nothing to wait for

// The executable of the job's tasks as its jobspec names it.
std::string program_of(Session &flux, JobId id)
{
    auto jobspec = Json::parse_or_throw(look_up(flux, id, "jobspec").as<std::string>());
    return std::string(jobspec["tasks"][size_t(0)]["command"][size_t(0)].string_view());
}

int run_job_attach(const Args &args, Session &flux)
{
    JobId id = args.job_id(0);
    AttachOptions options {.label = args.has("label-io"),
                           .show_events = args.has("show-events"),
                           .show_exec = args.has("show-exec"),
                           .with_stdin = !args.has("read-only"),
                           .forward_signals = !args.has("read-only"),
                           .show_status = args.has("show-status"),
                           .stdin_ranks = args.value("stdin-ranks", "all"),
                           .wait_event = args.value("wait-event")};
    if (args.has("tail"))
        options.tail = args.value("tail") == "true" ? 10 : args.integer("tail", 10);
    if (args.has("debug"))
        tell_debugger(flux.run(task_table(flux.handle(), id)), program_of(flux, id));
    JobEnd end = flux.run(attach_job(flux, id, options));
    report_end(id, end, false);
    return end.exit_code();
}

Task<JobEnd> wait_end(Handle &handle, JobId id)
{
    JobEnd end;
    co_await follow_log(handle, id, "eventlog", [&end](const Event &event) {
        record_end(end, event);
        return true;
    });
    co_return end;
}

int run_job_status(const Args &args, Session &flux)
{
    int status = 0;
    int exception_code = int(args.integer("exception-exit-code", 1));
    for (size_t i = 0; i < args.size(); i++) {
        JobId id = args.job_id(i);
        JobEnd end = flux.run(wait_end(flux.handle(), id));
        if (args.has("json"))
            print("{}\n", end.to_json(id).dump());
        if (args.has("verbose"))
            warn("{}: {}", id_text(id), end.describe());
        status = std::max(status, end.exit_code(exception_code));
    }
    return status;
}

int wait_one(const Args &args, Session &flux, JobId id)
{
    Json answer = flux.rpc("job-manager.wait", Json {{"id", id.value()}});
    JobId ended(answer.get<uint64_t>("id"));
    if (id == any_job)
        print("{}\n", id_text(ended));
    std::fflush(stdout);
    if (answer.get<bool>("success")) {
        if (args.has("verbose"))
            warn("{}: job completed successfully", id_text(ended));
        return 0;
    }
    warn("flux-job: {}: {}", id_text(ended), answer.value<std::string>("errstr", "failed"));
    return 1;
}

int run_job_wait(const Args &args, Session &flux)
{
    if (args.has("all") && args.size() > 0)
        throw UsageError("give either job ids or --all, not both");
    std::vector<JobId> ids;
    int status = 0;
    try {
        for (size_t i = 0; i < args.size(); i++)
            ids.push_back(args.job_id(i));
        if (ids.empty())
            ids.push_back(any_job);
        do {
            for (JobId id : ids)
                status |= wait_one(args, flux, id);
        } while (args.has("all"));
    } catch (const Error &error) {
        if (args.has("all") && error.errnum() == ECHILD) // none is left
            return status;
        warn("flux-job: {}", error.errnum() == ECHILD && ids[0] == any_job
                                 ? "there is no waitable job left; submit with --flags=waitable"
                                 : error.text());
        return cannot_wait;
    }
    return status;
}

// "exec" and "output" are short for logs below guest.
std::string log_path(const Args &args)
{
    std::string path = args.value("path", "eventlog");
    if (path == "exec")
        return "guest.exec.eventlog";
    return path == "output" || path == "input" ? "guest." + path : path;
}

int run_job_wait_event(const Args &args, Session &flux)
{
    JobId id = args.job_id(0);
    EventView view = event_view(args);
    bool found = false;
    int64_t left = args.integer("count", 1);
    Timer alarm;
    if (args.has("timeout"))
        alarm = Timer(flux.loop(), seconds(args.duration("timeout", 0)), [&] {
            flux.handle().fail_all(
                Error(ETIMEDOUT, "{}: no {} event within {}", args[0], args[1], args.value("timeout")));
        });
    std::vector<std::pair<std::string, std::string>> wanted;
    for (const auto &pair : args.all("match-context")) {
        size_t equals = pair.find('=');
        if (equals == std::string::npos)
            throw UsageError(fmt::format("--match-context: '{}' is not KEY=VALUE", pair));
        wanted.emplace_back(pair.substr(0, equals), pair.substr(equals + 1));
    }
    auto matches = [&](const Event &event) {
        for (const auto &[key, value] : wanted) {
            Json has = event.context[key];
            if (!has || (has.is_string() ? has.string_view() != value : has.dump() != value))
                return false;
        }
        return event.name == args[1];
    };
    flux.run(follow_log(flux.handle(), id, log_path(args), [&](const Event &event) {
        found = matches(event) && --left <= 0;
        if ((found && !args.has("quiet")) || args.has("verbose"))
            write_out(view.line(event));
        std::fflush(stdout);
        return !found;
    }));
    if (!found)
        throw Error(ENOENT, "{}: the log ended without a {} event", args[0], args[1]);
    return 0;
}

int run_job_eventlog(const Args &args, Session &flux)
{
    EventView view = event_view(args);
    std::string path = log_path(args);
    JobId id = args.job_id(0);
    if (args.has("follow")) {
        flux.run(follow_log(flux.handle(), id, path, [&](const Event &event) {
            write_out(view.line(event));
            std::fflush(stdout);
            return true;
        }));
        return 0;
    }
    Json request {{"id", id.value()}, {"keys", Json::array_of(std::vector {path})}, {"flags", 0}};
    auto text = flux.rpc("job-info.lookup", request).get<std::string>(path);
    for (const auto &event : value_or_throw(parse_eventlog(text)))
        write_out(view.line(event));
    return 0;
}

} // namespace

const Command job_attach {
    .name = "attach",
    .args = "JOBID",
    .summary = "Show a job's output until it ends; exit with its code",
    .options = {{"-l,--label-io", "prefix lines with their task's rank"},
                {"-u,--unbuffered", "send standard input as it is read (it always is)"},
                {"-i,--stdin-ranks=RANKS", "send standard input only to these"},
                {"--tail[=NUM]", "only the last lines of output (default 10)"},
                {"--read-only", "send no standard input and no signals"},
                {"-w,--wait-event=EVENT", "return when this event is there (default: finish)"},
                {"-E,--show-events", "show the job's events"},
                {"-X,--show-exec", "show the events of its execution"},
                {"--show-status", "say at once what the job waits for"},
                {"--debug", "let a parallel debugger find the tasks"},
                {"-v,--verbose", "say more"}},
    .min_args = 1,
    .max_args = 1,
    .run = run_job_attach,
};
const Command job_status {
    .name = "status",
    .args = "JOBID...",
    .summary = "Wait for jobs and exit with the highest exit code",
    .options = {{"-e,--exception-exit-code=N", "the code for a job that never ran"},
                {"-j,--json", "show how each ended"},
                {"-v,--verbose", "say how each ended"}},
    .min_args = 1,
    .run = run_job_status,
};
const Command job_wait {
    .name = "wait",
    .args = "[JOBID...]",
    .summary = "Wait for jobs that were submitted as waitable",
    .options = {{"-a,--all", "for all of them"}, {"-v,--verbose", "say that a job was successful"}},
    .run = run_job_wait,
};
const Command job_wait_event {
    .name = "wait-event",
    .args = "JOBID NAME",
    .summary = "Wait until a job has an event",
    .options = {{"-f,--format=FORMAT", "text or json"},
                {"-T,--time-format=FORMAT", "raw, iso, offset, human"},
                {"-H,--human", "times as differences"},
                {"-L,--color[=WHEN]", "always, never or auto"},
                {"-m,--match-context=KEY=VAL", "only an event with this in its context"},
                {"-c,--count=N", "the Nth such event"},
                {"-p,--path=PATH", "of another log (exec, output, guest.exec.eventlog)"},
                {"-t,--timeout=FSD", "give up after this time"},
                {"-q,--quiet", "do not show the event"},
                {"-v,--verbose", "show the events before it too"}},
    .min_args = 2,
    .max_args = 2,
    .run = run_job_wait_event,
};
const Command job_eventlog {
    .name = "eventlog",
    .args = "JOBID",
    .summary = "Show a job's events",
    .options = {{"-f,--format=FORMAT", "text or json"},
                {"-T,--time-format=FORMAT", "raw, iso, offset, human"},
                {"-H,--human", "times as differences"},
                {"-L,--color[=WHEN]", "always, never or auto"},
                {"-F,--follow", "show each new event until the job is inactive"},
                {"-p,--path=PATH", "of another log (exec, output, guest.exec.eventlog)"}},
    .min_args = 1,
    .max_args = 1,
    .run = run_job_eventlog,
};

} // namespace flux::cmd
