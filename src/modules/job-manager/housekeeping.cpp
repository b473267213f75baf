// Housekeeping (flux-config-job-manager(5)): when a job is through, a command runs on each of its ranks
// before the scheduler has its resources back. The job is inactive then: what keeps its resources is a
// Housekeeping, of which there is a record in the KVS, so that it runs again when it was cut off by a
// restart.
#include <csignal>

#include "common/kvs/treeobj.hpp"
#include "modules/job-manager/job_manager.hpp"

namespace flux {

namespace {

constexpr const char *directory = "job-manager.housekeeping";
constexpr int list_directory = 1; // flag of kvs.lookup

std::string key_of(JobId id)
{
    return fmt::format("{}.{}", directory, id.dec());
}

Json part_of(const Json &R, const Idset &ranks)
{
    auto set = value_or_throw(ResourceSet::from_json(R)).subset(ranks);
    Json out = set.to_json();
    out.erase("scheduling");
    return out;
}

} // namespace

// The job's last event is posted next: record and event are of one commit.
void JobManager::begin_housekeeping(const Job &job)
{
    auto &house = housekeepings_[job.id];
    house.job = Json {{"userid", job.userid},
                      {"priority", job.priority},
                      {"t_submit", job.t_submit},
                      {"queue", job.jobspec.at("attributes", "system", "queue")}};
    house.R = job.R;
    house.allocated = house.pending = value_or_throw(ResourceSet::from_json(job.R)).ranks();
    house.t_start = wall_time();
    save(job.id, house);
    tend_housekeeping(job.id, house);
}

// Before the scheduler hears: whoever is given what is released has its resources on record after this.
void JobManager::save(JobId id, const Housekeeping &house)
{
    Json record = house.job.shallow_copy();
    record.set("allocated", house.allocated.format());
    writer_.put(key_of(id), record.dump());
}

// Waits for an execution service, as jobs do.
void JobManager::tend_housekeeping(JobId id, Housekeeping &house)
{
    if (house.run || exec_service_.empty() || stopping_)
        return;
    PerilogRun::Hooks hooks;
    hooks.output = [this, id](uint32_t rank, std::string_view stream, std::string_view line) {
        log_perilog(id, Perilog::housekeeping, rank, stream, line);
    };
    hooks.ended = [this, id](uint32_t rank, bool well) {
        housekeeping_ended(id, rank, well);
    };
    house.run = std::make_shared<PerilogRun>(handle(), conversations_,
                                             perilog_configs_.housekeeping.value_or(PerilogConfig()), hooks);
    conversations_.spawn(run_housekeeping(id, house.run));
}

Task<> JobManager::run_housekeeping(JobId id, std::shared_ptr<PerilogRun> run)
{
    co_await yield_to(loop());
    auto &house = housekeepings_.at(id); // stays until this has ended
    auto ranks = value_or_throw(ResourceSet::from_json(house.R)).ranks();
    if (!run->config().command.empty()) // else it is not configured any more
        co_await run->run(id, house.job.get<uint32_t>("userid"), owner(), ranks, house.pending);
    release(id, house, house.allocated);
    housekeepings_.erase(id);
    writer_.unlink(key_of(id));
}

void JobManager::housekeeping_ended(JobId id, uint32_t rank, bool well)
{
    auto found = housekeepings_.find(id);
    if (found == housekeepings_.end())
        return;
    auto &house = found->second;
    house.pending.remove(rank);
    if (!well)
        handle().notify("resource.drain", Json {{"targets", fmt::format("{}", rank)},
                                                {"reason", fmt::format("housekeeping failed for job {}", id)},
                                                {"mode", "update"}});
    double after = house.run->config().release_after;
    if (after < 0 || house.pending.empty())
        return;
    if (house.releasing || after == 0) {
        release(id, house, house.allocated - house.pending);
    } else if (!house.timer_set) {
        house.timer_set = true;
        house.release = Timer(loop(), seconds(after), [this, id, &house] {
            house.releasing = true;
            release(id, house, house.allocated - house.pending);
        });
    }
}

// The scheduler gets them back. One that says hello later hears what is left.
void JobManager::release(JobId id, Housekeeping &house, const Idset &ranks)
{
    if (ranks.empty())
        return;
    house.allocated -= ranks;
    if (!house.allocated.empty())
        save(id, house);
    if (sched_known_)
        handle().notify(
            "sched.free",
            Json {{"id", id.value()}, {"R", part_of(house.R, ranks)}, {"final", house.allocated.empty()}});
}

// As if the jobs still had what their housekeepings keep.
void JobManager::tell_of_housekeepings(Request &hello) const
{
    bool partial = hello.find<bool>("partial-ok").value_or(false);
    for (const auto &[id, house] : housekeepings_) {
        Json out = house.job.shallow_copy();
        out.set("id", id.value()).set("R", house.R);
        Idset freed = value_or_throw(ResourceSet::from_json(house.R)).ranks() - house.allocated;
        if (partial && !freed.empty())
            out.set("free", freed.format());
        hello.respond(out);
    }
}

Task<> JobManager::load_housekeepings()
{
    Json args {{"key", directory}, {"namespace", "primary"}, {"flags", list_directory}};
    std::vector<JobId> ids;
    try {
        auto answer = co_await rpc("kvs.lookup", args);
        for (auto [name, unused] : treeobj::entries(answer.json()["val"]).members())
            ids.push_back(value_or_throw(JobId::parse(name)));
    } catch (const Error &error) {
        if (error.errnum() != ENOENT)
            throw;
    }
    for (auto id : ids) {
        Housekeeping house;
        try {
            house.job = Json::parse_or_throw(co_await lookup(key_of(id)));
            house.R = Json::parse_or_throw(co_await lookup(id.kvs_path("R")));
            house.allocated = value_or_throw(Idset::parse(house.job.get<std::string>("allocated")));
        } catch (const Error &error) {
            log(LogLevel::err, "{}: its housekeeping cannot be taken up again: {}", id, error.text());
            writer_.unlink(key_of(id));
            continue;
        }
        if (!perilog_configs_.housekeeping) { // nor would it begin now
            writer_.unlink(key_of(id));
            continue;
        }
        house.job.erase("allocated");
        house.pending = house.allocated;
        house.t_start = wall_time();
        housekeepings_[id] = std::move(house);
    }
}

// {"signal","jobid"?,"ranks"?}: to all housekeeping, or that of one job or on those ranks.
Json JobManager::housekeeping_kill(Request &request)
{
    auto signum = request.find<int>("signal").value_or(SIGTERM);
    if (signum < 1 || signum > 64)
        throw Error(EINVAL, "{} is no signal number", signum);
    auto jobid = request.find<uint64_t>("jobid");
    auto ranks = request.find<std::string>("ranks");
    auto targets = ranks ? value_or_throw(Idset::parse(*ranks)) : Idset();
    for (auto &[id, house] : housekeepings_)
        if (house.run && (!jobid || JobId(*jobid) == id))
            house.run->kill(ranks ? targets & house.pending : house.pending, signum);
    return {};
}

Json JobManager::housekeeping_stats() const
{
    Json running = Json::object();
    for (const auto &[id, house] : housekeepings_)
        running.set(id.f58(), Json {{"pending", house.pending.format()},
                                    {"allocated", house.allocated.format()},
                                    {"t_start", house.t_start}});
    const auto &config = perilog_configs_.housekeeping;
    std::string command = config ? fmt::format("{}", fmt::join(config->command, " ")) : "";
    return Json {
        {"running", running},
        {"config", Json {{"release-after", config ? config->release_after : -1.0}, {"command", command}}}};
}

} // namespace flux
