// sched (rank 0): the scheduler's face, RFC 27 and RFC 28. What is chosen is Machine's business, when and in
// which order the queues'.
//
// Planning goes in slices between which messages are answered. A success carries "R" and leaves committing it
// to the job manager, which writes it with the alloc event.
#include <algorithm>
#include <cmath>
#include <deque>
#include <fstream>
#include <sstream>

#include "common/module/module.hpp"
#include "common/runtime/sync.hpp"
#include "common/types/job_id.hpp"
#include "modules/sched/machine.hpp"
#include "modules/sched/sched_config.hpp"

namespace flux {

using graph::JobQueue;
using graph::QueueDecision;
using graph::QueueOptions;

class Sched : public Module {
public:
    explicit Sched(Context &context) : Module(context)
    {
        serve("alloc", role::owner, &Sched::alloc);
        serve("cancel", role::owner, &Sched::cancel);
        serve("free", role::owner, &Sched::free);
        serve("prioritize", role::owner, &Sched::prioritize);
        serve("expiration", role::owner, &Sched::expiration);
        serve("resource-status", role::any, &Sched::resource_status);
        serve("config-reload", role::owner, &Sched::config_reload);
        serve_topic("feasibility.check", role::any, &Sched::feasibility);
    }
    // The resources are known once every broker has told of its own, and brokers join when this one has
    // started.
    Task<> start() override
    {
        configure(SchedConfig::parse(context().config(), context().arguments()));
        spawn(begin());
        co_await add_service("feasibility");
    }
    Json stats() const override
    {
        Json queues = Json::object();
        for (size_t i = 0; i < queues_.size(); i++)
            queues.set(config_.queues[i].name, queue_stats(queues_[i]));
        size_t allocated = 0, reserved = 0; // jobs
        if (machine_)
            for (const auto &[id, use] : machine_->matcher().jobs())
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
                size_t &queue = pending_.at(JobId(uint64_t(job->id))).queue;
                queue = std::min(fresh.size() - 1, queue);
                fresh[queue].insert(*job);
            }
        queues_ = std::move(fresh);
    }
    Json queue_stats(const JobQueue &queue) const
    {
        const auto &counts = queue.counts();
        static constexpr const char *names[] = {"fcfs", "easy", "hybrid", "conservative"};
        return Json {{"policy", names[size_t(queue.options().policy)]},
                     {"queue_depth", queue.options().queue_depth},
                     {"max_queue_depth", queue.options().max_queue_depth},
                     {"pending", queue.size()},
                     {"action_counts", Json {{"running", counts.started},
                                             {"backfilled", counts.backfilled},
                                             {"reserved", counts.reserved},
                                             {"rejected", counts.denied},
                                             {"passes", counts.passes}}}};
    }

    Task<> begin()
    {
        acquire_ =
            std::make_unique<Stream>(handle().stream("resource.acquire", {}, {}, "resource.acquire-cancel"));
        auto first = co_await acquire_->next();
        if (!first)
            throw Error(EPROTO, "resource.acquire ended before its first answer");
        machine_ = std::make_unique<Machine>(load(first->json().get<Json>("resources")), config_.machine);
        machine_->set_up(value_or_throw(Idset::parse(first->json().get<std::string>("up"))), true);
        spawn(follow_resources());
        Json partial {{"partial-ok", true}};
        auto hello = handle().stream("job-manager.sched-hello", partial);
        while (auto job = co_await hello.next())
            take_over(job->json());
        Json mode {{"mode", "unlimited"}};
        co_await rpc("job-manager.sched-ready", mode);
    }
    // The instance's R, or what the configuration says instead.
    ResourceSet load(const Json &resources) const
    {
        if (config_.load_file.empty())
            return value_or_throw(ResourceSet::from_json(resources));
        std::ifstream file(config_.load_file);
        std::ostringstream text;
        if (!file || !(text << file.rdbuf()))
            throw Error(ENOENT, "[sched-fluxion-resource] load-file: cannot read {}", config_.load_file);
        Json json = Json::parse_or_throw(text.str());
        if (config_.load_format.starts_with("jgf")) {
            auto set = value_or_throw(ResourceSet::from_json(resources));
            set.set_scheduling(json);
            return set;
        }
        return value_or_throw(ResourceSet::from_json(json));
    }
    void take_over(const Json &job)
    {
        if (!job["R"])
            return;
        shown_.allocated = {};
        auto id = job.get<uint64_t>("id");
        auto R = ResourceSet::from_json(job["R"]);
        if (R && job["free"])
            R = R->without(value_or_throw(Idset::parse(job["free"].string_view())));
        auto taken = R ? machine_->take(int64_t(id), *R) : Expected<void>(std::unexpected(R.error()));
        if (!taken)
            log(LogLevel::err, "job {}: its resources cannot be taken over: {}", id, taken.error().text());
    }
    Task<> follow_resources()
    {
        while (auto change = co_await acquire_->next()) {
            const Json &json = change->json();
            auto ranks = [&](const char *key) {
                return value_or_throw(Idset::parse(json[key].string_view()));
            };
            machine_->set_up(ranks("up"), true);
            machine_->set_up(ranks("down"), false);
            if (auto gone = ranks("shrink"); !gone.empty()) {
                machine_->shrink(gone);
                shown_ = {};
                for (auto &queue : queues_)
                    queue.machine_changed();
            }
            if (Json expiration = json["expiration"]; expiration.is_number()) {
                machine_->set_expiration(expiration.as<double>());
                shown_ = {};
            }
            if (!ranks("down").empty())
                spawn(learn_reasons());
            replan();
        }
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
        JobId id(request.get<uint64_t>("id"));
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
        post([this] { plan_slice(); });
    }
    void plan_slice()
    {
        planning_ = false;
        auto now = graph::Time(std::floor(wall_time()));
        bool complete = true;
        std::vector<QueueDecision> decisions;
        // No queue is always the first.
        for (size_t i = 0; i < queues_.size(); i++) {
            auto &queue = queues_[(i + turn_) % queues_.size()];
            complete = queue.plan(machine_->matcher(), now, slice_effort, decisions) && complete;
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
        shown_.allocated = {};
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
        auto now = graph::Time(std::floor(wall_time()));
        std::map<std::string, std::string> known; // jobs that ask for the same wait for the same
        for (auto &queue : queues_) {
            size_t place = 0;
            for (const auto *job : queue.first(told_in_order)) {
                bool looked_at = place++ == 0 || queue.options().policy != QueueOptions::Policy::fcfs;
                Pending &pending = pending_.at(JobId(uint64_t(job->id)));
                tell(*job, pending, looked_at ? reason_of(*job, pending, now, known) : behind_others);
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
        queues_[found->second.queue].remove(int64_t(id.value()), machine_->matcher());
        pending_.erase(found);
        plan_soon();
    }
    void free(Request request)
    {
        auto id = int64_t(request.get<uint64_t>("id"));
        shown_.allocated = {};
        if (request.find<bool>("final").value_or(false))
            machine_->free(id);
        else
            machine_->free(id, value_or_throw(ResourceSet::from_json(request.get<Json>("R"))).ranks());
        replan();
    }
    void prioritize(Request request)
    {
        for (auto pair : request.get<Json>("jobs").elements()) {
            JobId id(pair[size_t(0)].as<uint64_t>());
            if (auto found = pending_.find(id); found != pending_.end())
                queues_[found->second.queue].set_priority(int64_t(id.value()), pair[size_t(1)].as<int64_t>());
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
    Json resource_status(Request &)
    {
        if (!machine_)
            throw Error(EAGAIN, "the scheduler does not know the resources yet");
        if (!shown_.all || shown_.up != machine_->up()) {
            const auto &all = machine_->all();
            shown_.up = machine_->up();
            shown_.all = all.to_json();
            shown_.down = all.without(machine_->up()).to_json();
        }
        if (!shown_.allocated)
            shown_.allocated = machine_->allocated().to_json();
        return Json {{"all", shown_.all}, {"down", shown_.down}, {"allocated", shown_.allocated}};
    }
    Json feasibility(Request &request)
    {
        auto jobspec = value_or_throw(Jobspec::parse(request.get<Json>("jobspec")));
        if (!machine_)
            return {}; // what cannot be judged yet is judged when the job's turn comes
        if (auto ok = machine_->feasible(*value_or_throw(machine_->compile(jobspec))); !ok)
            throw ok.error();
        return {};
    }
    // The match policy and the like hold for the graph and so from the next load on; queues and their
    // policies change now.
    Json config_reload(Request &request)
    {
        configure(SchedConfig::parse(request.json(), context().arguments()));
        replan();
        return {};
    }

    // The last resource-status, as far as it still holds; `all` and `down` are made from these ranks that are
    // up.
    struct Shown {
        Idset up;
        Json all, down, allocated;
    };

    SchedConfig config_;
    std::unique_ptr<Stream> acquire_;
    std::unique_ptr<Machine> machine_;
    Shown shown_;
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
