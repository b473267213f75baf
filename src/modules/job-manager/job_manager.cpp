#include "modules/job-manager/job_manager.hpp"

#include <algorithm>

namespace flux {

JobManager::JobManager(Context &context) : Module(context), writer_(handle()), changed_(loop())
{
    serve("submit", role::owner, &JobManager::submit);
    serve("list", role::any, &JobManager::list);
    serve("getinfo", role::any, &JobManager::getinfo);
    serve("getattr", role::any, &JobManager::getattr);
    serve("raise", role::any, &JobManager::raise);
    serve("raiseall", role::any, &JobManager::raiseall);
    serve("kill", role::any, &JobManager::kill);
    serve("killall", role::any, &JobManager::killall);
    serve("urgency", role::any, &JobManager::urgency);
    serve("memo", role::any, &JobManager::memo);
    serve("update", role::any, &JobManager::update);
    serve("wait", role::owner, &JobManager::wait);
    serve("drain", role::owner, &JobManager::drain);
    serve("idle", role::owner, &JobManager::idle);
    serve("purge", role::owner, &JobManager::purge);
    serve("events-journal", role::owner, &JobManager::events_journal);
    serve("queue-status", role::any, &JobManager::queue_status);
    serve("queue-list", role::any, &JobManager::queue_list);
    serve("queue-enable", role::owner, &JobManager::queue_enable);
    serve("queue-start", role::owner, &JobManager::queue_start);
    serve("sched-hello", role::owner, &JobManager::sched_hello);
    serve("sched-ready", role::owner, &JobManager::sched_ready);
    serve("exec-hello", role::owner, &JobManager::exec_hello);
    handle().on_cancel([this](const RouteId &sender, uint32_t matchtag) {
        for (auto at = listeners_.begin(); at != listeners_.end(); ++at) {
            if (at->request.sender() == sender && at->request.message().matchtag == matchtag) {
                at->request.finish();
                listeners_.erase(at);
                return;
            }
        }
    });
    handle().on_disconnect([this](const RouteId &sender) {
        listeners_.remove_if([&](const Listener &listener) { return listener.request.sender() == sender; });
    });
}

Task<> JobManager::start()
{
    for (auto [name, unused] : context().config()["queues"].members())
        queues_[std::string(name)].started = false; // named queues wait for "flux queue start"
    if (queues_.empty())
        queues_[""];
    co_await load_jobs();
}

Task<> JobManager::stop()
{
    co_await writer_.flush();
}

Json JobManager::stats() const
{
    return Json {{"journal", Json {{"listeners", listeners_.size()}, {"events", events_}}},
                 {"active_jobs", active_.size()},
                 {"inactive_jobs", inactive_.size()},
                 {"max_jobid", max_jobid_},
                 {"commits", writer_.commits()},
                 {"housekeeping", Json {{"running", Json::object()}}}};
}

Job *JobManager::find(JobId id)
{
    auto found = active_.find(id);
    return found == active_.end() ? nullptr : found->second.get();
}

Job &JobManager::need(const Request &request)
{
    JobId id(request.get<uint64_t>("id"));
    Job *job = find(id);
    if (!job) {
        if (inactive_.contains(id))
            throw Error(ENOENT, "job is inactive");
        throw Error(ENOENT, "unknown job id");
    }
    if (!request.credentials().is_owner() && request.credentials().userid != job->userid)
        throw Error(EPERM, "guests may only act on their own jobs");
    return *job;
}

KvsWriter::Ticket JobManager::post(Job &job, std::string_view name, Json context)
{
    Event event {wall_time(), std::string(name), std::move(context)};
    if (auto applied = job.apply(event); !applied)
        throw applied.error();
    std::string line = event.encode();
    job.eventlog += line;
    ++events_;
    auto ticket = writer_.append(job.id.kvs_path("eventlog"), line);
    publish(job, event);
    return ticket;
}

// Does what the job needs until it waits for somebody else. May retire the job: it is gone then.
void JobManager::advance(Job &job)
{
    for (;;) {
        job.queue_stopped = !queue_of(job).started;
        switch (job.next_action()) {
        case JobAction::none:
            return;
        case JobAction::post_depend:
            post(job, "depend");
            break;
        case JobAction::set_priority:
            post(job, "priority", Json {{"priority", default_priority(job.urgency)}});
            if (job.alloc_pending && job.priority > 0)
                handle().notify(
                    "sched.prioritize",
                    Json {{"jobs",
                           Json::array().append(Json::array().append(job.id.value()).append(job.priority))}});
            break;
        case JobAction::request_alloc:
            if (!sched_ready_)
                return;
            if (alloc_limit_ && alloc_inflight_ >= alloc_limit_) {
                alloc_waiting_.emplace(-job.priority, job.id);
                return;
            }
            job.alloc_pending = true;
            ++alloc_inflight_;
            spawn(alloc_job(job.id));
            return;
        case JobAction::cancel_alloc:
            job.alloc_cancelling = true;
            handle().notify("sched.cancel", Json {{"id", job.id.value()}});
            return;
        case JobAction::start:
            if (exec_service_.empty())
                return;
            job.start_pending = true;
            job.released = false;
            spawn(run_job(job.id));
            return;
        case JobAction::stop:
            job.stop_sent = true;
            handle().notify(exec_service_ + ".raise", Json {{"id", job.id.value()},
                                                            {"type", (*job.fatal)["type"]},
                                                            {"severity", 0},
                                                            {"note", (*job.fatal)["note"]}});
            return;
        case JobAction::free:
            spawn(free_job(job.id));
            post(job, "free");
            break;
        case JobAction::clean:
            post(job, "clean");
            retire(job);
            return;
        }
    }
}

void JobManager::retire(Job &job)
{
    if (job.waitable()) {
        std::string errstr;
        if (job.result() != JobResult::completed) {
            if (job.fatal)
                errstr = fmt::format("Fatal exception type={} {}", (*job.fatal)["type"].string_view(),
                                     (*job.fatal)["note"].string_view());
            else
                errstr = fmt::format("task(s) exited with exit code {}", job.status >> 8 & 0xff);
        }
        zombies_[job.id] = Json {
            {"id", job.id.value()}, {"success", job.result() == JobResult::completed}, {"errstr", errstr}};
    }
    job.jobspec = job.full_jobspec = job.R = job.annotations = Json();
    auto node = active_.extract(job.id);
    inactive_.insert(std::move(node));
    changed_.notify_all();
}

void JobManager::raise_exception(Job &job, std::string_view type, int severity, std::string_view note,
                                 uint32_t userid)
{
    Json context {{"type", type}, {"severity", severity}, {"note", note}};
    if (userid != Job::userid_none)
        context.set("userid", userid);
    post(job, "exception", context);
    advance(job);
}

JobManager::Queue &JobManager::queue_of(const Job &job)
{
    auto found = queues_.find(std::string(job.jobspec.at("attributes", "system", "queue").string_view()));
    return found == queues_.end() ? queues_.begin()->second : found->second;
}

Task<Json> JobManager::submit(Request request)
{
    Json errors = Json::array();
    KvsWriter::Ticket ticket = 0;
    for (auto item : request.get<Json>("jobs").elements()) {
        JobId id(item.get<uint64_t>("id"));
        auto job = std::make_unique<Job>();
        job->id = id;
        job->full_jobspec = item.get<Json>("jobspec");
        job->jobspec = without_environment(job->full_jobspec);
        auto &queue = queue_of(*job);
        std::string queue_name(job->jobspec.at("attributes", "system", "queue").string_view());
        std::string refused;
        if (active_.contains(id) || inactive_.contains(id))
            refused = fmt::format("job {} exists already", id);
        else if (!queue_name.empty() && !queues_.contains(queue_name))
            refused = fmt::format("Invalid queue '{}' specified", queue_name);
        else if (!queue.enabled)
            refused = fmt::format("job submission is disabled: {}", queue.disable_reason);
        if (!refused.empty()) {
            errors.append(Json::array().append(id.value()).append(refused));
            continue;
        }
        Job &added = *(active_[id] = std::move(job));
        max_jobid_ = std::max(max_jobid_, id.value());
        writer_.put(id.kvs_path("J"), item.get<std::string>("J"));
        writer_.put(id.kvs_path("jobspec"), added.jobspec.dump());
        post(added, "submit",
             Json {{"userid", item.get<uint32_t>("userid")},
                   {"urgency", item.get<int>("urgency")},
                   {"flags", item.get<uint32_t>("flags")},
                   {"version", 1}});
        ticket = post(added, "validate");
        advance(added);
    }
    co_await writer_.wait(ticket);
    co_return errors.empty() ? Json::object() : Json {{"errors", errors}};
}

Json JobManager::list(Request &request)
{
    auto limit = request.find<size_t>("max_entries").value_or(0);
    Json jobs = Json::array();
    for (const auto &[id, job] : active_) {
        if (limit && jobs.size() == limit)
            break;
        jobs.append(Json {{"id", id.value()},
                          {"urgency", job->urgency},
                          {"userid", job->userid},
                          {"t_submit", job->t_submit},
                          {"priority", job->priority},
                          {"state", bit(job->state)},
                          {"annotations", job->annotations}});
    }
    return Json {{"jobs", jobs}};
}

Json JobManager::getinfo(Request &)
{
    return Json {{"max_jobid", max_jobid_}};
}

Json JobManager::getattr(Request &request)
{
    JobId id(request.get<uint64_t>("id"));
    Job *job = find(id);
    if (!job)
        throw Error(ENOENT, "{}: no such active job", id);
    Json out = Json::object();
    for (const auto &name : request.get<std::vector<std::string>>("attrs")) {
        if (name == "jobspec")
            out.set(name, job->jobspec);
        else if (name == "R" && job->R)
            out.set(name, job->R);
        else if (name == "eventlog")
            out.set(name, job->eventlog);
        else
            throw Error(ENOENT, "{}: job {} has no attribute of this name", name, id);
    }
    return out;
}

Json JobManager::raise(Request &request)
{
    auto severity = request.get<int>("severity");
    auto type = request.get<std::string>("type");
    Job &job = need(request);
    if (severity < 0 || severity > 7)
        throw Error(EPROTO, "severity {} is not in the range 0-7", severity);
    if (type.empty() || type.find_first_of(" \t\n") != type.npos)
        throw Error(EPROTO, "an exception type is one word, \"{}\" is not", type);
    raise_exception(job, type, severity, request.find<std::string>("note").value_or(""),
                    request.credentials().userid);
    return {};
}

Json JobManager::raiseall(Request &request)
{
    auto severity = request.get<int>("severity");
    auto type = request.get<std::string>("type");
    auto states = request.find<uint32_t>("states").value_or(job_states::active);
    auto userid = request.find<int64_t>("userid").value_or(-1);
    bool dry_run = request.find<bool>("dry_run").value_or(true);
    std::vector<JobId> matches;
    for (const auto &[id, job] : active_)
        if ((bit(job->state) & states) && (userid < 0 || job->userid == userid) &&
            (request.credentials().is_owner() || request.credentials().userid == job->userid))
            matches.push_back(id);
    if (!dry_run)
        for (auto id : matches)
            if (Job *job = find(id))
                raise_exception(*job, type, severity, request.find<std::string>("note").value_or(""),
                                request.credentials().userid);
    return Json {{"count", matches.size()}, {"errors", 0}};
}

Task<Json> JobManager::kill(Request request)
{
    Job &job = need(request);
    auto signum = request.get<int>("signum");
    if (signum < 1 || signum > 64)
        throw Error(EINVAL, "{} is no signal number", signum);
    if (job.state != JobState::run || !job.start_pending)
        throw Error(EINVAL, "job is not running");
    Json args {{"id", job.id.value()}, {"signum", signum}};
    co_await rpc(exec_service_ + ".kill", args);
    co_return Json();
}

Json JobManager::killall(Request &request)
{
    auto signum = request.get<int>("signum");
    auto userid = request.find<int64_t>("userid").value_or(-1);
    bool dry_run = request.find<bool>("dry_run").value_or(true);
    size_t count = 0;
    for (const auto &[id, job] : active_) {
        if (job->state != JobState::run || !job->start_pending || (userid >= 0 && job->userid != userid) ||
            (!request.credentials().is_owner() && request.credentials().userid != job->userid))
            continue;
        ++count;
        if (!dry_run)
            handle().notify(exec_service_ + ".kill", Json {{"id", id.value()}, {"signum", signum}});
    }
    return Json {{"count", count}, {"errors", 0}};
}

Json JobManager::urgency(Request &request)
{
    Job &job = need(request);
    auto value = request.get<int64_t>("urgency");
    if (auto ok = check_urgency(value, request.credentials().is_owner()); !ok)
        throw ok.error();
    if (job.has_resources || !(bit(job.state) & job_states::pending))
        throw Error(EINVAL, "urgency cannot be changed once resources are allocated");
    int old = job.urgency;
    if (old != value) {
        post(job, "urgency", Json {{"urgency", value}, {"userid", request.credentials().userid}});
        advance(job);
    }
    return Json {{"old_urgency", old}};
}

Json JobManager::memo(Request &request)
{
    Job &job = need(request);
    Json changes = request.get<Json>("memo");
    if (!changes.is_object())
        throw Error(EPROTO, "memo is an object of keys and values, not {}", changes.type_name());
    if (request.find<bool>("volatile").value_or(false)) {
        job.annotations = merge_annotations(job.annotations, Json {{"user", changes}});
        publish(job, Event {wall_time(), "annotations", Json {{"annotations", job.annotations}}});
    } else
        post(job, "memo", changes);
    return {};
}

Json JobManager::update(Request &request)
{
    Job &job = need(request);
    Json updates = request.get<Json>("updates");
    if (!updates.is_object() || updates.empty())
        throw Error(EPROTO, "updates is an object of jobspec keys and values");
    for (auto [key, value] : updates.members())
        if (!key.starts_with("attributes."))
            throw Error(EINVAL, "update of {} is not supported: only attributes change after submission",
                        key);
    if (job.has_resources)
        throw Error(EINVAL, "the jobspec cannot be changed once resources are allocated");
    post(job, "jobspec-update", updates);
    return {};
}

Task<Json> JobManager::wait(Request request)
{
    auto wanted = request.find<uint64_t>("id");
    for (;;) {
        if (wanted && *wanted) {
            JobId id(*wanted);
            if (auto found = zombies_.find(id); found != zombies_.end()) {
                Json answer = found->second;
                zombies_.erase(found);
                co_return answer;
            }
            Job *job = find(id);
            if (!job || !job->waitable())
                throw Error(ECHILD, "{} is no waitable job, or was waited for already", id);
        } else if (!zombies_.empty()) {
            Json answer = zombies_.begin()->second;
            zombies_.erase(zombies_.begin());
            co_return answer;
        } else if (std::ranges::none_of(active_, [](const auto &entry) { return entry.second->waitable(); }))
            throw Error(ECHILD, "there are no more waitable jobs");
        co_await changed_.wait();
    }
}

Task<Json> JobManager::drain(Request)
{
    while (!active_.empty())
        co_await changed_.wait();
    co_return Json();
}

Task<Json> JobManager::idle(Request)
{
    while (running_ > 0)
        co_await changed_.wait();
    co_return Json {{"pending", active_.size()}};
}

Task<Json> JobManager::purge(Request request)
{
    auto age_limit = request.find<double>("age_limit").value_or(-1);
    auto num_limit = request.find<int64_t>("num_limit").value_or(-1);
    auto batch = request.find<size_t>("batch").value_or(50);
    bool force = request.find<bool>("force").value_or(false);
    std::vector<std::pair<double, JobId>> oldest;
    for (const auto &[id, job] : inactive_)
        oldest.emplace_back(job->t_clean, id);
    std::ranges::sort(oldest);
    std::vector<JobId> gone;
    for (const auto &[t_clean, id] : oldest) {
        bool over = num_limit >= 0 && oldest.size() - gone.size() > size_t(num_limit);
        bool old = age_limit >= 0 && wall_time() - t_clean > age_limit;
        if ((over || old) && gone.size() < batch)
            gone.push_back(id);
    }
    if (!force)
        co_return Json {{"count", gone.size()}};
    KvsWriter::Ticket ticket = 0;
    Json ids = Json::array();
    for (auto id : gone) {
        inactive_.erase(id);
        zombies_.erase(id);
        ids.append(id.value());
        ticket = writer_.unlink(id.kvs_path());
    }
    co_await writer_.wait(ticket);
    if (!gone.empty())
        handle().publish("job-purge-inactive", Json {{"jobs", ids}});
    co_return Json {{"count", gone.size()}};
}

} // namespace flux
