#include "cmd/job_client.hpp"

#include <unistd.h>

#include "cmd/eventlog_view.hpp"
#include "cmd/print.hpp"
#include "common/job/job_exit.hpp"
#include "common/job/job_state.hpp"
#include "common/job/sign.hpp"

namespace flux::cmd {

namespace {

int severity(const Json &context)
{
    return context.value<int>("severity", 0);
}

} // namespace

Task<JobId> submit_job(Handle &handle, const Submission &submission)
{
    Json request {{"J", sign_none(::getuid(), submission.jobspec.dump())},
                  {"urgency", submission.urgency},
                  {"flags", submission.flags}};
    Message answer = co_await handle.rpc("job-ingest.submit", request);
    co_return JobId(answer.json().get<uint64_t>("id"));
}

std::string id_text(JobId id)
{
    return id.f58(f58_prefix_from_environment());
}

Task<> follow_log(Handle &handle, JobId id, std::string path, EventFn fn)
{
    Json request {{"id", id.value()}, {"path", path}, {"flags", 0}};
    auto stream = handle.stream("job-info.eventlog-watch", request, {}, "job-info.eventlog-watch-cancel");
    while (auto answer = co_await stream.next())
        for (const auto &event : value_or_throw(parse_eventlog(answer->json().get<std::string>("event"))))
            if (!fn(event))
                co_return;
}

Task<Json> look_up(Handle &handle, JobId id, std::string key, int flags)
{
    Json keys = Json::array().append(key);
    Json request {{"id", id.value()}, {"keys", keys}, {"flags", flags}};
    Message answer = co_await handle.rpc("job-info.lookup", request);
    co_return answer.json().get<Json>(key);
}

Json look_up(Session &flux, JobId id, std::string key, int flags)
{
    return flux.run(look_up(flux.handle(), id, std::move(key), flags));
}

Task<std::string> wait_for_taskmap(Handle &handle, JobId id)
{
    std::string map;
    co_await follow_log(handle, id, "guest.exec.eventlog", [&](const Event &event) {
        if (event.name == "shell.start")
            if (Json found = event.context["taskmap"])
                map = found.dump();
        return map.empty();
    });
    if (map.empty())
        throw Error(ENOENT, "job {} ended before its tasks were started", id_text(id));
    co_return map;
}

int JobEnd::exit_code(int exception_code) const
{
    if (wait_status)
        return exit_code_of(wait_status);
    return exception_type.empty() ? 0 : exception_code;
}

std::string JobEnd::describe() const
{
    if (!exception_type.empty() && !started)
        return exception_note.empty()
                   ? fmt::format("job.exception type={} severity=0", exception_type)
                   : fmt::format("job.exception type={} severity=0 {}", exception_type, exception_note);
    return fmt::format("task(s) {}", describe_wait_status(wait_status));
}

Json JobEnd::to_json(JobId id) const
{
    Json out {{"id", id.value()}, {"exception_occurred", bool(gravest_exception)}, {"t_submit", t_submit}};
    if (t_run > 0)
        out.set("t_run", t_run);
    if (gravest_exception) {
        out.set("exception_type", gravest_exception.get<std::string>("type"));
        out.set("exception_note", gravest_exception.value<std::string>("note", ""));
        out.set("exception_severity", severity(gravest_exception));
    }
    if (t_run > 0 && t_cleanup > 0)
        out.set("t_cleanup", t_cleanup);
    if (started)
        out.set("waitstatus", wait_status);
    auto result = exception_type == "cancel"    ? JobResult::canceled
                  : exception_type == "timeout" ? JobResult::timeout
                  : failed()                    ? JobResult::failed
                                                : JobResult::completed;
    return out.set("result", int(result));
}

void record_end(JobEnd &end, const Event &event)
{
    if (event.name == "submit")
        end.t_submit = event.timestamp;
    else if (event.name == "alloc")
        end.t_run = event.timestamp;
    else if (end.t_cleanup == 0 && (event.name == "finish" || (event.name == "exception" && severity(event.context) == 0)))
        end.t_cleanup = event.timestamp;
    if (event.name == "exception" &&
        (!end.gravest_exception || severity(event.context) < severity(end.gravest_exception)))
        end.gravest_exception = event.context;
    if (event.name == "start") {
        end.started = true;
    } else if (event.name == "finish") {
        end.wait_status = event.context.get<int>("status");
    } else if (event.name == "exception" && event.context.value<int>("severity", 0) == 0 &&
               end.exception_type.empty()) {
        end.exception_type = event.context.get<std::string>("type");
        end.exception_note = event.context.value<std::string>("note", "");
    }
}

void report_end(JobId id, const JobEnd &end, bool with_id)
{
    if (end.failed())
        warn("flux-job: {}{}", with_id ? id_text(id) + ": " : "", end.describe());
}

} // namespace flux::cmd
