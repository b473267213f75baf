#include "modules/sched/sched_module.hpp"

namespace flux {

Sched::Sched(Context &context) : Module(context), resource_service_(handle(), *this)
{
    serve("alloc", role::owner, &Sched::alloc);
    serve("cancel", role::owner, &Sched::cancel);
    serve("free", role::owner, &Sched::free);
    serve("prioritize", role::owner, &Sched::prioritize);
    serve("expiration", role::owner, &Sched::expiration);
    serve("resource-status", role::any, &Sched::resource_status);
    serve("config-reload", role::owner, &Sched::config_reload);
    serve_topic("feasibility.check", role::any, &Sched::feasibility);
    serve_topic("sched-fluxion-qmanager.params", role::any, &Sched::queue_params);
    serve_topic("sched-fluxion-qmanager.stats-get", role::any, &Sched::queue_stats);
    serve_topic("sched-fluxion-qmanager.stats-clear", role::owner, &Sched::clear_queue_stats);
}

Task<> Sched::start()
{
    configure(SchedConfig::parse(context().config(), context().arguments()));
    for (const auto *name : {"feasibility", "sched-fluxion-resource", "sched-fluxion-qmanager"})
        co_await add_service(name);
    spawn(begin()); // the last: what is not loaded yet cannot be removed
}

Json Sched::stats() const
{
    Json queues = Json::object();
    for (size_t i = 0; i < queues_.size(); i++)
        queues.set(config_.queues[i].name, QueueStats::summary(queues_[i]));
    size_t allocated = 0, reserved = 0; // jobs
    if (machine_)
        for (const auto &[id, use] : machine_->matcher().jobs())
            if (!resource_service_.has_job(id))
                ++(use.reserved ? reserved : allocated);
    return Json {{"pending", pending_.size()},
                 {"allocations", allocations_},
                 {"matched", Json {{"allocated", allocated}, {"reserved", reserved}}},
                 {"queues", queues}};
}

void Sched::configure(SchedConfig config)
{
    config_ = std::move(config);
    std::vector<JobQueue> fresh;
    for (const auto &queue : config_.queues)
        fresh.emplace_back(queue.options);
    for (auto &old : queues_)
        for (const auto *job : old.first(old.size())) {
            if (machine_ && machine_->matcher().find(job->id))
                (void)machine_->matcher().cancel(job->id); // a reservation
            Pending &pending = pending_.at(JobId(uint64_t(job->id)));
            Json name = pending.request.get<Json>("jobspec").at("attributes", "system", "queue");
            pending.queue = config_.queue_of(name.string_view());
            fresh[pending.queue].insert(*job);
        }
    queues_ = std::move(fresh);
}

Machine &Sched::machine()
{
    if (!ready_)
        throw Error(EAGAIN, "the scheduler does not know the resources yet");
    return *machine_;
}

Json Sched::status()
{
    if (!machine_)
        throw Error(EAGAIN, "the scheduler does not know the resources yet");
    return shown_.get(*machine_);
}

void Sched::use_changed(bool freed)
{
    shown_.use_changed();
    if (freed)
        replan();
}

void Sched::machine_changed()
{
    shown_.machine_changed();
    for (auto &queue : queues_)
        queue.machine_changed();
    resource_service_.tell_watchers();
    plan_soon();
}

Json Sched::queue_stats(Request &)
{
    Json queues = Json::object();
    for (size_t i = 0; i < queues_.size(); i++)
        queues.set(config_.queues[i].name, stats_.full(config_.queues[i].name, queues_[i]));
    return Json {{"queues", queues}};
}

Json Sched::clear_queue_stats(Request &)
{
    stats_.clear();
    return {};
}

void Sched::alloc(Request request)
{
    if (!in_touch_)
        return request.fail(Error(EAGAIN, "the scheduler does not know yet what is in use"));
    JobId id(request.get<uint64_t>("id"));
    if (pending_.contains(id) || machine_->matcher().find(int64_t(id.value())))
        return request.fail(Error(EEXIST, "job {} {} already", id,
                                  pending_.contains(id) ? "waits for resources" : "has resources"));
    try {
        auto jobspec = value_or_throw(Jobspec::parse(request.get<Json>("jobspec")));
        auto wanted = value_or_throw(machine_->compile(jobspec));
        if (auto ok = machine_->feasible(*wanted); !ok)
            throw ok.error();
        graph::QueuedJob job {int64_t(id.value()), request.get<int64_t>("priority"),
                              request.find<double>("t_submit").value_or(0), wanted, true};
        size_t queue = config_.queue_of(jobspec.queue());
        pending_.insert_or_assign(id,
                                  Pending {std::move(request), queue, std::move(wanted), jobspec.duration()});
        queues_[queue].insert(std::move(job));
        untold_.push_back(id);
        plan_soon();
    } catch (const Error &error) {
        request.respond(Json {{"id", id.value()}, {"type", 2}, {"note", error.text()}});
    }
}

void Sched::cancel(Request request)
{
    JobId id(request.get<uint64_t>("id"));
    auto found = pending_.find(id);
    if (found == pending_.end())
        return;
    found->second.request.respond(Json {{"id", id.value()}, {"type", 3}});
    stats_.canceled(config_.queues[found->second.queue].name, int64_t(id.value()));
    queues_[found->second.queue].remove(int64_t(id.value()), machine_->matcher());
    pending_.erase(found);
    plan_soon();
}

void Sched::free(Request request)
{
    if (in_touch_)
        free_now(request);
    else
        early_frees_.push_back(std::move(request));
}

void Sched::free_now(const Request &request)
{
    auto id = int64_t(request.get<uint64_t>("id"));
    shown_.use_changed();
    if (const auto *use = machine_->matcher().find(id))
        for (auto &queue : queues_)
            queue.freed(use->end);
    if (request.find<bool>("final").value_or(false)) {
        machine_->free(id);
        stats_.freed(id);
    } else
        machine_->free(id, value_or_throw(ResourceSet::from_json(request.get<Json>("R"))).ranks());
    plan_soon();
}

void Sched::prioritize(Request request)
{
    for (auto pair : request.get<Json>("jobs").elements()) {
        JobId id(pair[size_t(0)].as<uint64_t>());
        auto found = pending_.find(id);
        if (found == pending_.end())
            continue;
        queues_[found->second.queue].set_priority(int64_t(id.value()), pair[size_t(1)].as<int64_t>());
        stats_.reprioritized(config_.queues[found->second.queue].name);
    }
    plan_soon();
}

Json Sched::expiration(Request &request)
{
    auto id = int64_t(request.get<uint64_t>("id"));
    auto end = graph::Time(std::ceil(request.get<double>("expiration")));
    if (machine_ && end > 0)
        if (auto changed = machine_->set_end(id, end); !changed)
            throw changed.error();
    replan();
    return {};
}

Json Sched::feasibility(Request &request)
{
    auto jobspec = value_or_throw(Jobspec::parse(request.get<Json>("jobspec")));
    if (!machine_)
        return {}; // what cannot be judged yet is judged when the job's turn comes
    if (auto ok = machine_->feasible(*value_or_throw(machine_->compile(jobspec))); !ok)
        throw ok.error();
    return {};
}

Json Sched::config_reload(Request &request)
{
    auto fresh = SchedConfig::parse(request.json(), context().arguments());
    if (fresh.load_file != config_.load_file || fresh.load_format != config_.load_format)
        log(LogLevel::warning, "[sched-fluxion-resource] load-file and load-format hold from the next "
                               "load of the module on (flux module reload sched)");
    configure(std::move(fresh));
    if (machine_) {
        machine_->reconfigure(config_.machine);
        machine_changed();
    }
    return {};
}

FLUX_MODULE(sched, "sched", Sched)

} // namespace flux
