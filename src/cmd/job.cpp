// flux job: what can be done with one job, or learnt about it.
#include <cmath>
#include <csignal>
#include <unistd.h>

#include "cmd/commands.hpp"
#include "cmd/eventlog_view.hpp"
#include "cmd/job_client.hpp"
#include "cmd/print.hpp"
#include "common/job/job_exit.hpp"
#include "common/job/job_state.hpp"
#include "common/types/duration.hpp"
#include "common/types/urgency.hpp"

namespace flux::cmd {

namespace {

constexpr JobId any_job(~uint64_t(0)); // whichever ends first, to job-manager.wait

int run_attach(const Args &args, Session &flux)
{
    JobId id = args.job_id(0);
    AttachOptions options {.label = args.has("label-io"),
                           .show_events = args.has("show-events"),
                           .show_exec = args.has("show-exec"),
                           .with_stdin = !args.has("read-only"),
                           .stdin_ranks = args.value("stdin-ranks", "all"),
                           .wait_event = args.value("wait-event")};
    JobEnd end = flux.run(attach_job(flux.handle(), id, options));
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

int run_status(const Args &args, Session &flux)
{
    int status = 0;
    for (size_t i = 0; i < args.size(); i++) {
        JobId id = args.job_id(i);
        JobEnd end = flux.run(wait_end(flux.handle(), id));
        if (args.has("json"))
            print("{}\n", Json {{"id", id.value()},
                                {"waitstatus", end.wait_status},
                                {"exception_type", end.exception_type}}
                              .dump());
        if (args.has("verbose"))
            warn("{}: {}", id_text(id), end.describe());
        status = std::max(status, end.exit_code(int(args.integer("exception-exit-code", 1))));
    }
    return status;
}

int wait_one(const Args &args, Session &flux, JobId id)
{
    Json answer = flux.rpc("job-manager.wait", Json {{"id", id.value()}});
    JobId ended(answer.get<uint64_t>("id"));
    if (id == any_job && !args.has("all"))
        print("{}\n", id_text(ended));
    if (answer.get<bool>("success")) {
        if (args.has("verbose"))
            warn("{}: job completed successfully", id_text(ended));
        return 0;
    }
    warn("{}: {}", id_text(ended), answer.value<std::string>("errstr", "failed"));
    return 1;
}

int run_wait(const Args &args, Session &flux)
{
    int status = 0;
    if (args.has("all")) {
        try {
            while (true)
                status |= wait_one(args, flux, any_job);
        } catch (const Error &error) {
            if (error.errnum() != ECHILD) // none is left
                throw;
        }
        return status;
    }
    if (args.size() == 0)
        return wait_one(args, flux, any_job);
    for (size_t i = 0; i < args.size(); i++)
        status |= wait_one(args, flux, args.job_id(i));
    return status;
}

EventView view_of(const Args &args)
{
    if (args.value("format") == "json")
        return EventView(EventView::Form::json);
    std::string time = args.value("time-format", "raw");
    return EventView(args.has("human") || time == "human" ? EventView::Form::human : EventView::Form::text,
                     time == "offset" ? EventView::Time::offset
                     : time == "iso"  ? EventView::Time::iso
                                      : EventView::Time::raw);
}

int run_wait_event(const Args &args, Session &flux)
{
    JobId id = args.job_id(0);
    EventView view = view_of(args);
    bool found = false;
    Timer alarm;
    if (args.has("timeout"))
        alarm = Timer(flux.loop(), seconds(args.duration("timeout", 0)), [&] {
            flux.handle().fail_all(Error(ETIMEDOUT, "no {} event within {}", args[1], args.value("timeout")));
        });
    flux.run(follow_log(flux.handle(), id, args.value("path", "eventlog"), [&](const Event &event) {
        found = event.name == args[1];
        if ((found && !args.has("quiet")) || args.has("verbose"))
            write_out(view.line(event));
        std::fflush(stdout);
        return !found;
    }));
    if (!found)
        throw Error(ENOENT, "{}: the log ended without a {} event", args[0], args[1]);
    return 0;
}

int run_eventlog(const Args &args, Session &flux)
{
    EventView view = view_of(args);
    std::string path = args.value("path", "eventlog");
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

int run_info(const Args &args, Session &flux)
{
    constexpr int current = 2; // with the updates since the job was submitted
    const std::string &key = args[1];
    bool updated = (key == "R" || key == "jobspec") && !args.has("base") && !args.has("original");
    std::string asked = args.has("original") && key == "jobspec" ? "J" : key;
    Json request {{"id", args.job_id(0).value()},
                  {"keys", Json::array_of(std::vector {asked})},
                  {"flags", updated ? current : 0}};
    Json value = flux.rpc("job-info.lookup", request).get<Json>(asked);
    if (!value.is_string())
        print("{}\n", value.dump());
    else
        print("{}\n", value.string_view());
    return 0;
}

int run_id(const Args &args, Session &)
{
    std::string to = args.value("to", "dec");
    auto words = args.positional();
    if (words.empty()) {
        std::string text = read_stdin();
        for (size_t begin = 0; begin < text.size();) {
            size_t end = std::min(text.find('\n', begin), text.size());
            if (end > begin)
                words.push_back(text.substr(begin, end - begin));
            begin = end + 1;
        }
    }
    for (const auto &word : words)
        print("{}\n", value_or_throw(value_or_throw(JobId::parse(word)).encode(to)));
    return 0;
}

Task<std::vector<Json>> list_jobs(Handle &handle, Json request)
{
    std::vector<Json> out;
    auto stream = handle.stream("job-list.list", request);
    while (auto answer = co_await stream.next())
        for (auto job : answer->json()["jobs"].elements())
            out.push_back(job);
    co_return out;
}

int run_list(const Args &args, Session &flux)
{
    uint32_t states = args.has("all") ? job_states::all : job_states::active;
    Json states_list = Json::array_of(std::vector {states});
    Json request {{"max_entries", args.integer("count", 0)},
                  {"attrs", Json::array_of(std::vector {std::string("all")})},
                  {"constraint", Json {{"states", states_list}}}};
    for (const auto &job : flux.run(list_jobs(flux.handle(), request)))
        print("{}\n", job.dump());
    return 0;
}

int run_kill(const Args &args, Session &flux)
{
    std::string name = args.value("signal", "SIGTERM");
    int signal = parse_signal(name);
    if (signal <= 0)
        throw UsageError(fmt::format("--signal: '{}' is no signal", name));
    for (size_t i = 0; i < args.size(); i++)
        flux.rpc("job-manager.kill", Json {{"id", args.job_id(i).value()}, {"signum", signal}});
    return 0;
}

int run_raise(const Args &args, Session &flux)
{
    Json note = args.has("message") ? Json(args.value("message")) : Json();
    for (size_t i = 0; i < args.size(); i++)
        flux.rpc("job-manager.raise", Json {{"id", args.job_id(i).value()},
                                            {"type", args.value("type", "cancel")},
                                            {"severity", args.integer("severity", 0)},
                                            {"note", note}});
    return 0;
}

int run_urgency(const Args &args, Session &flux)
{
    int urgency = value_or_throw(parse_urgency(args[1]));
    Json answer =
        flux.rpc("job-manager.urgency", Json {{"id", args.job_id(0).value()}, {"urgency", urgency}});
    if (args.has("verbose"))
        warn("old urgency: {}", format_urgency(answer.value<int>("old_urgency", urgency::default_value)));
    return 0;
}

int run_last(const Args &args, Session &flux)
{
    char *end = nullptr;
    long count = args.size() ? std::strtol(args[0].c_str(), &end, 10) : 1;
    if (count <= 0 || (end && *end))
        throw UsageError(fmt::format("'{}' is no number of jobs", args[0]));
    Json users = Json::array_of(std::vector {::getuid()});
    Json states = Json::array_of(std::vector {job_states::all});
    Json both = Json::array();
    both.append(Json {{"userid", users}});
    both.append(Json {{"states", states}});
    Json request {{"max_entries", 0},
                  {"attrs", Json::array_of(std::vector {std::string("t_submit")})},
                  {"constraint", Json {{"and", both}}}};
    std::vector<JobId> ids;
    for (const auto &job : flux.run(list_jobs(flux.handle(), request)))
        ids.emplace_back(job.get<uint64_t>("id"));
    std::sort(ids.rbegin(), ids.rend()); // ids grow with time
    for (size_t i = 0; i < std::min(ids.size(), size_t(count)); i++)
        print("{}\n", id_text(ids[i]));
    return 0;
}

int run_job_submit(const Args &args, Session &flux)
{
    Submission submission {.jobspec = Json::parse_or_throw(read_file(args.size() ? args[0] : "-"))};
    if (args.has("urgency"))
        submission.urgency = value_or_throw(parse_urgency(args.value("urgency")));
    if (args.has("flags"))
        submission.flags = value_or_throw(parse_job_flags(args.value("flags")));
    print("{}\n", id_text(flux.run(submit_job(flux.handle(), submission))));
    return 0;
}

const Command attach {
    .name = "attach",
    .args = "JOBID",
    .summary = "Show a job's output until it ends; exit with its code",
    .options = {{"-l,--label-io", "prefix lines with their task's rank"},
                {"-i,--stdin-ranks=RANKS", "send standard input only to these"},
                {"--read-only", "send no standard input"},
                {"-w,--wait-event=NAME", "return when this event is there"},
                {"-E,--show-events", "show the job's events"},
                {"-X,--show-exec", "show the events of its execution"}},
    .min_args = 1,
    .max_args = 1,
    .run = run_attach,
};
const Command status {
    .name = "status",
    .args = "JOBID...",
    .summary = "Wait for jobs and exit with the highest exit code",
    .options = {{"-e,--exception-exit-code=N", "the code for a job that never ran"},
                {"-j,--json", "show how each ended"},
                {"-v,--verbose", "say how each ended"}},
    .min_args = 1,
    .run = run_status,
};
const Command wait {
    .name = "wait",
    .args = "[JOBID...]",
    .summary = "Wait for jobs that were submitted as waitable",
    .options = {{"-a,--all", "for all of them"}, {"-v,--verbose", "say that a job was successful"}},
    .run = run_wait,
};
const Command wait_event {
    .name = "wait-event",
    .args = "JOBID NAME",
    .summary = "Wait until a job has an event",
    .options = {{"-f,--format=FORMAT", "text or json"},
                {"-T,--time-format=FORMAT", "raw, iso, offset, human"},
                {"-H,--human", "times as differences"},
                {"-p,--path=PATH", "of another log (guest.exec.eventlog)"},
                {"-t,--timeout=FSD", "give up after this time"},
                {"-q,--quiet", "do not show the event"},
                {"-v,--verbose", "show the events before it too"}},
    .min_args = 2,
    .max_args = 2,
    .run = run_wait_event,
};
const Command eventlog {
    .name = "eventlog",
    .args = "JOBID",
    .summary = "Show a job's events",
    .options = {{"-f,--format=FORMAT", "text or json"},
                {"-T,--time-format=FORMAT", "raw, iso, offset, human"},
                {"-H,--human", "times as differences"},
                {"-F,--follow", "show each new event"},
                {"-p,--path=PATH", "of another log (guest.exec.eventlog)"}},
    .min_args = 1,
    .max_args = 1,
    .run = run_eventlog,
};
const Command info {
    .name = "info",
    .args = "JOBID KEY",
    .summary = "Show a job's R, jobspec, eventlog or J",
    .options = {{"-o,--original", "the jobspec as it was submitted"}, {"-b,--base", "without later updates"}},
    .min_args = 2,
    .max_args = 2,
    .run = run_info,
};
const Command id {
    .name = "id",
    .args = "[JOBID...]",
    .summary = "Convert job ids",
    .options = {{"-t,--to=ENCODING", "dec, hex, dothex, kvs, words, emoji, f58, f58plain"}},
    .run = run_id,
};
const Command list {
    .name = "list",
    .summary = "List jobs as JSON",
    .options = {{"-a,--all", "inactive ones too"}, {"-c,--count=N", "at most N"}},
    .max_args = 0,
    .run = run_list,
};
const Command kill {
    .name = "kill",
    .args = "JOBID...",
    .summary = "Send a signal to running jobs",
    .options = {{"-s,--signal=SIG", "default SIGTERM"}},
    .min_args = 1,
    .run = run_kill,
};
const Command raise {
    .name = "raise",
    .args = "JOBID...",
    .summary = "Raise an exception of jobs",
    .options = {{"-m,--message=TEXT", "say why"},
                {"-s,--severity=N", "0 (fatal, the default) to 7"},
                {"-t,--type=TYPE", "default cancel"}},
    .min_args = 1,
    .run = run_raise,
};
const Command urgency_command {
    .name = "urgency",
    .args = "JOBID VALUE",
    .summary = "Set a job's urgency (0-31, hold, expedite, default)",
    .options = {{"-v,--verbose", "show the old value"}},
    .min_args = 2,
    .max_args = 2,
    .run = run_urgency,
};
const Command last {
    .name = "last",
    .args = "[N]",
    .summary = "Show the ids of one's latest jobs",
    .max_args = 1,
    .run = run_last,
};
const Command job_submit {
    .name = "submit",
    .args = "[FILE]",
    .summary = "Submit a jobspec",
    .options = {{"-u,--urgency=N", "0-31, hold, default, expedite"},
                {"-f,--flags=LIST", "waitable, novalidate, debug"}},
    .max_args = 1,
    .run = run_job_submit,
};

} // namespace

const Command job {
    .name = "job",
    .summary = "Act on jobs and learn about them",
    .subcommands = {&attach, &eventlog, &id, &info, &kill, &last, &list, &raise, &status, &job_submit,
                    &urgency_command, &wait, &wait_event},
};

} // namespace flux::cmd
