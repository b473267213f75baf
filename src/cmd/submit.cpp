// flux submit and flux run: a program as a job. run is submit that attaches.
#include <algorithm>
#include <list>

#include "cmd/commands.hpp"
#include "cmd/print.hpp"
#include "cmd/submit_options.hpp"
#include "common/runtime/sync.hpp"
#include "common/types/idset.hpp"

namespace flux::cmd {

namespace {

AttachOptions attach_options(const Args &args)
{
    AttachOptions out {.label = args.has("label-io") && !args.has("output")};
    out.wait_event = args.value("wait-event");
    std::string input = args.value("input");
    if (input == "all" || (!input.empty() && Idset::parse(input)))
        out.stdin_ranks = input;
    return out;
}

// One copy per id of --cc or --bcc: "{cc}" in the command becomes the id; --cc also sets FLUX_JOB_CC.
struct Copy {
    Submission submission;
};

std::string with_id(std::string text, const std::string &id)
{
    for (size_t at = 0; (at = text.find("{cc}", at)) != std::string::npos; at += id.size())
        text.replace(at, 4, id);
    return text;
}

std::vector<Copy> copies(const Args &args)
{
    std::string option = args.has("cc") ? "cc" : args.has("bcc") ? "bcc" : "";
    if (option.empty())
        return {Copy {make_submission(args)}};
    if (args.has("cc") && args.has("bcc"))
        throw UsageError("--cc and --bcc exclude each other");
    std::vector<Copy> out;
    for (uint32_t id : value_or_throw(Idset::parse(args.value(option)))) {
        Args own = args;
        for (auto &word : own.positional_)
            word = with_id(word, fmt::format("{}", id));
        for (const char *name : {"output", "error", "input", "job-name"})
            for (auto &word : own.options_[name])
                word = with_id(word, fmt::format("{}", id));
        Copy copy {make_submission(own)};
        if (option == "cc")
            copy.submission.jobspec.set_path("attributes.system.environment.FLUX_JOB_CC",
                                             fmt::format("{}", id));
        out.push_back(std::move(copy));
    }
    return out;
}

// Many jobs at once: submits them all, then waits for those that are to be waited for.
class Bulk {
public:
    Bulk(Handle &handle, const Args &args, std::vector<Copy> copies)
        : handle_(handle), args_(args), copies_(std::move(copies)), changed_(handle.loop()),
          gate_(handle.loop(), [this](const Error &error) { failed(error); }), started_(handle.loop().now())
    {
    }

    Task<int> run()
    {
        left_ = copies_.size();
        for (const auto &copy : copies_)
            gate_.spawn(one(copy));
        while (left_ > 0)
            co_await changed_.wait();
        if (args_.has("progress"))
            warn("");
        co_return status_;
    }

private:
    Task<> one(const Copy &copy)
    {
        JobId id = co_await submit_job(handle_, copy.submission);
        if (!args_.has("quiet")) {
            print("{}\n", id_text(id));
            std::fflush(stdout);
        }
        if (args_.has("wait") || args_.has("watch") || args_.has("wait-event") || args_.has("progress")) {
            AttachOptions options = attach_options(args_);
            options.with_output = args_.has("watch");
            JobEnd end = co_await attach_job(handle_, id, options);
            status_ = std::max(status_, end.exit_code());
            if (args_.has("wait") || args_.has("watch"))
                report_end(id, end, true);
        }
        done();
    }
    void failed(const Error &error)
    {
        warn("flux-submit: ERROR: {}", error.what());
        status_ = std::max(status_, 1);
        done();
    }
    void done()
    {
        left_--;
        if (args_.has("progress"))
            show_progress();
        changed_.notify_all();
    }
    void show_progress()
    {
        size_t total = copies_.size();
        size_t ended = total - left_;
        double rate = double(ended) / std::max(1e-6, to_seconds(handle_.loop().now() - started_));
        std::string speed = args_.has("jps") ? fmt::format(" {:.1f} job/s", rate) : "";
        std::string text = fmt::format("\rPD:{} CD:{}/{}{} ", left_, ended, total, speed);
        std::fputs(text.c_str(), stderr);
    }

    Handle &handle_;
    const Args &args_;
    std::vector<Copy> copies_;
    size_t left_ = 0;
    int status_ = 0;
    Condition changed_;
    Gate gate_;
    Duration started_;
};

Task<int> submit_all(Handle &handle, const Args &args, std::vector<Copy> copies)
{
    Bulk bulk(handle, args, std::move(copies));
    co_return co_await bulk.run();
}

bool show_dry_run(const Args &args, const std::vector<Copy> &copies)
{
    if (!args.has("dry-run"))
        return false;
    for (const auto &copy : copies)
        print("{}\n", copy.submission.jobspec.dump());
    return true;
}

int run_submit(const Args &args, Session &flux)
{
    auto all = copies(args);
    if (show_dry_run(args, all))
        return 0;
    return flux.run(submit_all(flux.handle(), args, std::move(all)));
}

Task<JobId> submit_one(Handle &handle, Submission submission)
{
    co_return co_await submit_job(handle, submission);
}

int run_run(const Args &args, Session &flux)
{
    std::vector<Copy> one {Copy {make_submission(args)}};
    if (show_dry_run(args, one))
        return 0;
    JobId id = flux.run(submit_one(flux.handle(), one[0].submission));
    if (args.has("verbose"))
        warn("jobid: {}", id_text(id));
    AttachOptions options = attach_options(args);
    options.with_stdin = true;
    JobEnd end = flux.run(attach_job(flux.handle(), id, options));
    report_end(id, end, false);
    return end.exit_code();
}

std::vector<Option> with(std::vector<Option> options, std::initializer_list<Option> more)
{
    options.insert(options.end(), more);
    return options;
}

} // namespace

const Command submit {
    .name = "submit",
    .args = "PROGRAM ARGS",
    .summary = "Submit a program as a job and show its id",
    .options =
        with(submission_options(), {{"--cc=IDSET", "a copy for each id; {cc} and FLUX_JOB_CC are the id"},
                                    {"--bcc=IDSET", "the same without FLUX_JOB_CC"},
                                    {"--wait", "wait until all have ended"},
                                    {"--watch", "and show their output"},
                                    {"--wait-event=NAME", "wait until each has this event"},
                                    {"--progress", "show how many have ended"},
                                    {"--jps", "with --progress, show jobs per second"}}),
    .runs_program = true,
    .run = run_submit,
};

const Command run {
    .name = "run",
    .args = "PROGRAM ARGS",
    .summary = "Run a program as a job: its output and exit code are this command's",
    .options = with(submission_options(), {{"--wait-event=NAME", "return when the job has this event"}}),
    .runs_program = true,
    .run = run_run,
};

} // namespace flux::cmd
