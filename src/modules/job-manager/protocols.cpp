// The job manager's conversations with the scheduler (RFC 27) and the execution service (RFC 32).
#include <algorithm>

#include "modules/job-manager/job_manager.hpp"

namespace flux {

// Besides what RFC 27 asks, each response has the job's R and queue, so that the scheduler need not look them up.
Task<> JobManager::sched_hello(Request request)
{
    request.require_streaming();
    scheduler_ = request.sender();
    sched_known_ = true;
    for (const auto &[id, job] : active_)
        if (job->has_resources)
            request.respond(Json {{"id", id.value()},
                                  {"priority", job->priority},
                                  {"userid", job->userid},
                                  {"t_submit", job->t_submit},
                                  {"queue", job->jobspec.at("attributes", "system", "queue")},
                                  {"R", job->R}});
    tell_of_housekeepings(request);
    co_return;
}

Json JobManager::sched_ready(Request &request)
{
    auto mode = request.get<std::string>("mode");
    if (mode == "limited") {
        alloc_limit_ = request.get<uint32_t>("limit");
        if (alloc_limit_ == 0)
            throw Error(EPROTO, "sched-ready: a limit of 0 allows no request at all");
    } else if (mode == "unlimited")
        alloc_limit_ = 0;
    else
        throw Error(EPROTO, "sched-ready: mode {} is neither limited nor unlimited", mode);
    sched_ready_ = true;
    // The answer goes out before the first alloc request.
    advance_all([](const Job &job) { return job.state == JobState::sched; });
    return Json {{"count", alloc_inflight_}};
}

void JobManager::scheduler_gone()
{
    if (sched_ready_)
        log(LogLevel::info, "the scheduler is gone: jobs wait until there is one again");
    sched_known_ = sched_ready_ = false;
    alloc_waiting_.clear();
}

// From the top of the loop, in order of submission.
void JobManager::advance_all(bool (*which)(const Job &))
{
    std::vector<JobId> ids;
    for (const auto &[id, job] : active_)
        if (which(*job))
            ids.push_back(id);
    std::ranges::sort(ids);
    handle().post([this, ids = std::move(ids)] {
        for (auto id : ids)
            if (Job *job = find(id))
                advance(*job);
    });
}

// One sched.alloc conversation. A scheduler of our own may give "R" with a success, which then is committed
// together with the alloc event; any other has committed R itself (RFC 27) and it is read from there.
Task<> JobManager::alloc_job(JobId id)
{
    Job *job = find(id);
    auto stream = handle().stream("sched.alloc", Json {{"id", id.value()},
                                                       {"priority", job->priority},
                                                       {"userid", job->userid},
                                                       {"t_submit", job->t_submit},
                                                       {"jobspec", job->jobspec}});
    enum { success, annotate, deny, cancel, failed } type = annotate;
    Json answer;
    std::string problem;
    while (type == annotate) {
        try {
            auto response = co_await stream.next();
            if (!response)
                throw Error(EPROTO, "sched.alloc: the scheduler ended the conversation");
            answer = response->json();
            int number = answer.get<int>("type");
            if (number < success || number > cancel)
                throw Error(EPROTO, "sched.alloc: response type {} is not known", number);
            type = decltype(type)(number);
        } catch (const Error &error) {
            type = failed;
            problem = error.text();
        }
        job = find(id);
        if (!job)
            co_return;
        if (type == annotate) {
            job->annotations = merge_annotations(job->annotations, answer["annotations"]);
            publish_annotations(*job);
        }
    }
    Json R = answer["R"];
    bool committed = !R;
    if (type == success && !R) {
        Json args {{"key", id.kvs_path("R")}, {"namespace", "primary"}, {"flags", 0}};
        try {
            auto looked_up = co_await rpc("kvs.lookup", args);
            R = Json::parse_or_throw(value_or_throw(treeobj::decode_val(looked_up.json()["val"])));
        } catch (const Error &error) {
            problem = fmt::format("the R that the scheduler says it stored cannot be read: {}", error.text());
            R = Json::object();
        }
        job = find(id);
        FLUX_ASSERT(job); // none ends while an answer of the scheduler is awaited
    }
    job->alloc_pending = false;
    // It was granted before the scheduler read that the job is to wait, or that it has changed.
    bool taken_back = std::exchange(job->alloc_cancelling, false) && job->state == JobState::sched;
    bool unwanted = std::exchange(job->alloc_outdated, false) || taken_back;
    --alloc_inflight_;
    switch (type) {
    case success:
        if (!problem.empty()) {
            send_free(id, R);
            post(*job, "exception", Json {{"type", "alloc"}, {"severity", 0}, {"note", problem}});
            break;
        }
        if (unwanted) { // asked anew, when it may run
            send_free(id, R);
            job->annotations = Json();
            break;
        }
        if (!committed)
            writer_.put(id.kvs_path("R"), R.dump());
        job->R = R;
        job->annotations = merge_annotations(job->annotations, answer["annotations"]);
        post(*job, "alloc", Json {{"annotations", job->annotations}});
        ++running_;
        if (job->state == JobState::run)
            begin_prolog(*job);
        break;
    case deny:
        job->annotations = Json();
        post(*job, "exception",
             Json {{"type", "alloc"},
                   {"severity", 0},
                   {"note", answer["note"] ? answer["note"] : Json("denied")}});
        break;
    case failed:
        if (sched_ready_)
            log(LogLevel::err, "scheduler: {}; no further requests until it says it is ready again", problem);
        scheduler_gone();
        break;
    default:
        job->annotations = Json();
        break;
    }
    advance(*job);
    next_alloc();
}

void JobManager::next_alloc()
{
    while (sched_ready_ && !alloc_waiting_.empty() && alloc_inflight_ < alloc_limit_) {
        auto next = std::get<JobId>(*alloc_waiting_.begin());
        alloc_waiting_.erase(alloc_waiting_.begin());
        if (Job *waiting = find(next))
            advance(*waiting);
    }
}

void JobManager::free_job(Job &job)
{
    --running_;
    changed_.notify_all();
    if (perilog_configs_.housekeeping)
        begin_housekeeping(job);
    else if (sched_known_)
        send_free(job.id, job.R);
}

void JobManager::send_free(JobId id, Json R)
{
    if (R["scheduling"]) {
        R = R.shallow_copy();
        R.erase("scheduling");
    }
    handle().notify("sched.free", Json {{"id", id.value()}, {"R", R}, {"final", true}});
}

Json JobManager::exec_hello(Request &request)
{
    exec_service_ = request.get<std::string>("service");
    exec_sender_ = request.sender();
    advance_all([](const Job &job) { return job.has_resources; });
    for (auto &[id, house] : housekeepings_)
        tend_housekeeping(id, house);
    return {};
}

// What it ran has failed by itself; what it was not given yet waits for the next hello.
void JobManager::exec_gone()
{
    log(LogLevel::info, "the execution service is gone: jobs wait until there is one again");
    exec_service_.clear();
}

bool JobManager::is_executing(const Job &job) const
{
    return job.start_pending && !exec_service_.empty();
}

// A job is launched once its allocation is durable. So after a crash, one that has an allocation may have been
// launched, and is not launched again; one that has none was not. Without a statedir nothing outlives a crash, and
// nothing is waited for.
Task<> JobManager::run_job(JobId id)
{
    Job *job = find(id);
    auto durable = flush(*job);
    std::string problem;
    try {
        if (!context().attribute("statedir").value_or("").empty())
            co_await writer_.wait(durable);
    } catch (const Error &error) {
        problem = error.text();
    }
    job = find(id);
    if (!job)
        co_return;
    bool in_time = job->state == JobState::run || job->recovered;
    if (!in_time || !problem.empty()) { // an exception came first: there is nothing to stop
        job->start_pending = false;
        if (job->state == JobState::run)
            raise_exception(*job, "exec", 0, "the allocation cannot be stored: " + problem, Job::userid_none);
        else
            advance(*job);
        co_return;
    }
    if (exec_service_.empty() || stopping_) { // it has gone meanwhile
        job->start_pending = false;
        advance(*job);
        co_return;
    }
    auto sender = exec_sender_;
    bool launched = false, refused = false;
    job->launched = true;
    auto stream = handle().stream(exec_service_ + ".start", Json {{"id", id.value()},
                                                                  {"userid", job->userid},
                                                                  {"jobspec", job->jobspec},
                                                                  {"environment", job->environment},
                                                                  {"R", job->R},
                                                                  {"reattach", job->recovered}});
    advance(*job); // one that is to be stopped
    while (job) {
        try {
            auto response = co_await stream.next();
            job = find(id);
            if (!response || !job)
                break;
            if (!std::exchange(launched, true))
                job->environment = {};
            exec_response(*job, response->json());
        } catch (const Error &error) {
            problem = error.text();
            refused = !launched && error.errnum() == ENOSYS;
            break;
        }
        job = find(id);
        if (job && job->released)
            break;
    }
    job = find(id);
    if (!job)
        co_return;
    job->start_pending = false;
    if (refused) { // nobody is there, or no longer takes jobs
        job->launched = false;
        if (sender == exec_sender_ && !exec_service_.empty())
            exec_gone();
    } else if (!job->released) { // the execution service is gone or broken; what it ran is gone with it
        job->recovered = false;
        log(LogLevel::err, "{}: the execution service failed: {}", id, problem);
        post(*job, "exception",
             Json {{"type", "exec"}, {"severity", 0}, {"note", "the execution service failed: " + problem}});
    }
    advance(*job);
}

void JobManager::exec_response(Job &job, const Json &response)
{
    auto type = response.get<std::string>("type");
    Json data = response["data"];
    if (type == "start") {
        post(job, "start");
        antecedent_started(job.id);
    }
    else if (type == "reattached") {
        post(job, "debug.exec-reattach-finish");
        if (!job.started) { // that was not heard, or not recorded
            post(job, "start");
            antecedent_started(job.id);
        }
    }
    else if (type == "release")
        post(job, "release",
             Json {{"ranks", data.get<std::string>("ranks")}, {"final", data.get<bool>("final")}});
    else if (type == "exception")
        post(job, "exception",
             Json {{"type", data.get<std::string>("type")},
                   {"severity", data.get<int>("severity")},
                   {"note", data.value<std::string>("note", "")}});
    else if (type == "finish") {
        if (!job.finished) // else it is on record already
            post(job, "finish", Json {{"status", data.get<int>("status")}});
        if (epilog_due(job) && !stopping_)
            begin_epilog(job);
    }
    else
        throw Error(EPROTO, "{}.start: response type {} is not known", exec_service_, type);
    if (!job.released)
        advance(job);
}

} // namespace flux
