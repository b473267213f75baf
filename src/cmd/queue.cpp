// flux queue: whether jobs may be submitted and started.
#include <algorithm>

#include "cmd/commands.hpp"
#include "cmd/job_select.hpp"
#include "cmd/print.hpp"
#include "cmd/queue_list.hpp"

namespace flux::cmd {

namespace {

enum class Shown { all, submission, scheduling };

void show_one(const std::string &name, const Json &status, Shown shown)
{
    std::string prefix = name.empty() ? "" : name + ": ";
    auto reason = [&](const char *key) {
        auto text = status.find<std::string>(key);
        return text ? ": " + *text : std::string();
    };
    if (shown != Shown::scheduling)
        print("{}Job submission is {}{}\n", prefix, status.get<bool>("enable") ? "enabled" : "disabled",
              reason("disable_reason"));
    if (shown != Shown::submission)
        print("{}Scheduling is {}{}\n", prefix, status.get<bool>("start") ? "started" : "stopped",
              reason("stop_reason"));
}

// The queues named, or all there are; one anonymous queue when none is configured.
std::vector<std::string> chosen(Session &flux, std::vector<std::string> names)
{
    auto existing = queue_names(flux);
    for (const auto &name : names)
        if (std::find(existing.begin(), existing.end(), name) == existing.end())
            throw Error(ENOENT, "there is no queue {}{}; flux queue list shows them", name,
                        did_you_mean(name, existing));
    if (names.empty())
        names = existing;
    if (names.empty())
        names.emplace_back();
    return names;
}

void show_queues(Session &flux, const std::vector<std::string> &names, Shown shown, bool verbose)
{
    for (const auto &name : names)
        show_one(name, status_of_queue(flux, name), shown);
    if (!verbose)
        return;
    Json counts = flux.rpc("job-manager.alloc-query");
    print("{} alloc requests queued\n{} alloc requests pending to scheduler\n{} running jobs\n",
          counts.get<int64_t>("queue_length"), counts.get<int64_t>("alloc_pending"),
          counts.get<int64_t>("running"));
}

int run_queue_status(const Args &args, Session &flux)
{
    auto names = args.has("queue") ? comma_list(args.all("queue")) : args.positional();
    if (args.has("all") && !names.empty())
        throw UsageError(fmt::format("--all and the queue {} exclude each other", names[0]));
    show_queues(flux, chosen(flux, names), Shown::all, args.has("verbose"));
    return 0;
}

int run_queue_list(const Args &args, Session &flux)
{
    return list_queues(args, flux, chosen(flux, comma_list(args.all("queue"))));
}

// Queues are named by argument; without one --all, or the anonymous queue, is meant.
int change(const Args &args, Session &flux, const char *topic, const char *key, bool value)
{
    auto existing = queue_names(flux);
    auto given = args.positional();
    if (args.knows("queue") && args.has("queue"))
        given.push_back(args.value("queue"));
    if (given.size() > 1)
        throw UsageError(fmt::format("one queue at a time, not {} and {}", given[0], given[1]));
    if (!given.empty() && args.has("all"))
        throw UsageError(fmt::format("--all and the queue {} exclude each other", given[0]));
    if (!existing.empty() && given.empty() && !args.has("all"))
        throw UsageError(fmt::format("say which queue ({}), or --all", fmt::join(existing, ", ")));
    if (existing.empty() && !given.empty())
        throw UsageError(
            fmt::format("there is no queue {}: this instance has a single queue without a name", given[0]));
    auto names = given.empty() ? given : chosen(flux, given);
    Json request = Json::object();
    request.set(key, value);
    request.set("all", args.has("all"));
    if (!names.empty())
        request.set("name", names[0]);
    bool starting = std::string_view(key) == "start";
    if (args.knows("message") && args.has("message"))
        request.set("reason", args.value("message"));
    else if (!starting && !value)
        request.set("reason", "disabled by administrator");
    bool forgets = args.knows("nocheckpoint") && args.has("nocheckpoint");
    if (forgets || starting)
        request.set("nocheckpoint", forgets);
    flux.rpc(topic, request, {.nodeid = 0});
    if (!args.has("quiet"))
        show_queues(flux, chosen(flux, names), starting ? Shown::scheduling : Shown::submission,
                    args.has("verbose"));
    return 0;
}

int run_queue_enable(const Args &args, Session &flux)
{
    return change(args, flux, "job-manager.queue-enable", "enable", true);
}
int run_queue_disable(const Args &args, Session &flux)
{
    return change(args, flux, "job-manager.queue-enable", "enable", false);
}
int run_queue_start(const Args &args, Session &flux)
{
    return change(args, flux, "job-manager.queue-start", "start", true);
}
int run_queue_stop(const Args &args, Session &flux)
{
    return change(args, flux, "job-manager.queue-start", "start", false);
}

Json wait_for_queues(const Args &args, Session &flux, const char *topic)
{
    return flux.rpc(topic, {}, {.timeout = seconds(args.duration("timeout", 0))});
}

int run_queue_drain(const Args &args, Session &flux)
{
    wait_for_queues(args, flux, "job-manager.drain");
    return 0;
}
int run_queue_idle(const Args &args, Session &flux)
{
    print("{} jobs\n", wait_for_queues(args, flux, "job-manager.idle").get<int64_t>("pending"));
    return 0;
}

const std::vector<Option> open_options {{"-a,--all", "all queues"},
                                        {"--quiet", "do not show the result"},
                                        {"-v,--verbose", "show more of what is queued"}};
std::vector<Option> enable_options()
{
    auto out = open_options;
    out.push_back({"-q,--queue=NAME", "this queue"});
    return out;
}
const std::vector<Option> close_options {{"-a,--all", "all queues"},
                                         {"-m,--message=REASON", "why, for those who ask"},
                                         {"--nocheckpoint", "forget it when the instance restarts"},
                                         {"--quiet", "do not show the result"},
                                         {"-v,--verbose", "show more of what is queued"}};
const std::vector<Option> wait_options {{"--timeout=FSD", "give up after this time"}};

const Command queue_status {.name = "status",
                            .args = "[QUEUE...]",
                            .summary = "Show whether queues are enabled and started",
                            .options = {{"-q,--queue=NAME", "of this queue"},
                                        {"-a,--all", "of all queues, as without an argument"},
                                        {"-v,--verbose", "show more of what is queued"}},
                            .run = run_queue_status};
const Command queue_list {
    .name = "list",
    .summary = "List queues, their defaults and limits",
    .options = {{"-q,--queue=QUEUE,...", "only these"},
                {"-n,--no-header", "no header"},
                {"-o,--format=NAME|FORMAT", "columns like {queue:<8}, or a name; help lists these"},
                {"-L,--color[=WHEN]", "always, never or auto"}},
    .max_args = 0,
    .run = run_queue_list};
const Command queue_enable {.name = "enable",
                            .args = "[QUEUE]",
                            .summary = "Let jobs be submitted",
                            .options = enable_options(),
                            .max_args = 1,
                            .run = run_queue_enable};
const Command queue_disable {.name = "disable",
                             .args = "[QUEUE]",
                             .summary = "Let no job be submitted",
                             .options = close_options,
                             .max_args = 1,
                             .run = run_queue_disable};
const Command queue_start {.name = "start",
                           .args = "[QUEUE]",
                           .summary = "Let jobs start",
                           .options = open_options,
                           .max_args = 1,
                           .run = run_queue_start};
const Command queue_stop {.name = "stop",
                          .args = "[QUEUE]",
                          .summary = "Let no job start",
                          .options = close_options,
                          .max_args = 1,
                          .run = run_queue_stop};
const Command queue_drain {.name = "drain",
                           .summary = "Wait until no job is left",
                           .options = wait_options,
                           .max_args = 0,
                           .run = run_queue_drain};
const Command queue_idle {.name = "idle",
                          .summary = "Wait until no job runs",
                          .options = wait_options,
                          .max_args = 0,
                          .run = run_queue_idle};

} // namespace

const Command queue {
    .name = "queue",
    .summary = "Open, close and watch queues",
    .subcommands = {&queue_disable, &queue_drain, &queue_enable, &queue_idle, &queue_list, &queue_start,
                    &queue_status, &queue_stop},
};

} // namespace flux::cmd
