#include "modules/job-manager/job_manager.hpp"

#include <algorithm>

namespace flux {

JobManager::JobManager(Context &context)
    : Module(context), writer_(handle(), KvsWriter::OnFailure::retry,
                               [this](const Error *error) {
                                   if (error)
                                       log(LogLevel::err, "job events cannot be stored: {}; trying until they can",
                                           error->text());
                                   else
                                       log(LogLevel::err, "job events are stored again");
                               }),
      submissions_(handle()), changed_(loop()), conversations_(loop(), [this](const Error &error) {
          log(LogLevel::err, "a conversation ended with an error: {}", error.text());
      })
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
    serve("housekeeping-kill", role::owner, &JobManager::housekeeping_kill);
    serve("history.get", role::any, &JobManager::history_get);
    serve("alloc-query", role::any, &JobManager::alloc_query);
    serve("jobtap", role::owner, &JobManager::jobtap);
    serve("jobtap-query", role::owner, &JobManager::jobtap_query);
    serve("purge", role::owner, &JobManager::purge);
    serve("purge-id", role::owner, &JobManager::purge_id);
    serve("events-journal", role::owner, &JobManager::events_journal);
    serve("queue-status", role::any, &JobManager::queue_status);
    serve("queue-list", role::any, &JobManager::queue_list);
    serve("queue-enable", role::owner, &JobManager::queue_enable);
    serve("queue-start", role::owner, &JobManager::queue_start);
    serve("sched-hello", role::owner, &JobManager::sched_hello);
    serve("sched-ready", role::owner, &JobManager::sched_ready);
    serve("exec-hello", role::owner, &JobManager::exec_hello);
    auto forget = [this](const RouteId &sender, std::optional<uint32_t> matchtag) {
        auto matches = [&](const Request &request) {
            return request.sender() == sender && (!matchtag || request.message().matchtag == *matchtag);
        };
        for (auto at = listeners_.begin(); at != listeners_.end();) {
            auto listener = *at++;
            if (!matches(listener->request))
                continue;
            listener->gone = true;
            listener->request.finish();
            listeners_.remove(listener);
        }
        for (auto at = waiters_.begin(); at != waiters_.end();) {
            auto waiter = at++;
            if (!matches(waiter->request))
                continue;
            std::erase(waiters_of_[waiter->id], waiter);
            waiters_.erase(waiter);
        }
        if (!matchtag && sched_known_ && sender == scheduler_)
            scheduler_gone();
        if (!matchtag && !exec_service_.empty() && sender == exec_sender_)
            exec_gone();
    };
    handle().on_cancel([forget](const RouteId &sender, uint32_t matchtag) { forget(sender, matchtag); });
    handle().on_disconnect([forget](const RouteId &sender) { forget(sender, std::nullopt); });
}

Task<> JobManager::start()
{
    configure_queues();
    perilog_configs_ = PerilogConfigs::from(context().config());
    co_await restore_queues();
    co_await load_jobs();
    co_await load_housekeepings();
    keep_inactive(InactiveLimits::from(context().config()));
}

Json JobManager::stats() const
{
    return Json {
        {"journal", Json {{"listeners", listeners_.size()}, {"events", events_}}},
        {"active_jobs", active_.size()},
        {"inactive_jobs", inactive_.size()},
        {"max_jobid", max_jobid_},
        {"commits", writer_.commits()},
        {"housekeeping", housekeeping_stats()}};
}

Job *JobManager::find(JobId id)
{
    auto found = active_.find(id);
    return found == active_.end() ? nullptr : found->second.get();
}

Job &JobManager::need(const Request &request, int errnum_of_others)
{
    JobId id(request.get<uint64_t>("id"));
    Job *job = find(id);
    if (!job) {
        if (inactive_.contains(id))
            throw Error(errnum_of_others, "job is inactive");
        throw Error(errnum_of_others, "unknown job id {}", id.f58());
    }
    if (!request.credentials().is_owner() && request.credentials().userid != job->userid)
        throw Error(EPERM, "guests may only act on their own jobs");
    return *job;
}

// The event holds at once; it goes to the store and the journal with the others of this turn.
void JobManager::post(Job &job, std::string_view name, Json context)
{
    Event event {wall_time(), std::string(name), std::move(context)};
    if (auto applied = job.apply(event); !applied)
        throw applied.error();
    event.encode_to(job.unwritten);
    if (!listeners_.empty() || job.submitting) { // who listens when it is stored wants it whole
        if (!job.unpublished)
            job.unpublished = Json::array();
        job.unpublished.append(event.to_json());
    }
    ++events_;
    if (std::exchange(job.dirty, true))
        return;
    dirty_.push_back(job.id);
    schedule_flush();
}

KvsWriter::Ticket JobManager::flush(Job &job)
{
    if (job.submitting)
        return job.ticket;
    job.dirty = false;
    if (!job.unwritten.empty()) {
        job.ticket = writer_.append(job.id.kvs_path("eventlog"), job.unwritten);
        job.eventlog += job.unwritten;
        job.unwritten.clear();
    }
    if (job.unpublished)
        publish(job, std::exchange(job.unpublished, Json()));
    return job.ticket;
}

void JobManager::schedule_flush()
{
    if (std::exchange(flush_posted_, true))
        return;
    handle().post([this] {
        flush_posted_ = false;
        for (auto id : std::exchange(dirty_, {}))
            if (Job *job = find(id); job && job->dirty)
                flush(*job);
    });
}

// Returns when everything that was posted to the job so far is in the store.
Task<> JobManager::durable(JobId id)
{
    if (Job *job = find(id); job && job->submitting)
        co_await submissions_.wait(job->ticket);
    if (Job *job = find(id))
        flush(*job);
    co_await writer_.flush();
}

// Does what the job needs until it waits for somebody else. May retire the job: it is gone then.
void JobManager::advance(Job &job)
{
    for (;;) {
        if (job.prologs || job.epilogs)
            tend_perilog(job);
        job.queue_stopped = job.state == JobState::sched && !schedules(job);
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
            if (!sched_ready_ || stopping_)
                return;
            if (alloc_limit_ && alloc_inflight_ >= alloc_limit_) {
                alloc_waiting_.emplace(-job.priority, job.id);
                return;
            }
            job.alloc_pending = true;
            ++alloc_inflight_;
            conversations_.spawn(alloc_job(job.id));
            return;
        case JobAction::cancel_alloc:
            job.alloc_cancelling = true;
            handle().notify("sched.cancel", Json {{"id", job.id.value()}});
            return;
        case JobAction::start:
            if (exec_service_.empty() || stopping_)
                return;
            job.start_pending = true;
            job.released = false;
            conversations_.spawn(run_job(job.id));
            return;
        case JobAction::stop:
            if (exec_service_.empty()) // it ends what it runs with itself
                return;
            job.stop_sent = true;
            handle().notify(exec_service_ + ".raise", Json {{"id", job.id.value()},
                                                            {"type", (*job.fatal)["type"]},
                                                            {"severity", 0},
                                                            {"note", (*job.fatal)["note"]}});
            return;
        case JobAction::free:
            if (epilog_due(job)) {
                if (stopping_) // the next job manager sees to it
                    return;
                begin_epilog(job);
                break;
            }
            free_job(job);
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
    flush(job);
    auto id = job.id;
    take_over_ended(job);
    if (job.waitable()) {
        --waitable_;
        answer_waiters(id, wait_answer(job));
    }
    leave_singletons(job);
    begin_timers_.erase(id);
    active_.erase(id);
    changed_.notify_all();
    antecedent_ended(id, inactive_.at(id));
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

Json JobManager::list(Request &request)
{
    auto limit = request.find<size_t>("max_entries").value_or(0);
    auto &who = request.credentials();
    bool everyone = who.is_owner() || !context().config()["access"].value("private-mode", false);
    Json jobs = Json::array();
    for (const auto &[id, job] : active_) {
        if (!everyone && job->userid != who.userid)
            continue;
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
    need(request); // of others: EPERM
    Json out = Json::object();
    for (const auto &name : request.get<std::vector<std::string>>("attrs")) {
        if (name == "jobspec")
            out.set(name, job->jobspec);
        else if (name == "R" && job->R)
            out.set(name, job->R);
        else if (name == "eventlog")
            out.set(name, job->eventlog + job->unwritten);
        else
            throw Error(ENOENT, "{}: job {} has no attribute of this name", name, id);
    }
    return out;
}

Task<Json> JobManager::raise(Request request)
{
    auto severity = request.get<int>("severity");
    auto type = request.get<std::string>("type");
    Job &job = need(request, ENOENT);
    if (severity < 0 || severity > 7)
        throw Error(EPROTO, "severity {} is not in the range 0-7", severity);
    if (type.empty() || type.find_first_of(" \t\n") != type.npos)
        throw Error(EPROTO, "an exception type is one word, \"{}\" is not", type);
    JobId id = job.id;
    raise_exception(job, type, severity, request.find<std::string>("note").value_or(""),
                    request.credentials().userid);
    co_await durable(id);
    co_return Json();
}

Task<Json> JobManager::raiseall(Request request)
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
    if (!dry_run)
        for (auto id : matches)
            co_await durable(id);
    co_return Json::make("count", matches.size(), "errors", 0);
}

Task<Json> JobManager::kill(Request request)
{
    Job &job = need(request);
    auto signum = request.get<int>("signum");
    if (signum < 1 || signum > 64)
        throw Error(EINVAL, "{} is no signal number", signum);
    if (job.state != JobState::run || !is_executing(job))
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
        if (job->state != JobState::run || !is_executing(*job) || (userid >= 0 && job->userid != userid) ||
            (!request.credentials().is_owner() && request.credentials().userid != job->userid))
            continue;
        ++count;
        if (!dry_run)
            handle().notify(exec_service_ + ".kill", Json {{"id", id.value()}, {"signum", signum}});
    }
    return Json {{"count", count}, {"errors", 0}};
}

Task<Json> JobManager::urgency(Request request)
{
    Job &job = need(request);
    auto value = request.get<int64_t>("urgency");
    if (auto ok = check_urgency(value, request.credentials().is_owner()); !ok)
        throw ok.error();
    if (job.has_resources || !(bit(job.state) & job_states::pending))
        throw Error(EINVAL, "urgency cannot be changed once resources are allocated");
    int old = job.urgency;
    if (old != value) {
        JobId id = job.id;
        post(job, "urgency", Json {{"urgency", value}, {"userid", request.credentials().userid}});
        advance(job);
        co_await durable(id);
    }
    co_return Json::make("old_urgency", old);
}

Task<Json> JobManager::memo(Request request)
{
    Job &job = need(request);
    Json changes = request.get<Json>("memo");
    if (!changes.is_object())
        throw Error(EPROTO, "memo is an object of keys and values, not {}", changes.type_name());
    if (request.find<bool>("volatile").value_or(false)) {
        job.annotations = merge_annotations(job.annotations, Json {{"user", changes}});
        publish_annotations(job, changes);
    } else {
        JobId id = job.id;
        post(job, "memo", changes);
        co_await durable(id);
    }
    co_return Json();
}

// A job became inactive or stopped running. ENOSYS when that is waited for no longer.
Task<> JobManager::changed()
{
    co_await changed_.wait();
    if (stopping_)
        throw unloaded();
}

Task<Json> JobManager::drain(Request)
{
    while (!active_.empty())
        co_await changed();
    co_await writer_.flush(); // whoever asks may look into the KVS next
    co_return Json();
}

// {"ending"?}: with it, an instance that ends waits. Then epilogs without a limit are left after a while: they are on
// record, and begin anew when the instance starts again.
Task<Json> JobManager::idle(Request request)
{
    bool patient = true;
    Timer limit;
    if (request.find<bool>("ending").value_or(false))
        limit = Timer(loop(), seconds(epilog_patience), [this, &patient] {
            patient = false;
            changed_.notify_all();
        });
    while (running_ > 0 && (patient || running_ > count_endless_epilogs()))
        co_await changed();
    if (running_ > 0)
        log(LogLevel::err,
            "the epilog of {} job{} has no timeout and has not ended within {} s: it is cut off, and begins anew "
            "when this instance starts again",
            running_, running_ == 1 ? "" : "s", epilog_patience);
    co_await writer_.flush();
    co_return Json {{"pending", active_.size()}};
}

FLUX_MODULE(job_manager, "job-manager", JobManager)

} // namespace flux
