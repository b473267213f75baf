// Jobs of an earlier life of this instance: their event logs in the KVS, replayed.
#include "common/job/sign.hpp"
#include "modules/job-manager/job_manager.hpp"

namespace flux {

namespace {

Json lookup(std::string key, int flags)
{
    return Json {{"key", key}, {"namespace", "primary"}, {"flags", flags}};
}
constexpr int readdir = 1;
constexpr int levels = 4; // of a job's directory: four groups of 16 bits

} // namespace

Task<> JobManager::load_jobs()
{
    std::vector<std::string> directories {"job"};
    for (int level = 0; level < levels; level++) {
        std::vector<std::string> below;
        for (const auto &directory : directories) {
            try {
                auto answer = co_await rpc("kvs.lookup", lookup(directory, readdir));
                for (auto [name, unused] : treeobj::entries(answer.json()["val"]).members())
                    below.push_back(directory + "." + std::string(name));
            } catch (const Error &error) {
                if (error.errnum() != ENOENT)
                    throw;
            }
        }
        directories = std::move(below);
    }
    for (const auto &directory : directories) {
        auto id = JobId::parse(directory);
        if (!id) {
            log(LogLevel::err, "{}: this is no job: {}", directory, id.error().text());
            continue;
        }
        try {
            auto answer = co_await rpc("kvs.lookup", lookup(id->kvs_path("eventlog"), 0));
            co_await load_job(*id, value_or_throw(treeobj::decode_val(answer.json()["val"])));
        } catch (const Error &error) {
            log(LogLevel::err, "{}: cannot be taken over from the KVS: {}", *id, error.text());
        }
    }
    if (!directories.empty())
        log(LogLevel::info, "{} active and {} inactive jobs taken over", active_.size(), inactive_.size());
}

Task<> JobManager::load_job(JobId id, std::string eventlog)
{
    auto job = std::make_unique<Job>();
    job->id = id;
    auto events = value_or_throw(parse_eventlog(eventlog));
    bool inactive = !events.empty() && events.back().name == "clean";
    if (!inactive) {
        auto text = co_await rpc("kvs.lookup", lookup(id.kvs_path("jobspec"), 0));
        job->jobspec = Json::parse_or_throw(value_or_throw(treeobj::decode_val(text.json()["val"])));
    }
    for (const auto &event : events)
        if (auto applied = job->apply(event); !applied)
            throw applied.error();
    job->eventlog = std::move(eventlog);
    max_jobid_ = std::max(max_jobid_, id.value());
    if (inactive || job->state == JobState::inactive) {
        inactive_[id] = std::move(job);
        co_return;
    }
    if (job->has_resources) {
        auto text = co_await rpc("kvs.lookup", lookup(id.kvs_path("R"), 0));
        job->R = Json::parse_or_throw(value_or_throw(treeobj::decode_val(text.json()["val"])));
        ++running_;
    }
    // What the shell needs comes from J, which still has the environment.
    auto signed_text = co_await rpc("kvs.lookup", lookup(id.kvs_path("J"), 0));
    auto unwrapped = value_or_throw(unwrap(value_or_throw(treeobj::decode_val(signed_text.json()["val"]))));
    job->full_jobspec = Json::parse_or_throw(unwrapped.payload);
    for (const auto &event : events)
        if (event.name == "jobspec-update")
            for (auto [key, value] : event.context.members())
                job->full_jobspec.set_path(key, value);
    Job &added = *(active_[id] = std::move(job));
    post(added, "flux-restart");
    advance(added);
}

} // namespace flux
