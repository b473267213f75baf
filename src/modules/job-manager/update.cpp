// Changes of a jobspec after submission: "job-manager.update" {"id","updates":{"attributes....":value}}.
#include <algorithm>
#include <cmath>

#include "modules/job-manager/job_manager.hpp"

namespace flux {

namespace {

// What else may change while a job waits.
constexpr std::string_view free_keys[] {"attributes.system.job.name", "attributes.system.bank",
                                        "attributes.system.project"};

double duration_of(const Json &value)
{
    if (!value.is_number() || value.as<double>() < 0)
        throw Error(EINVAL, "update of duration: {} is no number of seconds", value.dump());
    return value.as<double>();
}

} // namespace

Task<Json> JobManager::update(Request request)
{
    Job &job = need(request);
    Json updates = request.get<Json>("updates");
    if (!updates.is_object() || updates.empty())
        throw Error(EPROTO, "updates is an object of jobspec keys and values");
    Json events = Json::object();
    std::optional<double> running_duration;
    for (auto [key, value] : updates.members()) {
        bool duration = key == "attributes.system.duration";
        if (duration && job.state == JobState::run) {
            if (!request.credentials().is_owner())
                throw Error(EPERM, "only the instance owner may change the duration of a running job");
            running_duration = duration_of(value);
            continue;
        }
        if (job.has_resources || !(bit(job.state) & job_states::pending))
            throw Error(EINVAL, "update of {}: the job is not pending", key);
        if (duration) {
            events.set(key, duration_of(value));
        } else if (key == "attributes.system.queue") {
            auto moved = config_.move_to(job.jobspec, std::string(value.string_view()));
            if (!moved)
                throw moved.error();
            for (auto [moved_key, moved_value] : moved->members())
                events.set(moved_key, moved_value);
        } else if (std::ranges::find(free_keys, key) != std::end(free_keys))
            events.set(key, value);
        else
            throw Error(EINVAL, "update of {} is not supported: duration, queue, name, bank and project are", key);
    }
    auto id = job.id;
    if (!events.empty()) {
        if (!request.credentials().is_owner()) {
            Json changed = job.jobspec.copy();
            for (auto [key, value] : events.members())
                changed.set_path(key, value);
            auto parsed = Jobspec::parse(changed);
            if (auto ok = parsed ? config_.check(*parsed) : Expected<void>(std::unexpected(parsed.error())); !ok)
                throw ok.error();
        }
        job.alloc_outdated = job.alloc_pending;
        if (job.alloc_pending && !job.alloc_cancelling) { // the scheduler has the old jobspec
            job.alloc_cancelling = true;
            handle().notify("sched.cancel", Json {{"id", id.value()}});
        }
        bool renamed = events.contains("attributes.system.job.name");
        if (renamed) // singletons wait for those of their name
            leave_singletons(job);
        post(job, "jobspec-update", events);
        if (renamed)
            join_singletons(job, job.dependencies.contains("singleton"));
        advance(job);
    }
    if (running_duration)
        co_await update_expiration(id, *running_duration);
    co_await durable(id);
    co_return Json();
}

// RFC 27: the scheduler is asked; one that makes no plans need not answer.
Task<> JobManager::update_expiration(JobId id, double duration)
{
    Json execution = find(id)->R["execution"];
    double start = execution.value<double>("starttime", 0);
    double expiration = duration > 0 ? std::floor(start + duration) : 0;
    Json args {{"id", id.value()}, {"expiration", expiration}};
    try {
        co_await rpc("sched.expiration", args);
    } catch (const Error &error) {
        if (error.errnum() != ENOSYS)
            throw;
    }
    Job *job = find(id);
    if (!job || job->state != JobState::run)
        throw Error(ENOENT, "job {} ended meanwhile", id);
    post(*job, "jobspec-update", Json {{"attributes.system.duration", duration}});
    post(*job, "resource-update", Json {{"expiration", expiration}});
    if (is_executing(*job))
        handle().notify(exec_service_ + ".expiration", args);
}

} // namespace flux
