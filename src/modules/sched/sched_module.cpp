// sched (rank 0): the scheduler's face, RFC 27 and RFC 28. Jobs in order of priority, then id (so submit
// time); the first that must wait holds back the others. What is chosen is Placement's business.
//
// A success carries "R" and leaves committing it to the job manager, which writes it with the alloc event.
#include <algorithm>
#include <cmath>

#include "common/module/module.hpp"
#include "common/types/job_id.hpp"
#include "modules/sched/placement.hpp"

namespace flux {

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
        serve_topic("feasibility.check", role::any, &Sched::feasibility);
    }
    // The resources are known once every broker has told of its own, and brokers join when this one has started.
    Task<> start() override
    {
        spawn(begin());
        co_await add_service("feasibility");
    }
    Json stats() const override { return Json {{"pending", pending_.size()}, {"allocations", allocations_}}; }

private:
    struct Pending {
        Request request;
        int64_t priority;
        JobShape shape;
        Json constraint;
        double duration;
    };
    using Key = std::pair<int64_t, JobId>; // -priority, id

    Task<> begin()
    {
        acquire_ =
            std::make_unique<Stream>(handle().stream("resource.acquire", {}, {}, "resource.acquire-cancel"));
        auto first = co_await acquire_->next();
        if (!first)
            throw Error(EPROTO, "resource.acquire ended before its first answer");
        placement_ = Placement(value_or_throw(ResourceSet::from_json(first->json().get<Json>("resources"))));
        placement_.set_up(value_or_throw(Idset::parse(first->json().get<std::string>("up"))), true);
        spawn(follow_resources());
        Json partial {{"partial-ok", true}};
        auto hello = handle().stream("job-manager.sched-hello", partial);
        while (auto job = co_await hello.next())
            take_over(job->json());
        Json mode {{"mode", "unlimited"}};
        co_await rpc("job-manager.sched-ready", mode);
    }
    void take_over(const Json &job)
    {
        if (!job["R"])
            return;
        auto R = ResourceSet::from_json(job["R"]);
        if (R && job["free"])
            R = R->without(value_or_throw(Idset::parse(job["free"].string_view())));
        auto taken = R ? placement_.take(*R) : Expected<void>(std::unexpected(R.error()));
        if (!taken)
            log(LogLevel::err, "job {}: its resources cannot be taken over: {}", job.get<uint64_t>("id"),
                taken.error().text());
    }
    Task<> follow_resources()
    {
        while (auto change = co_await acquire_->next()) {
            auto ranks = [&](const char *key) {
                return value_or_throw(Idset::parse(change->json()[key].string_view()));
            };
            placement_.set_up(ranks("up"), true);
            placement_.set_up(ranks("down"), false);
            schedule();
        }
    }
    void alloc(Request request)
    {
        JobId id(request.get<uint64_t>("id"));
        try {
            auto jobspec = value_or_throw(Jobspec::parse(request.get<Json>("jobspec")));
            auto priority = request.get<int64_t>("priority");
            auto shape = value_or_throw(jobspec.shape());
            if (auto ok = placement_.feasible(shape, jobspec.constraints()); !ok)
                throw ok.error();
            Pending job {std::move(request), priority, shape, jobspec.constraints(), jobspec.duration()};
            Key key {-job.priority, id};
            bool first = queue_.empty() || key < *queue_.begin();
            queue_.insert(key);
            pending_.insert_or_assign(id, std::move(job));
            if (first) // behind a job that waits, this one waits too
                schedule();
        } catch (const Error &error) {
            request.respond(Json {{"id", id.value()}, {"type", 2}, {"note", error.text()}});
        }
    }
    void schedule()
    {
        while (!queue_.empty()) {
            JobId id = queue_.begin()->second;
            auto &job = pending_.at(id);
            auto R = placement_.allocate(job.shape, job.constraint);
            if (!R)
                return;
            double now = wall_time();
            double limit = placement_.all().expiration();
            R->set_starttime(now);
            R->set_expiration(job.duration > 0
                                  ? (limit > 0 ? std::min(limit, now + job.duration) : now + job.duration)
                                  : limit);
            ++allocations_;
            job.request.respond(
                Json {{"id", id.value()},
                      {"type", 0},
                      {"R", R->to_json()},
                      {"annotations", Json {{"sched", Json {{"resource_summary", R->summary()}}}}}});
            queue_.erase(queue_.begin());
            pending_.erase(id);
        }
    }
    void cancel(Request request)
    {
        JobId id(request.get<uint64_t>("id"));
        auto found = pending_.find(id);
        if (found == pending_.end())
            return;
        found->second.request.respond(Json {{"id", id.value()}, {"type", 3}});
        Key key {-found->second.priority, id};
        bool first = key == *queue_.begin();
        queue_.erase(key);
        pending_.erase(found);
        if (first)
            schedule();
    }
    void free(Request request)
    {
        placement_.free(value_or_throw(ResourceSet::from_json(request.get<Json>("R"))));
        schedule();
    }
    void prioritize(Request request)
    {
        for (auto pair : request.get<Json>("jobs").elements()) {
            JobId id(pair[size_t(0)].as<uint64_t>());
            auto found = pending_.find(id);
            if (found == pending_.end())
                continue;
            queue_.erase({-found->second.priority, id});
            found->second.priority = pair[size_t(1)].as<int64_t>();
            queue_.insert({-found->second.priority, id});
        }
        schedule();
    }
    Json expiration(Request &request)
    {
        request.get<uint64_t>("id");
        return {}; // first fit makes no plans that an expiration could spoil
    }
    Json resource_status(Request &)
    {
        const auto &all = placement_.all();
        return Json {{"all", all.to_json()},
                     {"down", all.without(placement_.up()).to_json()},
                     {"allocated", placement_.allocated().to_json()}};
    }
    Json feasibility(Request &request)
    {
        auto jobspec = value_or_throw(Jobspec::parse(request.get<Json>("jobspec")));
        if (auto ok = placement_.feasible(value_or_throw(jobspec.shape()), jobspec.constraints()); !ok)
            throw ok.error();
        return {};
    }

    std::unique_ptr<Stream> acquire_;
    Placement placement_;
    std::set<Key> queue_;
    std::unordered_map<JobId, Pending> pending_;
    uint64_t allocations_ = 0;
};

FLUX_MODULE(sched, "sched", Sched)

} // namespace flux
