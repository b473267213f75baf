// flux job kill, killall, raise, raiseall, urgency, memo, purge, submit: what acts on jobs.
#include <unistd.h>

#include "cmd/job_client.hpp"
#include "cmd/job_commands.hpp"
#include "cmd/job_select.hpp"
#include "cmd/print.hpp"
#include "cmd/submit_options.hpp"
#include "common/job/job_exit.hpp"
#include "common/job/job_state.hpp"
#include "common/types/urgency.hpp"

namespace flux::cmd {

namespace {

int signal_of(const Args &args)
{
    std::string name = args.value("signal", "SIGTERM");
    int signal = parse_signal(name);
    if (signal <= 0)
        throw UsageError(fmt::format("--signal: '{}' is no signal: give a number or a name like TERM", name));
    return signal;
}

// All ids are understood before the first job is touched; then each that fails is named.
int for_each_job(const Args &args, const std::function<void(JobId)> &act)
{
    std::vector<JobId> ids;
    for (size_t i = 0; i < args.size(); i++)
        ids.push_back(args.job_id(i));
    int status = 0;
    for (size_t i = 0; i < ids.size(); i++) {
        try {
            act(ids[i]);
        } catch (const Error &error) {
            warn("flux-job: {}: {}", args[i], told(error));
            status = 1;
        }
    }
    return status;
}

int run_job_kill(const Args &args, Session &flux)
{
    int signal = signal_of(args);
    return for_each_job(args, [&](JobId id) {
        flux.rpc("job-manager.kill", Json {{"id", id.value()}, {"signum", signal}});
    });
}

uint32_t target_user(const Args &args)
{
    if (!args.has("user"))
        return ::getuid();
    return args.value("user") == "all" ? userid_unknown : user_id(args.value("user"));
}

// Without --force nothing is done and the count is what would be.
int report_bulk(const Args &args, const Json &answer, std::string_view what)
{
    int64_t count = answer.value<int64_t>("count", 0);
    int64_t errors = answer.value<int64_t>("errors", 0);
    std::string_view plural = count == 1 ? "" : "s";
    if (!args.has("force")) {
        warn("flux-job: Command matched {} job{}{}", count, plural, count ? " (-f to confirm)" : "");
        return 0;
    }
    if (count)
        warn("flux-job: {} {} job{} ({} error{})", what, count, plural, errors, errors == 1 ? "" : "s");
    return errors ? 1 : 0;
}

int run_job_killall(const Args &args, Session &flux)
{
    Json request {
        {"dry_run", !args.has("force")}, {"userid", target_user(args)}, {"signum", signal_of(args)}};
    return report_bulk(args, flux.rpc("job-manager.killall", request), "Killed");
}

int severity_of(const Args &args, int fallback)
{
    int64_t severity = args.integer("severity", fallback);
    if (severity < 0 || severity > 7)
        throw UsageError(fmt::format("--severity: {} is not 0 (fatal) to 7 (least severe)", severity));
    return int(severity);
}

// "ID ID message words": the ids end with the first word that is none, or with "--".
std::pair<std::vector<JobId>, std::string> ids_and_message(const Args &args)
{
    std::vector<JobId> ids;
    size_t at = 0;
    for (; at < args.before_dashes(); at++) {
        auto id = JobId::parse(args[at]);
        if (!id && at == 0)
            throw id.error();
        if (!id)
            break;
        ids.push_back(*id);
    }
    std::string message = args.joined(at);
    if (!message.empty() && args.has("message"))
        throw UsageError("the message is given twice: with --message and after the job ids");
    return {ids, args.has("message") ? args.value("message") : message};
}

int run_job_raise(const Args &args, Session &flux)
{
    int severity = severity_of(args, 0);
    auto [ids, message] = ids_and_message(args);
    int status = 0;
    for (JobId id : ids) {
        Json request {{"id", id.value()}, {"type", args.value("type", "cancel")}, {"severity", severity}};
        if (!message.empty())
            request.set("note", message);
        try {
            flux.rpc("job-manager.raise", request);
        } catch (const Error &error) {
            warn("flux-job: raise {}: {}", id_text(id), told(error));
            status = 1;
        }
    }
    return status;
}

int run_job_raiseall(const Args &args, Session &flux)
{
    uint32_t states = 0;
    for (const auto &name : comma_list({args.value("states", "active")}))
        states |= option_value("states", parse_states(name));
    Json request {{"dry_run", !args.has("force")},
                  {"userid", target_user(args)},
                  {"states", states},
                  {"type", args[0]},
                  {"severity", severity_of(args, 7)}};
    if (args.size() > 1)
        request.set("note", args.joined(1));
    return report_bulk(args, flux.rpc("job-manager.raiseall", request), "Raised exceptions on");
}

int run_job_urgency(const Args &args, Session &flux)
{
    int urgency = value_or_throw(parse_urgency(args[1]));
    Json answer =
        flux.rpc("job-manager.urgency", Json {{"id", args.job_id(0).value()}, {"urgency", urgency}});
    if (args.has("verbose"))
        warn("old urgency: {}", format_urgency(answer.value<int>("old_urgency", urgency::default_value)));
    return 0;
}

int run_job_memo(const Args &args, Session &flux)
{
    Json memo = Json::object();
    for (const auto &word : args.from(1)) {
        size_t equals = word.find('=');
        if (equals == std::string::npos || equals == 0)
            throw UsageError(fmt::format("'{}' is not KEY=VALUE; an empty value removes the key", word));
        auto [key, value] = parse_setting(word);
        memo.set_path(key, equals + 1 == word.size() ? Json(nullptr) : value);
    }
    flux.rpc("job-manager.memo",
             Json {{"id", args.job_id(0).value()}, {"volatile", args.has("volatile")}, {"memo", memo}});
    return 0;
}

int purge_each(const Args &args, Session &flux)
{
    return for_each_job(args, [&](JobId id) {
        flux.rpc("job-manager.purge-id", Json {{"id", id.value()}}, {.nodeid = 0});
    });
}

int run_job_purge(const Args &args, Session &flux)
{
    constexpr int64_t batch = 50; // jobs per request, so that the job manager is not blocked for long
    if (args.size() > 0)
        return purge_each(args, flux);
    Json request {{"age_limit", args.has("age-limit") ? args.duration("age-limit", 0) : -1.0},
                  {"num_limit", args.integer("num-limit", -1)},
                  {"batch", batch},
                  {"force", args.has("force")}};
    int64_t total = 0;
    for (int64_t count = batch; count >= batch;) {
        count = flux.rpc("job-manager.purge", request, {.nodeid = 0}).get<int64_t>("count");
        total += count;
        if (!args.has("force"))
            break; // the count of all that would go
    }
    Json stats = flux.rpc("job-manager.stats-get", {}, {.nodeid = 0});
    if (args.has("force"))
        print("purged {} inactive job{}, {} remaining\n", total, total == 1 ? "" : "s",
              stats.value<int64_t>("inactive_jobs", 0));
    else
        print("use --force to purge {} of {} inactive jobs\n", total,
              stats.value<int64_t>("inactive_jobs", 0));
    return 0;
}

int run_job_submit(const Args &args, Session &flux)
{
    std::string path = args.size() ? args[0] : "-";
    auto json = Json::parse(read_file(path));
    if (!json)
        throw Error(EINVAL, "{} is no jobspec: {}", path == "-" ? "standard input" : path,
                    json.error().text());
    Submission submission {.jobspec = *json};
    if (args.has("urgency"))
        submission.urgency = option_value("urgency", parse_urgency(args.value("urgency")));
    for (const auto &names : args.all("flags"))
        submission.flags |= option_value("flags", parse_job_flags(names));
    print("{}\n", id_text(flux.run(submit_job(flux.handle(), submission))));
    return 0;
}

} // namespace

const Command job_kill {
    .name = "kill",
    .args = "JOBID...",
    .summary = "Send a signal to running jobs",
    .options = {{"-s,--signal=SIG", "default SIGTERM"}},
    .min_args = 1,
    .run = run_job_kill,
};
const Command job_killall {
    .name = "killall",
    .summary = "Send a signal to all running jobs of a user",
    .options = {{"-u,--user=USER", "of this user, or all (default: oneself)"},
                {"-f,--force", "do it; without it only the number of jobs is shown"},
                {"-s,--signal=SIG", "default SIGTERM"}},
    .max_args = 0,
    .run = run_job_killall,
};
const Command job_raise {
    .name = "raise",
    .args = "JOBID... [--] [MESSAGE...]",
    .summary = "Raise an exception of jobs",
    .options = {{"-m,--message=NOTE", "say why"},
                {"-s,--severity=N", "0 (fatal, the default) to 7"},
                {"-t,--type=TYPE", "default cancel"}},
    .min_args = 1,
    .run = run_job_raise,
};
const Command job_raiseall {
    .name = "raiseall",
    .args = "TYPE [--] [MESSAGE...]",
    .summary = "Raise an exception of all jobs of a user",
    .options = {{"-s,--severity=N", "0 (fatal) to 7 (the default)"},
                {"-u,--user=USER", "of this user, or all (default: oneself)"},
                {"-S,--states=STATES", "in these states (default: active)"},
                {"-f,--force", "do it; without it only the number of jobs is shown"}},
    .min_args = 1,
    .run = run_job_raiseall,
};
const Command job_urgency {
    .name = "urgency",
    .args = "JOBID VALUE",
    .summary = "Set a job's urgency (0-31, hold, expedite, default)",
    .options = {{"-v,--verbose", "show the old value"}},
    .min_args = 2,
    .max_args = 2,
    .run = run_job_urgency,
};
const Command job_memo {
    .name = "memo",
    .args = "JOBID KEY=VALUE...",
    .summary = "Attach notes to a job, which job listings show as annotations.user.KEY",
    .options = {{"--volatile", "only until the instance restarts"}},
    .min_args = 2,
    .run = run_job_memo,
};
const Command job_purge {
    .name = "purge",
    .args = "[JOBID...]",
    .summary = "Forget inactive jobs",
    .options = {{"--age-limit=FSD", "those that ended longer ago"},
                {"--num-limit=COUNT", "the oldest, until COUNT are left"},
                {"-f,--force", "do it; without it only the number of jobs is shown"}},
    .run = run_job_purge,
};
const Command job_submit {
    .name = "submit",
    .args = "[FILE]",
    .summary = "Submit a jobspec (RFC 14) from a file or standard input",
    .options = {{"-u,--urgency=N", "0-31, hold, default, expedite"},
                {"-f,--flags=FLAGS", "waitable, novalidate, debug"}},
    .max_args = 1,
    .run = run_job_submit,
};

} // namespace flux::cmd
