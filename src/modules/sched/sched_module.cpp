// sched (rank 0): the scheduler's face, RFC 27 and RFC 28. What is chosen is Machine's business, when and in
// which order the queues'.
//
// Planning goes in slices between which messages are answered. A success carries "R" and leaves committing it
// to the job manager, which writes it with the alloc event.
#include <algorithm>
#include <cmath>
#include <deque>
#include <set>

#include "common/client/follow_service.hpp"
#include "common/module/module.hpp"
#include "common/runtime/sync.hpp"
#include "common/types/job_id.hpp"
#include "modules/sched/queue_stats.hpp"
#include "modules/sched/resource_service.hpp"
#include "modules/sched/status_view.hpp"

namespace flux {

using graph::JobQueue;
using graph::QueueDecision;
using graph::QueueOptions;

class Sched : public Module, private SchedulerAccess {
public:
    explicit Sched(Context &context) : Module(context), resource_service_(handle(), *this)
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
    // The resources are known once every broker has told of its own, and brokers join when this one has
    // started.
    Task<> start() override
    {
        configure(SchedConfig::parse(context().config(), context().arguments()));
        for (const auto *name : {"feasibility", "sched-fluxion-resource", "sched-fluxion-qmanager"})
            co_await add_service(name);
        spawn(begin()); // the last: what is not loaded yet cannot be removed
    }
    Json stats() const override
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

private:
    static constexpr size_t slice_effort =
        64; // of planning, before messages get their turn (a few ms at most)
    static constexpr size_t told_in_order = 20; // jobs of a queue whose reasons are kept up to date
    static constexpr size_t told_at_once = 200; // reasons in one turn of the loop
    static constexpr const char *behind_others = "waits for the jobs before it in the queue";
    static constexpr double tell_after = 1.0; // seconds for which a job waits before it is told why

    struct Pending {
        Request request;
        size_t queue;
        std::shared_ptr<const graph::JobRequest> wanted;
        double duration;
        std::string reason; // that was told last
        std::optional<graph::Time> estimate;
        bool estimate_told = true;
    };

    void configure(SchedConfig config)
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

    // --- what the further services see of this one
    bool ready() const override { return ready_; }
    Machine &machine() override
    {
        if (!ready_)
            throw Error(EAGAIN, "the scheduler does not know the resources yet");
        return *machine_;
    }
    const SchedConfig &config() const override { return config_; }
    graph::Time now() const override { return graph::Time(std::floor(wall_time())); }
    uint32_t brokers() const override { return size(); }
    bool is_pending(int64_t id) const override { return pending_.contains(JobId(uint64_t(id))); }
    Json status() override
    {
        if (!machine_)
            throw Error(EAGAIN, "the scheduler does not know the resources yet");
        return shown_.get(*machine_);
    }
    void use_changed(bool freed) override
    {
        shown_.use_changed();
        if (freed)
            replan();
    }
    void machine_changed() override
    {
        shown_.machine_changed();
        for (auto &queue : queues_)
            queue.machine_changed();
        resource_service_.tell_watchers();
        plan_soon();
    }
    Json queue_params(Request &) { return Json {{"params", config_.queue_params}}; }
    Json queue_stats(Request &)
    {
        Json queues = Json::object();
        for (size_t i = 0; i < queues_.size(); i++)
            queues.set(config_.queues[i].name, stats_.full(config_.queues[i].name, queues_[i]));
        return Json {{"queues", queues}};
    }
    Json clear_queue_stats(Request &)
    {
        stats_.clear();
        return {};
    }

    // A scheduler that cannot begin, or go on, ends: so everybody sees that there is none.
    Task<> begin()
    {
        std::function<Task<>()> use = [this] {
            return use_resources();
        };
        std::function<void()> lost = [this] {
            resources_lost();
        };
        co_await follow("resource", use, lost);
    }
    Task<> follow(std::string service, std::function<Task<>()> converse, std::function<void()> gone)
    {
        std::optional<Error> failed;
        try {
            co_await follow_service(handle(), std::move(service), std::move(converse), std::move(gone));
            co_return; // the broker ends
        } catch (const Error &error) {
            failed = error;
        }
        log(LogLevel::crit, "the scheduler ends: {}", failed->text());
        handle().notify("module.remove", Json {{"name", context().name()}});
    }
    // What a resource module has to tell, until it goes.
    Task<> use_resources()
    {
        auto changes = handle().stream("resource.acquire", {}, {}, "resource.acquire-cancel");
        auto first = co_await changes.next();
        if (!first)
            throw Error(EPROTO, "resource.acquire ended before its first answer");
        if (machine_) {
            acquired_again(first->json());
        } else {
            load_machine(first->json());
            std::function<Task<>()> meet = [this] {
                return meet_job_manager();
            };
            spawn(follow("job-manager", meet, [this] { job_manager_gone(); }));
        }
        while (auto change = co_await changes.next())
            apply_change(change->json());
    }
    void load_machine(const Json &first)
    {
        resource_service_.loading();
        machine_ =
            std::make_unique<Machine>(config_.load_resources(first.get<Json>("resources")), config_.machine);
        machine_->matcher().set_clock(
            [this] { return std::chrono::duration<double>(loop().clock().now()).count(); });
        resource_service_.loaded();
        machine_->set_up(value_or_throw(Idset::parse(first.get<std::string>("up"))), true);
    }
    // RFC 27. A job manager that was loaded again has of those that were given something only whom it has on
    // record.
    Task<> meet_job_manager()
    {
        Json partial {{"partial-ok", true}};
        auto hello = handle().stream("job-manager.sched-hello", partial);
        std::vector<Json> running;
        while (auto job = co_await hello.next())
            running.push_back(job->json());
        free_all_but(running);
        for (const auto &job : running)
            take_over(job);
        ready_ = in_touch_ = true;
        for (const auto &request : std::exchange(early_frees_, {}))
            free_now(request);
        resource_service_.tell_watchers();
        Json mode {{"mode", "unlimited"}};
        co_await rpc("job-manager.sched-ready", mode);
    }
    // Those that asked for something went with it. What runs keeps what it has until there is a job manager
    // again.
    void job_manager_gone()
    {
        in_touch_ = false;
        early_frees_.clear();
        for (auto &[id, job] : pending_)
            queues_[job.queue].remove(int64_t(id.value()), machine_->matcher());
        pending_.clear();
        untold_.clear();
    }
    void free_all_but(const std::vector<Json> &running)
    {
        std::set<int64_t> known;
        for (const auto &job : running)
            known.insert(int64_t(job.get<uint64_t>("id")));
        std::vector<int64_t> unknown;
        for (const auto &[id, use] : machine_->matcher().jobs())
            if (!use.reserved && !known.contains(id) && !resource_service_.has_job(id))
                unknown.push_back(id);
        for (auto id : unknown) {
            shown_.use_changed();
            machine_->free(id);
            stats_.forget(id);
        }
    }
    void take_over(const Json &job)
    {
        auto id = job.get<uint64_t>("id");
        if (!job["R"] || machine_->matcher().find(int64_t(id)))
            return;
        shown_.use_changed();
        std::optional<Error> failed;
        try {
            auto R = value_or_throw(ResourceSet::from_json(job["R"]));
            if (job["free"])
                R = R.without(value_or_throw(Idset::parse(job["free"].string_view())));
            auto taken = machine_->take(int64_t(id), R);
            if (!taken && taken.error().errnum() == ENOENT) {
                log(LogLevel::warning, "job {}: {}: the rest of its resources is taken over", id,
                    taken.error().text());
                taken = machine_->take_rest(int64_t(id), R);
            }
            if (taken)
                stats_.started(config_.queues[config_.queue_of(job["queue"].string_view())].name,
                               int64_t(id));
            else
                failed = taken.error();
        } catch (const Error &error) {
            failed = error;
        }
        if (!failed)
            return;
        // Others would be given what it has.
        auto note = fmt::format("its resources cannot be taken over: {}", failed->text());
        log(LogLevel::err, "job {}: {}", id, note);
        handle().notify("job-manager.raise",
                        Json {{"id", id}, {"type", "scheduler-restart"}, {"severity", 0}, {"note", note}});
    }
    // Nothing is given out until a resource module tells what is up.
    void resources_lost()
    {
        if (!machine_)
            return;
        log(LogLevel::warning, "the resource module is gone: nothing is scheduled until there is one again");
        Idset up = machine_->up();
        machine_->set_up(up, false);
        machine_->set_reason(up, "the resource module is gone");
        availability_changed();
    }
    void acquired_again(const Json &first)
    {
        auto up = value_or_throw(Idset::parse(first.get<std::string>("up")));
        auto now = value_or_throw(ResourceSet::from_json(first.get<Json>("resources")));
        if (config_.load_file.empty()) {
            auto missing = machine_->all();
            missing.subtract(now);
            if (!missing.empty())
                log(LogLevel::warning, "{} of the resources are no more: their ranks stay down",
                    missing.summary());
            up -= missing.ranks();
            machine_->set_expiration(now.expiration());
        }
        machine_->set_up(up, true);
        log(LogLevel::notice, "the resources are acquired again");
        if (up != machine_->all().ranks())
            spawn(learn_reasons());
        availability_changed();
    }
    void apply_change(const Json &json)
    {
        auto ranks = [&](const char *key) {
            return value_or_throw(Idset::parse(json[key].string_view()));
        };
        machine_->set_up(ranks("up"), true);
        machine_->set_up(ranks("down"), false);
        if (auto gone = ranks("shrink"); !gone.empty()) {
            machine_->shrink(gone);
            machine_changed();
        }
        if (Json expiration = json["expiration"]; expiration.is_number()) {
            machine_->set_expiration(expiration.as<double>());
            shown_.machine_changed();
        }
        if (!ranks("down").empty())
            spawn(learn_reasons());
        availability_changed();
    }
    void availability_changed()
    {
        resource_service_.tell_watchers();
        replan();
    }
    // RFC 28 says that ranks are down, the resource module also why.
    Task<> learn_reasons()
    {
        auto status = co_await rpc("resource.status");
        for (auto [ranks, drain] : status.json()["drain"].members())
            if (auto set = Idset::parse(ranks); set && drain["reason"].is_string())
                machine_->set_reason(*set, drain["reason"].string_view());
    }

    void alloc(Request request)
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
                                  request.find<double>("t_submit").value_or(0), wanted};
            size_t queue = config_.queue_of(jobspec.queue());
            pending_.insert_or_assign(
                id, Pending {std::move(request), queue, std::move(wanted), jobspec.duration()});
            queues_[queue].insert(std::move(job));
            untold_.push_back(id);
            plan_soon();
        } catch (const Error &error) {
            request.respond(Json {{"id", id.value()}, {"type", 2}, {"note", error.text()}});
        }
    }

    // --- planning
    void replan()
    {
        for (auto &queue : queues_)
            queue.restart();
        plan_soon();
    }
    void plan_soon()
    {
        if (planning_ || !machine_)
            return;
        planning_ = true;
        handle().post_background([this] { plan_slice(); });
    }
    void plan_slice()
    {
        planning_ = false;
        bool complete = true;
        std::vector<QueueDecision> decisions;
        graph::allow_counting(queues_, machine_->matcher());
        // No queue is always the first.
        for (size_t i = 0; i < queues_.size(); i++) {
            auto &queue = queues_[(i + turn_) % queues_.size()];
            complete = queue.plan(machine_->matcher(), now(), slice_effort, decisions) && complete;
        }
        turn_++;
        for (auto &decision : decisions)
            carry_out(decision);
        if (!complete)
            return plan_soon();
        watch_estimates();
        tell_later();
    }
    void carry_out(QueueDecision &decision)
    {
        auto found = pending_.find(JobId(uint64_t(decision.id)));
        FLUX_ASSERT(found != pending_.end());
        Pending &job = found->second;
        switch (decision.kind) {
        case QueueDecision::Kind::estimate:
            job.estimate = decision.estimate;
            job.estimate_told = false;
            untold_.push_back(found->first);
            return;
        case QueueDecision::Kind::deny:
            stats_.rejected(config_.queues[job.queue].name, decision.id);
            job.request.respond(Json {{"id", decision.id}, {"type", 2}, {"note", decision.text}});
            break;
        case QueueDecision::Kind::start:
            start_job(decision.id, job);
            break;
        }
        pending_.erase(found);
    }
    void start_job(int64_t id, Pending &job)
    {
        ResourceSet R = machine_->resources_of(*machine_->matcher().find(id), job.wanted.get());
        double now = wall_time();
        double limit = machine_->all().expiration();
        R.set_starttime(now);
        shown_.use_changed();
        stats_.started(config_.queues[job.queue].name, id);
        R.set_expiration(job.duration > 0
                             ? (limit > 0 ? std::min(limit, now + job.duration) : now + job.duration)
                             : limit);
        ++allocations_;
        Json sched {{"resource_summary", R.summary()}};
        if (!job.reason.empty())
            sched.set("reason_pending", nullptr);
        if (job.estimate)
            sched.set("t_estimate", nullptr);
        job.request.respond(
            Json {{"id", id}, {"type", 0}, {"R", R.to_json()}, {"annotations", Json {{"sched", sched}}}});
    }

    // --- what jobs that wait are told
    // A job that was to start by now, and did not: what was expected to end has not. The plan is made anew.
    void watch_estimates()
    {
        auto next = graph::Planner::forever;
        for (const auto &queue : queues_)
            next = std::min(next, queue.next_estimate());
        if (next == graph::Planner::forever) {
            estimate_timer_ = {};
            return;
        }
        double delay = std::max(1.0, double(next) - wall_time() + 1);
        estimate_timer_ = Timer(loop(), seconds(delay), [this] { replan(); });
    }
    void tell_later()
    {
        if (telling_ || pending_.empty())
            return;
        telling_ = true;
        spawn(tell_reasons());
    }
    Task<> tell_reasons()
    {
        co_await sleep_for(loop(), seconds(tell_after));
        telling_ = false;
        std::map<std::string, std::string> known; // jobs that ask for the same wait for the same
        for (auto &queue : queues_) {
            size_t place = 0;
            for (const auto *job : queue.first(told_in_order)) {
                bool looked_at = place++ == 0 || queue.options().policy != QueueOptions::Policy::fcfs;
                Pending &pending = pending_.at(JobId(uint64_t(job->id)));
                tell(*job, pending, looked_at ? reason_of(*job, pending, now(), known) : behind_others);
            }
        }
        // Those behind them hear that once, and what is expected of them when that changes.
        for (size_t told = 0; !untold_.empty() && told < told_at_once; untold_.pop_front()) {
            auto found = pending_.find(untold_.front());
            if (found == pending_.end() || (!found->second.reason.empty() && found->second.estimate_told))
                continue;
            auto *job = queues_[found->second.queue].find(int64_t(found->first.value()));
            told += tell(*job, found->second, behind_others);
        }
        if (!untold_.empty())
            tell_later();
    }
    std::string reason_of(const graph::QueuedJob &job, const Pending &pending, graph::Time now,
                          std::map<std::string, std::string> &known)
    {
        Json jobspec = pending.request.get<Json>("jobspec");
        std::string key = jobspec["resources"].dump() + pending.wanted->constraint.dump();
        if (machine_->matcher().find(job.id)) // a reservation, which is in the way of others only
            return machine_->matcher().explain_job(job.id, *job.request, now);
        auto [found, added] = known.try_emplace(key);
        if (added)
            found->second = machine_->matcher().explain(*job.request, now);
        return found->second;
    }
    bool tell(const graph::QueuedJob &job, Pending &pending, const std::string &reason)
    {
        if (reason == pending.reason && pending.estimate_told)
            return false;
        pending.reason = reason;
        Json sched {{"reason_pending", reason}};
        if (!pending.estimate_told)
            sched.set("t_estimate", pending.estimate ? Json(double(*pending.estimate)) : Json(nullptr));
        pending.estimate_told = true;
        pending.request.respond(Json {{"id", job.id}, {"type", 1}, {"annotations", Json {{"sched", sched}}}});
        return true;
    }

    // --- what the job manager tells
    void cancel(Request request)
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
    // One that overtakes the hello's last answers is of a job that is still to be taken over.
    void free(Request request)
    {
        if (in_touch_)
            free_now(request);
        else
            early_frees_.push_back(std::move(request));
    }
    void free_now(const Request &request)
    {
        auto id = int64_t(request.get<uint64_t>("id"));
        shown_.use_changed();
        if (request.find<bool>("final").value_or(false)) {
            machine_->free(id);
            stats_.freed(id);
        } else
            machine_->free(id, value_or_throw(ResourceSet::from_json(request.get<Json>("R"))).ranks());
        replan();
    }
    void prioritize(Request request)
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
    Json expiration(Request &request)
    {
        auto id = int64_t(request.get<uint64_t>("id"));
        auto end = graph::Time(std::ceil(request.get<double>("expiration")));
        if (machine_ && end > 0)
            if (auto changed = machine_->matcher().set_end(id, end); !changed)
                throw changed.error();
        replan();
        return {};
    }
    Json resource_status(Request &) { return status(); }
    Json feasibility(Request &request)
    {
        auto jobspec = value_or_throw(Jobspec::parse(request.get<Json>("jobspec")));
        if (!machine_)
            return {}; // what cannot be judged yet is judged when the job's turn comes
        if (auto ok = machine_->feasible(*value_or_throw(machine_->compile(jobspec))); !ok)
            throw ok.error();
        return {};
    }
    // Jobs keep what they have, and those that wait are looked at anew. What graph there is was decided when
    // the module was loaded.
    Json config_reload(Request &request)
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

    SchedConfig config_;
    std::unique_ptr<Machine> machine_;
    ResourceService resource_service_;
    StatusView shown_;
    QueueStats stats_;
    bool ready_ = false;               // the machine is known with what is in use
    bool in_touch_ = false;            // with a job manager, that was told so
    std::vector<Request> early_frees_; // until the hello has ended: at most one for each running job
    std::vector<JobQueue> queues_;
    std::unordered_map<JobId, Pending> pending_;
    std::deque<JobId> untold_; // there is something that they were not told
    size_t turn_ = 0;
    bool planning_ = false;
    bool telling_ = false;
    Timer estimate_timer_;
    uint64_t allocations_ = 0;
};

FLUX_MODULE(sched, "sched", Sched)

} // namespace flux
