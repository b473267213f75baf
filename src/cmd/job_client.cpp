#include "cmd/job_client.hpp"

#include <unistd.h>

#include "cmd/eventlog_view.hpp"
#include "cmd/print.hpp"
#include "common/job/job_exit.hpp"
#include "common/job/sign.hpp"

namespace flux::cmd {

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

void record_end(JobEnd &end, const Event &event)
{
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
