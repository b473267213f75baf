// What the scheduler hears from the resource module and from the job manager, either of which may go and come
// back.
#include <set>

#include "common/client/follow_service.hpp"
#include "common/graph/formats/formats.hpp"
#include "modules/sched/sched_module.hpp"

namespace flux {

Task<> Sched::begin()
{
    std::function<Task<>()> use = [this] {
        return use_resources();
    };
    std::function<void()> lost = [this] {
        resources_lost();
    };
    co_await follow("resource", use, lost);
}

Task<> Sched::follow(std::string service, std::function<Task<>()> converse, std::function<void()> gone)
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

Task<> Sched::use_resources()
{
    Json args {{"expand", true}};
    auto changes = handle().stream("resource.acquire", args, {}, "resource.acquire-cancel");
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

void Sched::load_machine(const Json &first)
{
    resource_service_.loading();
    of_instance_ = config_.load_file.empty() || config_.load_format.starts_with("jgf");
    if (config_.loads_recipe()) {
        std::string text = config_.read_load_file();
        auto graph = config_.load_format == "grug" ? graph::read_grug(text)
                                                   : graph::read_hwloc(text, config_.load_only);
        if (!graph)
            throw Error(EINVAL, "[sched-fluxion-resource] load-file: {}: {}", config_.load_file,
                        graph.error().text());
        machine_ = std::make_unique<Machine>(std::move(*graph), config_.machine);
    } else {
        machine_ =
            std::make_unique<Machine>(config_.load_resources(first.get<Json>("resources")), config_.machine);
    }
    machine_->matcher().set_clock(
        [this] { return std::chrono::duration<double>(loop().clock().now()).count(); });
    resource_service_.loaded();
    if (!of_instance_) { // whose nodes are in which queue is no business of the file
        auto resources = value_or_throw(ResourceSet::from_json(first.get<Json>("resources")));
        machine_->add_properties(resources.properties());
    }
    machine_->set_up(value_or_throw(Idset::parse(first.get<std::string>("up"))), true);
}

Task<> Sched::meet_job_manager()
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

void Sched::job_manager_gone()
{
    in_touch_ = false;
    early_frees_.clear();
    for (auto &[id, job] : pending_)
        queues_[job.queue].remove(int64_t(id.value()), machine_->matcher());
    pending_.clear();
    untold_.clear();
}

void Sched::free_all_but(const std::vector<Json> &running)
{
    std::set<int64_t> known;
    for (const auto &job : running)
        known.insert(int64_t(job.get<uint64_t>("id")));
    std::vector<int64_t> unknown;
    for (const auto &[id, use] : machine_->matcher().jobs())
        if (!use.reserved && !known.contains(id) && !resource_service_.has_job(id))
            unknown.push_back(id);
    for (const auto &[id, left_out] : machine_->left_out())
        if (!known.contains(id))
            unknown.push_back(id);
    for (auto id : unknown) {
        shown_.use_changed();
        machine_->free(id);
        stats_.forget(id);
    }
}

void Sched::take_over(const Json &job)
{
    auto id = job.get<uint64_t>("id");
    if (!job["R"] || machine_->matcher().find(int64_t(id)) || machine_->left_out().contains(int64_t(id)))
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
            stats_.started(config_.queues[config_.queue_of(job["queue"].string_view())].name, int64_t(id));
        else
            failed = taken.error();
    } catch (const Error &error) {
        failed = error;
    }
    if (failed)
        cannot_take_over(id, *failed);
}

// Others would be given what it has.
void Sched::cannot_take_over(uint64_t id, const Error &error)
{
    auto note = fmt::format("its resources cannot be taken over: {}", error.text());
    log(LogLevel::err, "job {}: {}", id, note);
    handle().notify("job-manager.raise",
                    Json {{"id", id}, {"type", "scheduler-restart"}, {"severity", 0}, {"note", note}});
}

void Sched::resources_lost()
{
    if (!machine_)
        return;
    log(LogLevel::warning, "the resource module is gone: nothing is scheduled until there is one again");
    Idset up = machine_->up();
    machine_->set_up(up, false);
    machine_->set_reason(up, "the resource module is gone");
    availability_changed();
}

void Sched::acquired_again(const Json &first)
{
    auto up = value_or_throw(Idset::parse(first.get<std::string>("up")));
    auto now = value_or_throw(ResourceSet::from_json(first.get<Json>("resources")));
    if (of_instance_) {
        expand(now);
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

void Sched::apply_change(const Json &json)
{
    auto ranks = [&](const char *key) {
        return value_or_throw(Idset::parse(json[key].string_view()));
    };
    auto properties = [&](const char *key) {
        return value_or_throw(ResourceSet::parse_properties(json[key]));
    };
    if (Json more = json["expand"])
        expand(value_or_throw(ResourceSet::from_json(more)));
    if (json["property-add"])
        machine_->add_properties(properties("property-add"));
    if (json["property-remove"])
        machine_->remove_properties(properties("property-remove"));
    if (json["property-add"] || json["property-remove"])
        machine_changed();
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

void Sched::expand(const ResourceSet &nodes)
{
    if (!of_instance_)
        return; // the file says what there is
    Idset fresh = machine_->expand(nodes);
    if (!fresh.empty())
        log(LogLevel::notice, "rank {} is new", fresh.format());
    for (const auto &[id, error] : machine_->take_left_out(fresh))
        cannot_take_over(uint64_t(id), error);
    shown_.use_changed();
    machine_changed();
}

void Sched::availability_changed()
{
    resource_service_.tell_watchers();
    replan();
}

Task<> Sched::learn_reasons()
{
    auto status = co_await rpc("resource.status");
    for (auto [ranks, drain] : status.json()["drain"].members())
        if (auto set = Idset::parse(ranks); set && drain["reason"].is_string())
            machine_->set_reason(*set, drain["reason"].string_view());
}

} // namespace flux
