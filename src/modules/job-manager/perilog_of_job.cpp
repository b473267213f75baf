// What prolog and epilog mean for a job (RFC 21): it is not started before its prolog has finished, and its
// resources are not free before its epilog has. One that was cut off by a restart runs again from its
// beginning.
#include "common/job/job_exit.hpp"
#include "modules/job-manager/job_manager.hpp"

namespace flux {

namespace {

Json description_of(Perilog which)
{
    return Json(fmt::format("job-manager.{}", perilog_name(which)));
}

std::string reason_for_drain(Perilog which, const PerilogRun::Outcome &outcome, JobId id)
{
    const char *what = outcome.canceled    ? "canceled then timed out"
                       : outcome.timed_out ? "timed out"
                                           : "failed";
    return fmt::format("{} {} for job {}", perilog_name(which), what, id);
}

} // namespace

// Its resources are given to it, and it has not been launched.
void JobManager::begin_prolog(Job &job)
{
    if (perilog_configs_.prolog)
        post(job, "prolog-start", Json {{"description", description_of(Perilog::prolog)}});
}

// Of a job of which nothing runs any more: something has run, or its prolog has.
bool JobManager::epilog_due(const Job &job) const
{
    return perilog_configs_.epilog && !job.had_epilog && (job.finished || job.released || job.had_prolog);
}

size_t JobManager::count_endless_epilogs()
{
    return size_t(std::ranges::count_if(perilogs_, [this](const auto &entry) {
        const Job *job = find(entry.first);
        return job && job->epilogs > 0 && entry.second.run->config().timeout <= 0;
    }));
}

void JobManager::begin_epilog(Job &job)
{
    post(job, "epilog-start", Json {{"description", description_of(Perilog::epilog)}});
}

// Whatever the job has begun is under way, or is ended because the job is. Waits for an execution service, as
// jobs do.
void JobManager::tend_perilog(Job &job)
{
    if (auto found = perilogs_.find(job.id); found != perilogs_.end()) {
        const auto &[run, exceptions] = found->second;
        if (job.fatal_exceptions > exceptions && run->config().cancel_on_exception)
            run->cancel();
        return;
    }
    if (exec_service_.empty() || stopping_)
        return;
    auto which = job.prologs ? Perilog::prolog : Perilog::epilog;
    auto config = perilog_configs_.of(which).value_or(PerilogConfig());
    auto output = [this, id = job.id, which](uint32_t rank, std::string_view stream, std::string_view line) {
        log_perilog(id, which, rank, stream, line);
    };
    auto run = std::make_shared<PerilogRun>(handle(), conversations_, config, PerilogRun::Hooks {output});
    perilogs_[job.id] = {run, job.fatal_exceptions};
    if (job.fatal && which == Perilog::prolog && config.cancel_on_exception)
        run->cancel();
    conversations_.spawn(run_perilog(job.id, which, run));
}

Task<> JobManager::run_perilog(JobId id, Perilog which, std::shared_ptr<PerilogRun> run)
{
    co_await yield_to(loop()); // whoever advances the job goes on first
    Job *job = find(id);
    FLUX_ASSERT(job); // none ends before its prolog and epilog
    PerilogRun::Outcome outcome;
    if (run->config().command.empty()) {
        outcome.status = wait_status_of_exit(1);
        outcome.note = "was cut off, and is not configured any more";
    } else {
        auto ranks = value_or_throw(ResourceSet::from_json(job->R)).ranks();
        auto where = run->config().per_rank ? ranks : Idset {0};
        outcome = co_await run->run(id, job->userid, owner(), ranks, where);
    }
    perilogs_.erase(id);
    job = find(id);
    FLUX_ASSERT(job);
    conclude_perilog(*job, which, run->config(), outcome);
}

void JobManager::conclude_perilog(Job &job, Perilog which, const PerilogConfig &config,
                                  const PerilogRun::Outcome &outcome)
{
    std::string name = perilog_name(which);
    Idset broken = outcome.left;
    if (!outcome.canceled)
        broken |= outcome.failed;
    if (config.per_rank && !broken.empty()) {
        auto reason = reason_for_drain(which, outcome, job.id);
        handle().notify("resource.drain",
                        Json {{"targets", broken.format()}, {"reason", reason}, {"mode", "update"}});
    }
    if (!outcome.left.empty())
        log(LogLevel::err, "{}: rank {}: it is given up", reason_for_drain(which, outcome, job.id),
            outcome.left.format());
    if (!outcome.note.empty())
        post(job, "exception",
             Json {{"type", name}, {"severity", 0}, {"note", fmt::format("{} {}", name, outcome.note)}});
    post(job, name + "-finish", Json {{"description", description_of(which)}, {"status", outcome.status}});
    advance(job);
}

void JobManager::log_perilog(JobId id, Perilog which, uint32_t rank, std::string_view stream,
                             std::string_view line)
{
    for (const auto &pattern : perilog_configs_.log_ignore)
        if (std::regex_search(line.begin(), line.end(), pattern))
            return;
    log(stream == "stderr" ? LogLevel::err : LogLevel::info, "{}: {}: rank {}: {}: {}", id,
        perilog_name(which), rank, stream, line);
}

uint32_t JobManager::owner() const
{
    return uint32_t(std::stoul(context().attribute("security.owner").value_or("0")));
}

} // namespace flux
