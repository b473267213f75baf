// flux cancel: ends jobs.
#include <unistd.h>

#include "cmd/commands.hpp"
#include "cmd/job_select.hpp"
#include "cmd/print.hpp"
#include "common/job/job_state.hpp"

namespace flux::cmd {

namespace {

int cancel_each(const Args &args, Session &flux)
{
    std::vector<JobId> ids;
    for (size_t i = 0; i < args.size(); i++)
        ids.push_back(args.job_id(i)); // all are understood before the first is canceled
    if (args.has("dry-run")) {
        warn("flux-cancel: Would cancel {} job{}", args.size(), args.size() == 1 ? "" : "s");
        return 0;
    }
    int status = 0;
    for (size_t i = 0; i < args.size(); i++) {
        Json request {{"id", ids[i].value()}, {"type", "cancel"}, {"severity", 0}};
        if (args.has("message"))
            request.set("note", args.value("message"));
        try {
            flux.rpc("job-manager.raise", request);
        } catch (const Error &error) {
            warn("flux-cancel: {}: {}", args[i], told(error));
            status = 1;
        }
    }
    return status;
}

uint32_t states_of(const Args &args)
{
    uint32_t states = 0;
    for (const auto &name : comma_list(args.all("states")))
        states |= value_or_throw(parse_states(name));
    if (!args.has("states"))
        return job_states::active;
    if (states & job_states::inactive)
        throw UsageError("--states: inactive jobs cannot be canceled");
    return states;
}

int cancel_selected(const Args &args, Session &flux)
{
    std::string user = args.value("user");
    Json request {{"dry_run", args.has("dry-run")},
                  {"userid", user == "all"  ? userid_unknown
                             : user.empty() ? ::getuid()
                                            : user_id(user)},
                  {"states", states_of(args)},
                  {"type", "cancel"},
                  {"severity", 0}};
    if (args.has("message"))
        request.set("note", args.value("message"));
    Json answer = flux.rpc("job-manager.raiseall", request);
    int64_t count = answer.value<int64_t>("count", 0);
    int64_t errors = answer.value<int64_t>("errors", 0);
    std::string_view plural = count == 1 ? "" : "s";
    if (count == 0) {
        if (!args.has("quiet"))
            warn("flux-cancel: Matched 0 jobs");
    } else if (args.has("dry-run")) {
        warn("flux-cancel: Would cancel {} job{}", count, plural);
    } else {
        warn("flux-cancel: Canceled {} job{} ({} error{})", count, plural, errors, errors == 1 ? "" : "s");
    }
    return errors ? 1 : 0;
}

int run_cancel(const Args &args, Session &flux)
{
    bool selects = args.has("all") || args.has("user") || args.has("states");
    if (args.size() == 0 && !selects)
        throw UsageError("say which jobs: JOBID..., or --all, --user, --states");
    if (args.size() > 0 && selects)
        throw UsageError("give either job ids or --all, --user, --states, not both");
    return selects ? cancel_selected(args, flux) : cancel_each(args, flux);
}

} // namespace

const Command cancel {
    .name = "cancel",
    .args = "[JOBID...]",
    .summary = "Cancel jobs",
    .options = {{"-n,--dry-run", "only say how many would be canceled"},
                {"-m,--message=NOTE", "say why"},
                {"--all", "all of one's own jobs"},
                {"-u,--user=USER", "all jobs of this user, or all"},
                {"-S,--states=STATES", "those in these states (default: active)"},
                {"-q,--quiet", "do not say how many"}},
    .run = run_cancel,
};

} // namespace flux::cmd
