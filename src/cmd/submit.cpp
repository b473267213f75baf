// flux submit and flux run: a program as a job. run is submit that attaches.
#include <algorithm>
#include <fcntl.h>
#include <unistd.h>

#include "cmd/attach.hpp"
#include "cmd/commands.hpp"
#include "cmd/print.hpp"
#include "cmd/progress.hpp"
#include "cmd/submit_options.hpp"
#include "common/runtime/sync.hpp"
#include "common/types/idset.hpp"

namespace flux::cmd {

namespace {

constexpr size_t max_in_flight = 1000; // submissions that have not been answered
constexpr size_t max_refusals = 100;   // different reasons that are kept, to be counted

AttachOptions attach_options(const Args &args)
{
    AttachOptions out {.label = args.has("label-io") && !args.has("output"),
                       .show_events = args.times("verbose") > 1,
                       .show_exec = args.times("verbose") > 2};
    out.wait_event = args.value("wait-event");
    std::string input = args.value("input");
    if (input == "all" || (!input.empty() && Idset::parse(input)))
        out.stdin_ranks = input;
    return out;
}

std::string with_id(std::string text, const std::string &id)
{
    for (size_t at = 0; (at = text.find("{cc}", at)) != std::string::npos; at += id.size())
        text.replace(at, 4, id);
    return text;
}

// One copy per id of --cc or --bcc: "{cc}" in options and command becomes the id; --cc also sets FLUX_JOB_CC.
struct Copy {
    Submission submission;
    std::string log, log_stderr; // paths, or empty
};

Copy make_copy(Args args, const std::string &id, bool set_variable)
{
    for (auto &word : args.positional_)
        word = with_id(word, id);
    for (auto &[name, values] : args.options_)
        for (auto &word : values)
            word = with_id(word, id);
    for (auto &[name, value] : args.in_order_)
        value = with_id(value, id);
    Copy copy {.submission = make_submission(args),
               .log = args.value("log"),
               .log_stderr = args.value("log-stderr")};
    if (set_variable)
        copy.submission.jobspec.set_path("attributes.system.environment.FLUX_JOB_CC", id);
    return copy;
}

// All copies, made one after the other: not all of their jobspecs need be in memory.
class Copies {
public:
    explicit Copies(const Args &args) : args_(args)
    {
        if (args.has("cc") && args.has("bcc"))
            throw UsageError("--cc and --bcc exclude each other");
        option_ = args.has("cc") ? "cc" : args.has("bcc") ? "bcc" : "";
        if (option_.empty())
            return;
        auto ids = option_value(option_, Idset::parse(args.value(option_)));
        if (ids.empty())
            throw UsageError(fmt::format("--{}: the set of ids is empty", option_));
        if (ids.count() > max_copies)
            throw UsageError(fmt::format("--{}: {} copies are too many: at most {} at once", option_,
                                         ids.count(), max_copies));
        ids_.assign(ids.begin(), ids.end());
    }
    size_t size() const { return option_.empty() ? 1 : ids_.size(); }
    Copy make(size_t number) const
    {
        if (option_.empty())
            return Copy {make_submission(args_), args_.value("log"), args_.value("log-stderr")};
        return make_copy(args_, fmt::format("{}", ids_[number]), option_ == "cc");
    }

private:
    static constexpr size_t max_copies = 1'000'000;
    const Args &args_;
    std::string option_;
    std::vector<uint32_t> ids_;
};

// Where a copy's id and output go: to files of its own with --log, else to the terminal.
class Log {
public:
    explicit Log(const Copy &copy) : out_(open(copy.log, stdout))
    {
        err_ = copy.log_stderr.empty() ? (copy.log.empty() ? stderr : out_) : open(copy.log_stderr, stderr);
    }
    Log(const Log &) = delete;
    ~Log()
    {
        if (err_ != stderr && err_ != out_)
            std::fclose(err_);
        if (out_ != stdout)
            std::fclose(out_);
    }
    FILE *out() const { return out_; }
    FILE *err() const { return err_; }

private:
    static FILE *open(const std::string &path, FILE *fallback)
    {
        if (path.empty())
            return fallback;
        FILE *file = std::fopen(path.c_str(), "a");
        if (!file)
            throw Error(errno, "cannot write the log {}: {}", path, errno_text(errno));
        return file;
    }
    FILE *out_;
    FILE *err_;
};

// Many jobs at once: submits them all, then waits for those that are to be waited for.
class Bulk {
public:
    Bulk(Session &flux, const Args &args, const Copies &copies)
        : flux_(flux), args_(args), copies_(copies), changed_(flux.handle().loop()),
          gate_(flux.handle().loop(), [this](const Error &error) { failed(error); })
    {
        waits_ = args.has("wait") || args.has("watch") || args.has("wait-event");
        if (args.has("progress"))
            progress_ = std::make_unique<ProgressBar>(flux.handle().loop(), copies_.size(), args.has("jps"));
    }

    Task<int> run()
    {
        left_ = copies_.size();
        for (size_t number = 0; number < copies_.size(); number++) {
            while (in_flight_ >= max_in_flight)
                co_await changed_.wait();
            start(number);
        }
        while (left_ > 0)
            co_await changed_.wait();
        progress_.reset();
        for (const auto &[text, more] : refusals_)
            if (more > 0)
                warn("flux-submit: ERROR: and {} more jobs{}", more,
                     refusals_.size() == 1 ? " for the same reason" : ": " + text);
        co_return status_;
    }

private:
    // A mistake in the first is one in the command line.
    void start(size_t number)
    {
        std::optional<Copy> copy;
        try {
            copy = copies_.make(number);
        } catch (const Error &error) {
            if (number == 0)
                throw;
            failed(error);
            return;
        }
        in_flight_++;
        gate_.spawn(one(std::move(*copy)));
    }

    Task<> one(Copy copy)
    {
        std::optional<Log> log;
        JobId id;
        std::optional<Error> refused;
        try {
            log.emplace(copy);
            Submission submission = std::move(copy.submission); // not kept while the job runs
            id = co_await submit_job(flux_.handle(), submission);
        } catch (const Error &error) {
            refused = error;
        }
        in_flight_--;
        changed_.notify_all();
        if (refused) {
            failed(*refused);
            co_return;
        }
        show_id(id, *log);
        if (progress_)
            progress_->submitted();
        if (waits_) {
            co_await wait_for(id, *log);
        } else if (progress_) {
            progress_->ended(false, false); // without --wait it shows how many are submitted
        }
        done();
    }

    void show_id(JobId id, const Log &log)
    {
        if (args_.has("quiet"))
            return;
        if (progress_ && log.out() == stdout)
            progress_->hide();
        fmt::print(log.out(), "{}\n", id_text(id));
        std::fflush(log.out());
    }

    Task<> wait_for(JobId id, const Log &log)
    {
        AttachOptions options = attach_options(args_);
        options.with_output = args_.has("watch");
        options.out = log.out();
        options.err = log.err();
        if (options.wait_event.empty() && !args_.has("watch"))
            options.wait_event = "clean";
        bool started = false;
        options.on_event = [&](const Event &event) {
            if (event.name == "start" && progress_) {
                started = true;
                progress_->started();
            }
        };
        options.before_output = [this] {
            if (progress_)
                progress_->hide();
        };
        JobEnd end = co_await attach_job(flux_, id, options);
        status_ = std::max(status_, end.exit_code());
        if (progress_)
            progress_->ended(started, end.failed());
        if (progress_ && end.failed())
            progress_->hide();
        if (args_.has("wait") || args_.has("watch"))
            report_end(id, end, true);
    }

    void failed(const Error &error)
    {
        if (progress_) {
            progress_->hide();
            progress_->submitted();
            progress_->ended(false, true);
        }
        // What is wrong with many copies is said once, and at the end with how many they are.
        auto known = refusals_.find(error.text());
        if (known != refusals_.end())
            known->second++;
        else
            warn("flux-submit: ERROR: {}", error.what());
        if (known == refusals_.end() && refusals_.size() < max_refusals)
            refusals_.emplace(error.text(), 0);
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
    const Copies &copies_;
    bool waits_ = false;
    size_t left_ = 0;
    size_t in_flight_ = 0;
    int status_ = 0;
    std::map<std::string, size_t> refusals_; // how often each was met again
    std::unique_ptr<ProgressBar> progress_;
    Condition changed_;
    Gate gate_;
};

Task<int> submit_all(Session &flux, const Args &args, const Copies &copies)
{
    Bulk bulk(flux, args, copies);
    co_return co_await bulk.run();
}

void show_jobspec(const Submission &submission)
{
    print("{}\n", submission.jobspec.dump());
}

int run_submit(const Args &args, Session &flux)
{
    Copies copies(args);
    if (!args.has("dry-run"))
        return flux.run(submit_all(flux, args, copies));
    for (size_t number = 0; number < copies.size(); number++)
        show_jobspec(copies.make(number).submission);
    return 0;
}

int run_run(const Args &args, Session &flux)
{
    Submission submission = make_submission(args);
    if (args.has("dry-run")) {
        show_jobspec(submission);
        return 0;
    }
    JobId id = flux.run(submit_job(flux.handle(), submission));
    if (args.has("verbose"))
        warn("jobid: {}", id_text(id));
    AttachOptions options = attach_options(args);
    options.with_stdin = true;
    options.forward_signals = true;
    JobEnd end = flux.run(attach_job(flux, id, options));
    report_end(id, end, false);
    return end.exit_code();
}

} // namespace

const Command submit {
    .name = "submit",
    .args = "PROGRAM ARGS",
    .summary = "Submit a program as a job and show its id",
    .options = with(task_options(), {{"--cc=IDSET", "a copy for each id; {cc} and FLUX_JOB_CC are the id"},
                                     {"--bcc=IDSET", "the same without FLUX_JOB_CC"},
                                     {"--wait", "wait until all have ended"},
                                     {"--watch", "and show their output"},
                                     {"--wait-event=NAME", "wait until each has this event"},
                                     {"--progress", "show how many have ended"},
                                     {"--jps", "with --progress, show jobs per second"},
                                     {"--log=FILE", "ids and output to a file instead of the terminal"},
                                     {"--log-stderr=FILE", "the jobs' standard error to another file"}}),
    .runs_program = true,
    .run = run_submit,
};

const Command run {
    .name = "run",
    .args = "PROGRAM ARGS",
    .summary = "Run a program as a job: its output and exit code are this command's",
    .options = with(task_options(), {{"--wait-event=NAME", "return when the job has this event"}}),
    .runs_program = true,
    .run = run_run,
};

} // namespace flux::cmd
