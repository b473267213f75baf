// The job manager's conversations with the scheduler, the execution service, journal listeners and
// flux-queue(1).
#include "modules/job-manager/job_manager.hpp"

namespace flux {

// Besides what RFC 27 asks, each response has the job's R, so that the scheduler need not look it up.
Task<> JobManager::sched_hello(Request request)
{
    request.require_streaming();
    for (const auto &[id, job] : active_)
        if (job->has_resources)
            request.respond(Json {{"id", id.value()},
                                  {"priority", job->priority},
                                  {"userid", job->userid},
                                  {"t_submit", job->t_submit},
                                  {"R", job->R}});
    co_return;
}

Json JobManager::sched_ready(Request &request)
{
    auto mode = request.get<std::string>("mode");
    if (mode == "limited")
        alloc_limit_ = request.get<uint32_t>("limit");
    else if (mode == "unlimited")
        alloc_limit_ = 0;
    else
        throw Error(EPROTO, "sched-ready: mode {} is neither limited nor unlimited", mode);
    sched_ready_ = true;
    // The answer goes out before the first alloc request.
    handle().post([this] {
        std::vector<JobId> ids;
        for (const auto &[id, job] : active_)
            if (job->state == JobState::sched)
                ids.push_back(id);
        for (auto id : ids)
            if (Job *job = find(id))
                advance(*job);
    });
    return Json {{"count", alloc_inflight_}};
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
            publish(*job, Event {wall_time(), "annotations", Json {{"annotations", job->annotations}}});
        }
    }
    Json R = answer["R"];
    bool committed = !R;
    if (type == success && !R) {
        Json args {{"key", id.kvs_path("R")}, {"namespace", "primary"}, {"flags", 0}};
        auto looked_up = co_await rpc("kvs.lookup", args);
        R = Json::parse_or_throw(value_or_throw(treeobj::decode_val(looked_up.json()["val"])));
        job = find(id);
    }
    job->alloc_pending = job->alloc_cancelling = false;
    --alloc_inflight_;
    switch (type) {
    case success:
        if (!committed)
            writer_.put(id.kvs_path("R"), R.dump());
        job->R = R;
        job->annotations = merge_annotations(job->annotations, answer["annotations"]);
        post(*job, "alloc", Json {{"annotations", job->annotations}});
        ++running_;
        break;
    case deny:
        job->annotations = Json();
        post(*job, "exception",
             Json {{"type", "alloc"},
                   {"severity", 0},
                   {"note", answer["note"] ? answer["note"] : Json("denied")}});
        break;
    case failed:
        log(LogLevel::err, "scheduler: {}; no further requests until it says it is ready again", problem);
        sched_ready_ = false;
        break;
    default:
        job->annotations = Json();
        break;
    }
    advance(*job);
    while (sched_ready_ && !alloc_waiting_.empty() && alloc_inflight_ < alloc_limit_) {
        auto next = std::get<JobId>(*alloc_waiting_.begin());
        alloc_waiting_.erase(alloc_waiting_.begin());
        if (Job *waiting = find(next))
            advance(*waiting);
    }
}

Task<> JobManager::free_job(JobId id)
{
    Job *job = find(id);
    --running_;
    changed_.notify_all();
    Json R = job->R.shallow_copy();
    R.erase("scheduling");
    if (sched_ready_)
        handle().notify("sched.free", Json {{"id", id.value()}, {"R", R}, {"final", true}});
    co_return;
}

Json JobManager::exec_hello(Request &request)
{
    exec_service_ = request.get<std::string>("service");
    handle().post([this] {
        std::vector<JobId> ids;
        for (const auto &[id, job] : active_)
            if (job->has_resources)
                ids.push_back(id);
        for (auto id : ids)
            if (Job *job = find(id))
                advance(*job);
    });
    return {};
}

Task<> JobManager::run_job(JobId id)
{
    Job *job = find(id);
    auto stream = handle().stream(exec_service_ + ".start", Json {{"id", id.value()},
                                                                  {"userid", job->userid},
                                                                  {"jobspec", job->full_jobspec},
                                                                  {"R", job->R},
                                                                  {"reattach", job->started}});
    job->full_jobspec = Json();
    std::string problem;
    while (job) {
        try {
            auto response = co_await stream.next();
            job = find(id);
            if (!response || !job)
                break;
            exec_response(*job, response->json());
        } catch (const Error &error) {
            problem = error.text();
            break;
        }
        job = find(id);
        if (job && job->released)
            break;
    }
    job = find(id);
    if (!job)
        co_return;
    if (!job->released) { // the execution service is gone or broken
        log(LogLevel::err, "{}: the execution service failed: {}", id, problem);
        job->start_pending = false;
        post(*job, "exception",
             Json {{"type", "exec"}, {"severity", 0}, {"note", "the execution service failed: " + problem}});
    }
    job->start_pending = false;
    advance(*job);
}

void JobManager::exec_response(Job &job, const Json &response)
{
    auto type = response.get<std::string>("type");
    Json data = response["data"];
    if (type == "start")
        post(job, "start");
    else if (type == "reattached")
        post(job, "debug.exec-reattach-finish");
    else if (type == "release")
        post(job, "release",
             Json {{"ranks", data.get<std::string>("ranks")}, {"final", data.get<bool>("final")}});
    else if (type == "exception")
        post(job, "exception",
             Json {{"type", data.get<std::string>("type")},
                   {"severity", data.get<int>("severity")},
                   {"note", data.value<std::string>("note", "")}});
    else if (type == "finish")
        post(job, "finish", Json {{"status", data.get<int>("status")}});
    else
        throw Error(EPROTO, "{}.start: response type {} is not known", exec_service_, type);
    if (!job.released)
        advance(job);
}

// --- journal: {"id","events":[...],"jobspec"?,"R"?}; after what was there already comes
// {"id":-1,"events":[]}

void JobManager::publish(const Job &job, const Event &event)
{
    if (listeners_.empty())
        return;
    Json out {{"id", job.id.value()}, {"events", Json::array().append(event.to_json())}};
    if (event.name == "submit")
        out.set("jobspec", job.jobspec);
    else if (event.name == "alloc")
        out.set("R", job.R);
    Payload payload(out);
    for (auto &listener : listeners_)
        if ((!listener.allow || listener.allow.contains(event.name)) &&
            !(listener.deny && listener.deny.contains(event.name)))
            listener.request.respond(payload);
}

void JobManager::send_history(const Job &job, Listener &listener)
{
    Json events = Json::array();
    for (const auto &event : value_or_throw(parse_eventlog(job.eventlog)))
        if ((!listener.allow || listener.allow.contains(event.name)) &&
            !(listener.deny && listener.deny.contains(event.name)))
            events.append(event.to_json());
    if (events.empty())
        return;
    Json out {{"id", job.id.value()}, {"events", events}, {"jobspec", job.jobspec}, {"R", job.R}};
    listener.request.respond(out);
}

void JobManager::events_journal(Request request)
{
    request.require_streaming();
    Listener listener {std::move(request), {}, {}};
    listener.allow = listener.request.json()["allow"];
    listener.deny = listener.request.json()["deny"];
    if (listener.request.json().value("full", false))
        for (const auto &[id, job] : inactive_)
            send_history(*job, listener);
    for (const auto &[id, job] : active_)
        send_history(*job, listener);
    listener.request.respond(Json {{"id", -1}, {"events", Json::array()}});
    listeners_.push_back(std::move(listener));
}

// --- queues

Json JobManager::queue_json(const std::string &, const Queue &queue) const
{
    Json out {{"enable", queue.enabled}, {"start", queue.started}};
    if (!queue.enabled)
        out.set("disable_reason", queue.disable_reason);
    if (!queue.started && !queue.stop_reason.empty())
        out.set("stop_reason", queue.stop_reason);
    return out;
}

Json JobManager::queue_status(Request &request)
{
    auto name = request.find<std::string>("name").value_or("");
    auto found = queues_.find(name);
    if (found == queues_.end()) {
        if (name.empty())
            throw Error(EINVAL, "named queues are configured: say which one");
        throw Error(EINVAL, "Invalid queue '{}' specified", name);
    }
    return queue_json(name, found->second);
}

Json JobManager::queue_list(Request &)
{
    Json out = Json::array();
    for (const auto &[name, unused] : queues_)
        if (!name.empty())
            out.append(name);
    return Json {{"queues", out}};
}

template <class Fn>
void JobManager::each_queue(const Request &request, Fn fn)
{
    auto name = request.find<std::string>("name");
    if (!name && queues_.size() > 1 && !request.find<bool>("all").value_or(false))
        throw Error(EINVAL, "named queues are configured: give a name or all");
    if (name && !queues_.contains(*name))
        throw Error(EINVAL, "Invalid queue '{}' specified", *name);
    for (auto &[queue_name, queue] : queues_)
        if (!name || *name == queue_name)
            fn(queue);
}

Json JobManager::queue_enable(Request &request)
{
    bool enable = request.get<bool>("enable");
    auto reason = request.find<std::string>("reason");
    if (!enable && !reason)
        throw Error(EINVAL, "disabling a queue takes a reason");
    each_queue(request, [&](Queue &queue) {
        queue.enabled = enable;
        queue.disable_reason = enable ? "" : *reason;
    });
    return {};
}

Json JobManager::queue_start(Request &request)
{
    bool start = request.get<bool>("start");
    auto reason = request.find<std::string>("reason").value_or("");
    each_queue(request, [&](Queue &queue) {
        queue.started = start;
        queue.stop_reason = start ? "" : reason;
    });
    std::vector<JobId> ids;
    for (const auto &[id, job] : active_)
        if (job->state == JobState::sched)
            ids.push_back(id);
    for (auto id : ids)
        if (Job *job = find(id))
            advance(*job);
    return {};
}

FLUX_MODULE(job_manager, "job-manager", JobManager)

} // namespace flux
