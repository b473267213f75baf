// Jobs as they come in, and what they wait for.
#include "common/base/quote.hpp"
#include "modules/job-manager/job_manager.hpp"

namespace flux {

Task<Json> JobManager::submit(Request request)
{
    Json errors = Json::array();
    KvsWriter::Ticket ticket = 0;
    std::vector<JobId> admitted;
    Json jobs = request.get<Json>("jobs");
    for (auto item : jobs.elements())
        item.get<uint64_t>("id"); // whoever does not say which jobs has none of them admitted
    for (auto item : jobs.elements()) {
        JobId id(item.get<uint64_t>("id"));
        if (auto refused = admit(item)) {
            errors.append(Json::array().append(id.value()).append(valid_utf8(*refused)));
            continue;
        }
        ticket = std::max(ticket, find(id)->ticket);
        admitted.push_back(id);
    }
    if (ticket) {
        spawn(settle(std::move(admitted), ticket)); // also when nobody waits for the answer any more
        co_await submissions_.wait(ticket);
    }
    co_return errors.empty() ? Json::object() : Json {{"errors", errors}};
}

// Jobs begin their life when their submission is durable; one that cannot be stored never was.
Task<> JobManager::settle(std::vector<JobId> ids, KvsWriter::Ticket ticket)
{
    bool stored = true;
    try {
        co_await submissions_.wait(ticket);
    } catch (const Error &error) {
        stored = false;
        log(LogLevel::err, "{} jobs could not be stored and are refused: {}", ids.size(), error.text());
    }
    for (auto id : ids) {
        Job *job = find(id);
        if (!job)
            continue;
        if (!stored) {
            discard(*job);
            continue;
        }
        job->submitting = false;
        job->ticket = 0; // that was the other writer's
        flush(*job);
        advance(*job);
    }
}

void JobManager::discard(Job &job)
{
    auto id = job.id;
    waitable_ -= job.waitable();
    leave_singletons(job);
    begin_timers_.erase(id);
    active_.erase(id);
    changed_.notify_all();
}

// Makes the job, or says why not.
std::optional<std::string> JobManager::admit(const Json &item)
{
    JobId id(item.get<uint64_t>("id"));
    if (active_.contains(id) || inactive_.contains(id))
        return fmt::format("job {} exists already", id);
    auto job = std::make_unique<Job>();
    job->id = id;
    std::vector<Dependency> dependencies;
    std::string signed_jobspec;
    Json submit_context;
    try { // everything that may fail, before anything of the job is anywhere
        job->userid = item.get<uint32_t>("userid");
        job->jobspec = item.get<Json>("jobspec");
        job->environment = item.value<std::string>("environment", "");
        signed_jobspec = item.get<std::string>("J");
        submit_context = Json {{"userid", job->userid},
                               {"urgency", item.get<int>("urgency")},
                               {"flags", item.get<uint32_t>("flags")},
                               {"version", 1}};
        std::string queue_name(job->jobspec.at("attributes", "system", "queue").string_view());
        if (!queues_.contains(queue_name))
            throw Error(EINVAL, "Invalid queue '{}' specified", queue_name);
        if (auto &queue = queues_.at(queue_name); !queue.enabled)
            throw Error(EINVAL, "job submission{} is disabled: {}",
                        queue_name.empty() ? "" : " to " + queue_name, queue.disable_reason);
        dependencies = check_dependencies(*job);
    } catch (const Error &error) {
        return error.text();
    }
    Job &added = *(active_[id] = std::move(job));
    max_jobid_ = std::max(max_jobid_, id.value());
    added.submitting = true;
    submissions_.put(id.kvs_path("J"), signed_jobspec);
    submissions_.put(id.kvs_path("jobspec"), added.jobspec.dump());
    post(added, "submit", submit_context);
    waitable_ += added.waitable();
    post(added, "validate");
    add_dependencies(added, dependencies, true);
    added.ticket = submissions_.append(id.kvs_path("eventlog"), added.unwritten);
    added.eventlog += std::exchange(added.unwritten, {});
    return std::nullopt;
}

// EINVAL when one can never be met.
std::vector<Dependency> JobManager::check_dependencies(const Job &job) const
{
    std::vector<Dependency> out;
    Json list = job.jobspec.at("attributes", "system", "dependencies");
    for (auto json : list.elements()) {
        auto dependency = value_or_throw(Dependency::from(json));
        if (dependency.kind == Dependency::Kind::singleton &&
            job.jobspec.at("attributes", "system", "job")["name"].string_view().empty())
            throw Error(EINVAL, "dependency singleton: the job needs a name (--job-name)");
        if (!dependency.has_antecedent()) {
            out.push_back(std::move(dependency));
            continue;
        }
        auto active = active_.find(dependency.on);
        auto ended = inactive_.find(dependency.on);
        if (active == active_.end() && ended == inactive_.end())
            throw Error(EINVAL, "dependency {}: there is no job {}", json["scheme"].string_view(), dependency.on);
        if (active != active_.end()) {
            if (dependency.kind != Dependency::Kind::start || !active->second->started)
                out.push_back(std::move(dependency));
        } else if (dependency.judge(ended->second) == Dependency::Outcome::never)
            throw Error(EINVAL, "dependency {}:{} can never be met: that job ended as {}",
                        json["scheme"].string_view(), dependency.on, result_name(ended->second.result));
    }
    return out;
}

// With `announce` the events are posted; otherwise the job has them already, and those it no longer waits for are
// left out.
void JobManager::add_dependencies(Job &job, const std::vector<Dependency> &dependencies, bool announce)
{
    bool singleton = false;
    for (const auto &dependency : dependencies) {
        if (announce && !job.dependencies.contains(dependency.description))
            post(job, "dependency-add", Json {{"description", dependency.description}});
        if (!job.dependencies.contains(dependency.description))
            continue;
        if (dependency.kind == Dependency::Kind::singleton) {
            singleton = true;
        } else if (dependency.kind == Dependency::Kind::begin_time) {
            begin_timers_[job.id].emplace_back(
                loop(), seconds(dependency.time - wall_time()),
                [this, id = job.id, what = dependency.description] { dependency_met(id, what); });
        } else if (auto ended = inactive_.find(dependency.on); ended != inactive_.end()) {
            handle().post([this, id = dependency.on] { // it ended while we were down
                if (auto found = inactive_.find(id); found != inactive_.end())
                    antecedent_ended(id, found->second);
            });
            dependencies_.add(job.id, dependency);
        } else
            dependencies_.add(job.id, dependency);
    }
    join_singletons(job, singleton);
}

void JobManager::dependency_met(JobId id, const std::string &description)
{
    Job *job = find(id);
    if (!job || job->state != JobState::depend || !job->dependencies.contains(description))
        return;
    post(*job, "dependency-remove", Json {{"description", description}});
    advance(*job);
}

void JobManager::antecedent_started(JobId id)
{
    for (const auto &waiting : dependencies_.started(id))
        dependency_met(waiting.dependent, waiting.dependency.description);
}

void JobManager::antecedent_ended(JobId id, const EndedJob &ended)
{
    for (const auto &waiting : dependencies_.ended(id)) {
        if (waiting.dependency.judge(ended) == Dependency::Outcome::met) {
            dependency_met(waiting.dependent, waiting.dependency.description);
            continue;
        }
        Job *job = find(waiting.dependent);
        if (job && job->state == JobState::depend && job->dependencies.contains(waiting.dependency.description))
            raise_exception(*job, "dependency", 0,
                            fmt::format("dependency {} can never be met: job {} ended as {}",
                                        waiting.dependency.description, id, result_name(ended.result)),
                            Job::userid_none);
    }
}

// Only jobs that were given a name are counted.
void JobManager::join_singletons(Job &job, bool held)
{
    auto name = job.jobspec.at("attributes", "system", "job")["name"];
    if (!name)
        return;
    job.singleton = true;
    if (singletons_.add(Singletons::key(job.userid, name.string_view()), job.id, held))
        dependency_met(job.id, "singleton");
}

void JobManager::leave_singletons(Job &job)
{
    if (!std::exchange(job.singleton, false))
        return;
    auto name = job.jobspec.at("attributes", "system", "job")["name"];
    if (auto next = singletons_.remove(Singletons::key(job.userid, name.string_view()), job.id))
        dependency_met(*next, "singleton");
}

} // namespace flux
