#include "modules/sched/resource_service.hpp"

#include "common/graph/find.hpp"
#include "modules/sched/request_field.hpp"

namespace flux {

using graph::MatchOp;

ResourceService::ResourceService(Handle &handle, SchedulerAccess &scheduler)
    : handle_(handle), scheduler_(scheduler), changed_(handle.loop())
{
    serve("match", role::owner, &ResourceService::match);
    handle.serve(fmt::format("{}.match_multi", name), role::owner,
                 Handle::StreamHandler([this](Request request) { return match_multi(std::move(request)); }));
    serve("update", role::owner, &ResourceService::update);
    serve("cancel", role::owner, &ResourceService::cancel);
    serve("partial-cancel", role::owner, &ResourceService::partial_cancel);
    serve("info", role::any, &ResourceService::info);
    serve("next_jobid", role::owner, &ResourceService::next_jobid);
    serve("stats-get", role::any, &ResourceService::stats_get);
    serve("stats-clear", role::owner, &ResourceService::stats_clear);
    serve("find", role::any, &ResourceService::find);
    serve("status", role::any, &ResourceService::status);
    serve("ns-info", role::any, &ResourceService::ns_info);
    serve("params", role::any, &ResourceService::params);
    handle.serve(fmt::format("{}.notify", name), role::any,
                 Handle::StreamHandler([this](Request request) { return notify(std::move(request)); }));
    serve("set_property", role::owner, &ResourceService::set_property);
    serve("remove_property", role::owner, &ResourceService::remove_property);
    serve("get_property", role::any, &ResourceService::get_property);
    serve("set_status", role::owner, &ResourceService::set_status);
    serve("add_subgraph", role::owner, &ResourceService::add_subgraph);
    serve("remove_subgraph", role::owner, &ResourceService::remove_subgraph);
}

void ResourceService::serve(const char *method, uint32_t roles,
                            Json (ResourceService::*member)(const Json &request))
{
    handle_.serve(fmt::format("{}.{}", name, method), roles,
                  Handle::PlainHandler([this, member](Request &r) { return (this->*member)(r.json()); }));
}

// The id of a job that is to come.
int64_t ResourceService::new_id(const Json &request) const
{
    auto id = request_field<int64_t>(request, "jobid");
    if (id < 0)
        throw Error(EINVAL, "key \"jobid\": {} is negative", id);
    if (scheduler_.is_pending(id))
        throw Error(EINVAL, "key \"jobid\": {} is a job in a queue", id);
    if (scheduler_.machine().matcher().find(id))
        throw Error(EINVAL, "key \"jobid\": job {} has resources already", id);
    if (jobs_.size() >= max_jobs)
        throw Error(ENOSPC, "{} jobs have resources already", max_jobs);
    return id;
}

int64_t ResourceService::own_id(const Json &request) const
{
    auto id = request_field<int64_t>(request, "jobid");
    if (jobs_.contains(id))
        return id;
    if (scheduler_.is_pending(id) || scheduler_.machine().matcher().find(id))
        throw Error(EINVAL, "key \"jobid\": job {} is the job manager's: use flux cancel", id);
    throw Error(ENOENT, "there is no job {}", id);
}

Json ResourceService::answer(const graph::JobUse &use, const Job &job)
{
    const Machine &machine = scheduler_.machine();
    std::string R =
        graph::emit(machine.matcher().graph(), use.allocation, use.start, use.end, machine.format());
    return Json {
        {"jobid", use.id}, {"status", job.status}, {"overhead", job.overhead}, {"R", R}, {"at", job.at}};
}

Json ResourceService::match_one(MatchOp op, int64_t id, const Json &text)
{
    Machine &machine = scheduler_.machine();
    auto jobspec = Jobspec::parse(text);
    auto wanted = jobspec ? machine.compile(*jobspec) : std::unexpected(jobspec.error());
    if (!wanted)
        throw Error(EINVAL, "key \"jobspec\": {}", wanted.error().text());
    auto match = machine.matcher().match(op, id, **wanted, scheduler_.now());
    if (!match && match.error().errnum() == ENODEV)
        throw Error(ENODEV, "never satisfiable: {}",
                    machine.matcher().explain_never(**wanted, scheduler_.now()));
    if (!match && match.error().errnum() == EBUSY)
        throw Error(EBUSY, "{}", machine.matcher().explain(**wanted, scheduler_.now()));
    if (!match)
        throw Error(EINVAL, "key \"jobspec\": {}", match.error().text());
    graph::JobUse &use = match->use;
    use.id = id;
    if (!graph::allocates(op))
        return answer(use, {"MATCHED", use.start, use.overhead});
    Job job {use.reserved ? "RESERVED" : "ALLOCATED", use.start, use.overhead};
    jobs_.insert_or_assign(id, job);
    next_id_ = std::max(next_id_, id < INT64_MAX ? id + 1 : id);
    scheduler_.use_changed(false);
    return answer(use, job);
}

namespace {

MatchOp match_op(const Json &request)
{
    return request_choice(request, "cmd", graph::parse_match_op,
                          "allocate, allocate_with_satisfiability, allocate_orelse_reserve, satisfiability, "
                          "without_allocating, without_allocating_future");
}

} // namespace

Json ResourceService::match(const Json &request)
{
    auto op = match_op(request);
    int64_t id = new_id(request);
    return match_one(op, id, request_json(request, "jobspec"));
}

// The queues get their turn between two jobs.
Task<> ResourceService::match_multi(Request request)
{
    request.require_streaming();
    auto op = match_op(request.json());
    Json jobs = request_field<Json>(request.json(), "jobs");
    if (!jobs.is_array())
        throw Error(EINVAL, "key \"jobs\": expected an array, found {}", jobs.type_name());
    for (size_t i = 0; i < jobs.size(); i++) {
        Json job = jobs[i];
        int errnum = 0;
        try {
            int64_t id = new_id(job);
            Json jobspec = request_field<Json>(job, "jobspec");
            if (jobspec.is_string())
                jobspec = request_json(job, "jobspec");
            request.respond(match_one(op, id, jobspec));
        } catch (const Error &error) {
            if (!job["jobid"].is_integer())
                throw;
            errnum = error.errnum();
        }
        if (errnum != 0)
            throw Error(errnum, "jobid={}", job["jobid"].dump());
        co_await yield_to(handle_.loop());
    }
}

// Takes what R says for a job that has it already.
Json ResourceService::update(const Json &request)
{
    Machine &machine = scheduler_.machine();
    int64_t id = new_id(request);
    Duration begin = handle_.loop().clock().now();
    auto R = ResourceSet::from_json(request_json(request, "R"));
    auto taken = R ? machine.take(id, *R) : Expected<void>(std::unexpected(R.error()));
    if (!taken && (taken.error().errnum() == EBUSY || taken.error().errnum() == ENOENT))
        throw taken.error();
    if (!taken)
        throw Error(EINVAL, "key \"R\": {}", taken.error().text());
    const auto &use = *machine.matcher().find(id);
    double seconds = std::chrono::duration<double>(handle_.loop().clock().now() - begin).count();
    Job job {"ALLOCATED", use.start, seconds};
    jobs_.insert_or_assign(id, job);
    next_id_ = std::max(next_id_, id < INT64_MAX ? id + 1 : id);
    scheduler_.use_changed(false);
    return answer(use, job);
}

void ResourceService::end_job(int64_t id)
{
    auto job = jobs_.extract(id).mapped();
    job.status = "CANCELED";
    if (ended_.insert_or_assign(id, job).second)
        ended_order_.push_back(id);
    if (ended_order_.size() > max_ended_kept) {
        ended_.erase(ended_order_.front());
        ended_order_.pop_front();
    }
    scheduler_.use_changed(true);
}

Json ResourceService::cancel(const Json &request)
{
    int64_t id = own_id(request);
    scheduler_.machine().free(id);
    end_job(id);
    return {};
}

Json ResourceService::partial_cancel(const Json &request)
{
    int64_t id = own_id(request);
    auto R = ResourceSet::from_json(request_json(request, "R"));
    if (!R)
        throw Error(EINVAL, "key \"R\": {}", R.error().text());
    bool all = value_or_throw(scheduler_.machine().release(id, *R));
    if (all)
        end_job(id);
    else
        scheduler_.use_changed(true);
    return Json {{"full-removal", int(all)}};
}

Json ResourceService::info(const Json &request)
{
    auto id = request_field<int64_t>(request, "jobid");
    auto told = [&](const Job &job) {
        return Json {{"jobid", id}, {"status", job.status}, {"at", job.at}, {"overhead", job.overhead}};
    };
    if (auto found = jobs_.find(id); found != jobs_.end())
        return told(found->second);
    if (const auto *use = scheduler_.machine().matcher().find(id))
        return told({use->reserved ? "RESERVED" : "ALLOCATED", use->start, use->overhead});
    if (auto found = ended_.find(id); found != ended_.end())
        return told(found->second);
    throw Error(ENOENT, "there is no job {}", id);
}

Json ResourceService::next_jobid(const Json &)
{
    const auto &matcher = scheduler_.machine().matcher();
    int64_t id = next_id_;
    while (matcher.find(id) || scheduler_.is_pending(id))
        id = id < INT64_MAX ? id + 1 : 0;
    return Json {{"jobid", id}};
}

} // namespace flux
