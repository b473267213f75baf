// flux submit and flux run: a program as a job. run is submit that attaches.
#include "cmd/bulk.hpp"
#include "cmd/commands.hpp"
#include "cmd/print.hpp"

namespace flux::cmd {

namespace {

class Copies : public CopySource {
public:
    explicit Copies(const Args &args) : args_(args), ids_(CopyIds::from(args)) {}
    size_t size() const override { return ids_.option.empty() ? 1 : ids_.ids.size(); }
    Copy make(size_t number) const override
    {
        if (ids_.option.empty())
            return Copy {make_submission(args_), args_.value("log"), args_.value("log-stderr")};
        return make_copy(args_, fmt::format("{}", ids_.ids[number]), ids_.option == "cc");
    }

private:
    const Args &args_;
    CopyIds ids_;
};

int run_submit(const Args &args, Session &flux)
{
    Copies copies(args);
    if (!args.has("dry-run"))
        return submit_bulk(flux, args, copies);
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
    .options = bulk_options(),
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
