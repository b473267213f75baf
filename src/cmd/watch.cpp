// flux watch: the output of jobs that were submitted before.
#include <algorithm>

#include "cmd/attach.hpp"
#include "cmd/commands.hpp"
#include "cmd/job_select.hpp"
#include "cmd/print.hpp"
#include "cmd/progress.hpp"
#include "common/job/job_state.hpp"
#include "common/runtime/sync.hpp"

namespace flux::cmd {

namespace {

class Watch {
public:
    Watch(Session &flux, const Args &args)
        : flux_(flux), args_(args), changed_(flux.handle().loop()),
          gate_(flux.handle().loop(), [this](const Error &error) { failed(error); })
    {
    }

    Task<int> run(std::vector<JobId> ids)
    {
        if (args_.has("progress"))
            progress_ = std::make_unique<ProgressBar>(flux_.handle().loop(), ids.size(), args_.has("jps"));
        left_ = ids.size();
        for (JobId id : ids)
            gate_.spawn(one(id));
        while (left_ > 0)
            co_await changed_.wait();
        progress_.reset();
        co_return status_;
    }

private:
    Task<> one(JobId id)
    {
        AttachOptions options {.label = args_.has("label-io")};
        if (progress_)
            progress_->submitted();
        JobEnd end = co_await attach_job(flux_, id, options, progress_.get());
        status_ = std::max(status_, end.exit_code());
        report_end(id, end, true);
        done();
    }

    void failed(const Error &error)
    {
        warn("flux-watch: ERROR: {}", error.what());
        status_ = std::max(status_, 1);
        done();
    }

    void done()
    {
        left_--;
        changed_.notify_all();
    }

    Session &flux_;
    const Args &args_;
    size_t left_ = 0;
    int status_ = 0;
    std::unique_ptr<ProgressBar> progress_;
    Condition changed_;
    Gate gate_;
};

Task<int> watch_all(Session &flux, const Args &args, std::vector<JobId> ids)
{
    Watch watch(flux, args);
    co_return co_await watch.run(std::move(ids));
}

int run_watch(const Args &args, Session &flux)
{
    bool selects = args.has("active") || args.has("all") || args.has("filter") || args.has("since");
    if (args.size() == 0 && !selects)
        throw UsageError("say which jobs: JOBID..., or --active, --all, --filter, --since");
    std::vector<JobId> ids;
    for (size_t i = 0; i < args.size(); i++)
        ids.push_back(args.job_id(i));
    if (ids.empty()) {
        auto selection = JobSelection::from(args, flux.loop().clock().wall_time());
        for (const auto &job : select_jobs(flux, selection, {"t_submit"}))
            ids.emplace_back(job.get<uint64_t>("id"));
        std::sort(ids.begin(), ids.end());
    }
    if (ids.empty())
        warn("flux-watch: no job matches");
    return flux.run(watch_all(flux, args, ids));
}

} // namespace

const Command watch {
    .name = "watch",
    .args = "[JOBID...]",
    .summary = "Show the output of jobs until they have ended",
    .options = {{"-a,--active", "of all active jobs"},
                {"-A,--all", "of all jobs"},
                {"-c,--count=N", "of at most N (default 1000; 0: all)"},
                {"--since=WHEN", "of those that were active since then (-2h, yesterday)"},
                {"-f,--filter=STATE|RESULT", "of those in these states or with these results"},
                {"-l,--label-io", "prefix lines with their task's rank"},
                {"--progress", "show how many have ended"},
                {"--jps", "with --progress, show jobs per second"}},
    .run = run_watch,
};

} // namespace flux::cmd
