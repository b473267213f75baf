// "job-manager.wait": each waitable job that has ended answers one request (RFC 21, flag waitable). Who has
// not been waited for is known from the KVS after a restart: a job that was has the key "waited" beside its
// event log.
#include <algorithm>

#include "modules/job-manager/job_manager.hpp"

namespace flux {

// Of a job that has ended.
Json JobManager::wait_answer(const Job &job)
{
    bool completed = job.result() == JobResult::completed;
    std::string errstr;
    if (!completed && job.fatal)
        errstr = fmt::format("Fatal exception type={} {}", (*job.fatal)["type"].string_view(),
                             (*job.fatal)["note"].string_view());
    else if (!completed)
        errstr = fmt::format("task(s) exited with exit code {}", job.status >> 8 & 0xff);
    return Json {{"id", job.id.value()}, {"success", completed}, {"errstr", errstr}};
}

// Kept until the job has ended; each ended job answers one request.
void JobManager::wait(Request request)
{
    // Clients say -1 for whichever job ends first; here that is 0.
    JobId id(uint64_t(std::max<int64_t>(request.find<int64_t>("id").value_or(0), 0)));
    auto zombie = id.value() ? zombies_.find(id) : zombies_.begin();
    if (zombie != zombies_.end()) {
        auto [ended, answer] = *zombie;
        zombies_.erase(zombie);
        spawn(answer_wait(std::move(request), ended, std::move(answer)));
        return;
    }
    if (!id.value() && waitable_ <= waiters_of_[id].size())
        throw Error(ECHILD, "there are no more waitable jobs");
    if (id.value()) {
        Job *job = find(id);
        if (!job || !job->waitable())
            throw Error(ECHILD, "{} is no waitable job, or was waited for already", id);
        if (auto others = waiters_of_.find(id); others != waiters_of_.end() && !others->second.empty())
            throw Error(ECHILD, "{} is waited for already", id);
    }
    waiters_.push_back({std::move(request), id});
    waiters_of_[id].push_back(std::prev(waiters_.end()));
}

// The job has ended for whoever is told so when its last event is in the store, and with it that somebody was
// told: a crash in between may cost an answer, but never gives it twice.
Task<> JobManager::answer_wait(Request request, JobId id, Json answer)
{
    auto written = writer_.put(id.kvs_path(waited_key), "");
    std::optional<Error> failed;
    try {
        co_await writer_.wait(written);
    } catch (const Error &error) {
        failed = error;
    }
    if (!failed) {
        request.respond(answer);
        co_return;
    }
    if (inactive_.contains(id)) // not purged meanwhile
        answer_waiters(id, std::move(answer));
    request.fail(Error(failed->errnum(),
                       "{} has ended, but that it was waited for cannot be stored: {}; wait for it again", id,
                       failed->text()));
}

void JobManager::answer_waiters(JobId id, Json answer)
{
    for (JobId key : {id, JobId(0)}) {
        auto found = waiters_of_.find(key);
        if (found == waiters_of_.end() || found->second.empty())
            continue;
        auto waiter = found->second.front();
        found->second.erase(found->second.begin());
        if (found->second.empty())
            waiters_of_.erase(found);
        spawn(answer_wait(std::move(waiter->request), id, std::move(answer)));
        waiters_.erase(waiter);
        return;
    }
    zombies_[id] = std::move(answer);
}

// Of a job that ended in an earlier life of the instance or of this module.
Task<> JobManager::take_over_zombie(JobId id, Json answer)
{
    bool waited = true;
    try {
        co_await lookup(id.kvs_path(waited_key));
    } catch (const Error &error) {
        if (error.errnum() != ENOENT)
            throw;
        waited = false;
    }
    if (!waited)
        zombies_[id] = std::move(answer);
}

} // namespace flux
