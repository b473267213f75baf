#include "cmd/bulk.hpp"

#include <algorithm>

#include "cmd/print.hpp"
#include "cmd/progress.hpp"
#include "common/runtime/sync.hpp"
#include "common/types/idset.hpp"

namespace flux::cmd {

namespace {

constexpr size_t max_in_flight = 1000; // submissions that have not been answered
constexpr size_t max_refusals = 100;   // different reasons that are kept, to be counted

std::string with_id(std::string text, const std::string &id)
{
    for (size_t at = 0; (at = text.find("{cc}", at)) != std::string::npos; at += id.size())
        text.replace(at, 4, id);
    return text;
}

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
    Bulk(Session &flux, const Args &args, const CopySource &copies)
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
                warn("{}: ERROR: and {} more jobs{}", copies_.command(), more,
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
        JobEnd end = co_await attach_job(flux_, id, options, progress_.get());
        status_ = std::max(status_, end.exit_code());
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
            warn("{}: ERROR: {}", copies_.command(), told(error));
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
    const CopySource &copies_;
    bool waits_ = false;
    size_t left_ = 0;
    size_t in_flight_ = 0;
    int status_ = 0;
    std::map<std::string, size_t> refusals_; // how often each was met again
    std::unique_ptr<ProgressBar> progress_;
    Condition changed_;
    Gate gate_;
};

Task<int> submit_all(Session &flux, const Args &args, const CopySource &copies)
{
    Bulk bulk(flux, args, copies);
    co_return co_await bulk.run();
}

} // namespace

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

CopyIds CopyIds::from(const Args &args)
{
    if (args.has("cc") && args.has("bcc"))
        throw UsageError("--cc and --bcc exclude each other");
    CopyIds out {.option = args.has("cc") ? "cc" : args.has("bcc") ? "bcc" : ""};
    if (out.option.empty())
        return out;
    auto ids = option_value(out.option, Idset::parse(args.value(out.option)));
    if (ids.empty())
        throw UsageError(fmt::format("--{}: the set of ids is empty", out.option));
    if (ids.count() > max_copies)
        throw UsageError(fmt::format("--{}: {} copies are too many: at most {} at once", out.option,
                                     ids.count(), max_copies));
    out.ids.assign(ids.begin(), ids.end());
    return out;
}

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

void show_jobspec(const Submission &submission)
{
    print("{}\n", submission.jobspec.dump());
}

int submit_bulk(Session &flux, const Args &args, const CopySource &copies)
{
    return flux.run(submit_all(flux, args, copies));
}

std::vector<Option> bulk_options()
{
    return with(task_options(), {{"--cc=IDSET", "a copy for each id; {cc} and FLUX_JOB_CC are the id"},
                                 {"--bcc=IDSET", "the same without FLUX_JOB_CC"},
                                 {"--wait", "wait until all have ended"},
                                 {"--watch", "and show their output"},
                                 {"--wait-event=NAME", "wait until each has this event"},
                                 {"--progress", "show how many have ended"},
                                 {"--jps", "with --progress, show jobs per second"},
                                 {"--log=FILE", "ids and output to a file instead of the terminal"},
                                 {"--log-stderr=FILE", "the jobs' standard error to another file"}});
}

} // namespace flux::cmd
