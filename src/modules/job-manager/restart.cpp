// Jobs of an earlier life of this instance or of this module: their event logs in the KVS, replayed. And how
// this module leaves them to the next one.
#include <algorithm>

#include "common/job/environment_text.hpp"
#include "common/job/sign.hpp"
#include "modules/job-manager/job_manager.hpp"

namespace flux {

namespace {
constexpr int readdir = 1;
constexpr int levels = 4; // of a job's directory: four groups of 16 bits
} // namespace

Task<std::string> JobManager::lookup(std::string key)
{
    Json args {{"key", key}, {"namespace", "primary"}, {"flags", 0}};
    auto answer = co_await rpc("kvs.lookup", args);
    co_return value_or_throw(treeobj::decode_val(answer.json()["val"]));
}

Task<std::vector<JobId>> JobManager::stored_jobs()
{
    std::vector<std::string> directories {"job"};
    for (int level = 0; level < levels; level++) {
        std::vector<std::string> below;
        for (const auto &directory : directories) {
            Json args {{"key", directory}, {"namespace", "primary"}, {"flags", readdir}};
            try {
                auto answer = co_await rpc("kvs.lookup", args);
                for (auto [name, unused] : treeobj::entries(answer.json()["val"]).members())
                    below.push_back(directory + "." + std::string(name));
            } catch (const Error &error) {
                if (error.errnum() != ENOENT)
                    throw;
            }
        }
        directories = std::move(below);
    }
    std::vector<JobId> out;
    for (const auto &directory : directories) {
        if (auto id = JobId::parse(directory))
            out.push_back(*id);
        else
            log(LogLevel::err, "{}: this is no job: {}", directory, id.error().text());
    }
    std::ranges::sort(out);
    co_return out;
}

// Nothing is begun any more, and what the execution service has told is on record before the module goes:
// what it tells then it tells the next one.
Task<> JobManager::stop()
{
    stopping_ = true;
    if (!exec_service_.empty())
        co_await leave_exec();
    conversations_.close();
    for (auto &waiter : waiters_)
        waiter.request.fail(unloaded());
    waiters_.clear();
    waiters_of_.clear();
    changed_.notify_all();
    co_await yield_to(loop()); // the conversations are over
    for (auto &[id, job] : active_)
        if (job->state == JobState::run && !job->recovered && !job->launched)
            post(*job, job_events::not_launched);
    co_await settle_submissions();
    for (auto &[id, job] : active_)
        flush(*job);
    co_await writer_.close();
}

Task<> JobManager::leave_exec()
{
    std::optional<Error> failed;
    try {
        co_await rpc(exec_service_ + ".detach", {}, {.timeout = detach_timeout});
    } catch (const Error &error) {
        failed = error;
    }
    if (failed && failed->errnum() != ENOSYS)
        log(LogLevel::err, "{} does not let go of its jobs: {}", exec_service_, failed->text());
}

Task<> JobManager::settle_submissions()
{
    try {
        co_await submissions_.close();
    } catch (const Error &) {
        // whoever submitted is told
    }
    co_await yield_to(loop());
}

Error JobManager::unloaded()
{
    return Error(
        ENOSYS,
        "the job manager is being unloaded: ask again when it is there (flux module load job-manager)");
}

Task<> JobManager::load_jobs()
{
    auto ids = co_await stored_jobs();
    for (auto id : ids) {
        try {
            co_await load_job(id);
        } catch (const Error &error) {
            log(LogLevel::err, "{}: cannot be taken over from the KVS: {}", id, error.text());
        }
    }
    if (ids.empty())
        co_return;
    log(LogLevel::info, "{} active and {} inactive jobs taken over", active_.size(), inactive_.size());
    std::vector<JobId> active;
    for (const auto &[id, job] : active_)
        active.push_back(id);
    std::ranges::sort(active);
    for (auto id : active) { // with everybody there who may be waited for
        Job &job = *find(id);
        post(job, "flux-restart");
        std::vector<Dependency> dependencies;
        Json list = job.jobspec.at("attributes", "system", "dependencies");
        for (auto json : list.elements())
            if (auto dependency = Dependency::from(json))
                dependencies.push_back(*dependency);
        add_dependencies(job, dependencies, false);
        if (Job *still = find(id))
            advance(*still);
    }
}

Task<> JobManager::load_job(JobId id)
{
    auto eventlog = co_await lookup(id.kvs_path("eventlog"));
    auto job = std::make_unique<Job>();
    job->id = id;
    auto events = value_or_throw(parse_eventlog(eventlog));
    bool inactive = !events.empty() && events.back().name == "clean";
    if (!inactive)
        job->jobspec = Json::parse_or_throw(co_await lookup(id.kvs_path("jobspec")));
    for (const auto &event : events)
        if (auto applied = job->apply(event); !applied)
            throw applied.error();
    max_jobid_ = std::max(max_jobid_, id.value());
    if (job->state == JobState::inactive) {
        take_over_ended(*job);
        if (job->waitable())
            co_await take_over_zombie(id, wait_answer(*job));
        co_return;
    }
    job->eventlog = std::move(eventlog);
    if (job->has_resources) {
        job->R = Json::parse_or_throw(co_await lookup(id.kvs_path("R")));
        for (const auto &event : events)
            if (event.name == "resource-update")
                job->R.set_path("execution.expiration", event.context["expiration"]);
        job->recovered = !job->not_launched && !job->prologs;
        ++running_;
    }
    // Only J still has the environment.
    auto unwrapped = value_or_throw(unwrap(co_await lookup(id.kvs_path("J"))));
    job->environment = value_or_throw(split_environment(unwrapped.payload)).environment;
    waitable_ += job->waitable();
    active_[id] = std::move(job);
}

void JobManager::take_over_ended(const Job &job)
{
    auto &ended = inactive_[job.id];
    ended.t_clean = job.t_clean;
    ended.userid = job.userid;
    ended.result = job.result();
    ended.ran = job.ran;
    ended.excepted = bool(job.fatal);
    by_age_.emplace(job.t_clean, job.id);
}

} // namespace flux
