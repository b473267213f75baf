// flux queue: whether jobs may be submitted and started.
#include "cmd/commands.hpp"
#include "cmd/print.hpp"

namespace flux::cmd {

namespace {

std::vector<std::string> queue_names(Session &flux)
{
    return flux.rpc("job-manager.queue-list").value<std::vector<std::string>>("queues", {});
}

Json status_of(Session &flux, const std::string &name)
{
    Json request = Json::object();
    if (!name.empty())
        request.set("name", name);
    return flux.rpc("job-manager.queue-status", request, {.nodeid = 0});
}

void show_one(Session &flux, const std::string &name)
{
    Json status = status_of(flux, name);
    std::string prefix = name.empty() ? "" : name + ": ";
    auto reason = [&](const char *key) {
        auto text = status.find<std::string>(key);
        return text ? ": " + *text : std::string();
    };
    if (status.get<bool>("enable"))
        print("{}Job submission is enabled\n", prefix);
    else
        print("{}Job submission is disabled{}\n", prefix, reason("disable_reason"));
    if (status.get<bool>("start"))
        print("{}Scheduling is started\n", prefix);
    else
        print("{}Scheduling is stopped{}\n", prefix, reason("stop_reason"));
}

// The queues named, or all there are; one anonymous queue when none is configured.
std::vector<std::string> chosen(const Args &args, Session &flux, const std::string &option = {})
{
    std::vector<std::string> names = option.empty() ? args.positional() : args.all(option);
    if (names.empty())
        names = queue_names(flux);
    if (names.empty())
        names.emplace_back();
    return names;
}

int run_status(const Args &args, Session &flux)
{
    for (const auto &name : chosen(args, flux, args.has("queue") ? "queue" : ""))
        show_one(flux, name);
    return 0;
}

int run_list(const Args &args, Session &flux)
{
    std::vector<std::vector<std::string>> rows;
    if (!args.has("no-header"))
        rows.push_back({"QUEUE", "EN", "ST"});
    for (const auto &name : chosen(args, flux)) {
        Json status = status_of(flux, name);
        rows.push_back({name.empty() ? "-" : name, status.get<bool>("enable") ? "✔" : "✗",
                        status.get<bool>("start") ? "✔" : "✗"});
    }
    write_out(render_table(rows));
    return 0;
}

// The queue is the first positional argument, and what follows is the reason.
Json change(const Args &args, const char *key, bool value, Session &flux)
{
    bool named = !queue_names(flux).empty() && !args.has("all");
    if (named && args.size() == 0)
        throw UsageError("say which queue, or --all");
    Json request = Json::object();
    request.set(key, value);
    request.set("all", args.has("all"));
    if (named)
        request.set("name", args[0]);
    std::string reason = args.has("message") ? args.value("message") : args.joined(named ? 1 : 0);
    if (!reason.empty())
        request.set("reason", reason);
    return request;
}

int change_enable(const Args &args, Session &flux, bool enable)
{
    flux.rpc("job-manager.queue-enable", change(args, "enable", enable, flux), {.nodeid = 0});
    if (!args.has("quiet"))
        for (const auto &name : queue_names(flux).empty() ? std::vector<std::string> {""} : queue_names(flux))
            show_one(flux, name);
    return 0;
}

int change_start(const Args &args, Session &flux, bool start)
{
    Json request = change(args, "start", start, flux);
    request.set("nocheckpoint", args.has("nocheckpoint"));
    flux.rpc("job-manager.queue-start", request, {.nodeid = 0});
    if (!args.has("quiet"))
        for (const auto &name : queue_names(flux).empty() ? std::vector<std::string> {""} : queue_names(flux))
            show_one(flux, name);
    return 0;
}

int run_enable(const Args &args, Session &flux)
{
    return change_enable(args, flux, true);
}
int run_disable(const Args &args, Session &flux)
{
    return change_enable(args, flux, false);
}
int run_start(const Args &args, Session &flux)
{
    return change_start(args, flux, true);
}
int run_stop(const Args &args, Session &flux)
{
    return change_start(args, flux, false);
}

int wait_for(const Args &args, Session &flux, const char *topic)
{
    flux.rpc(topic, {}, {.timeout = seconds(args.duration("timeout", 0))});
    return 0;
}

int run_drain(const Args &args, Session &flux)
{
    return wait_for(args, flux, "job-manager.drain");
}
int run_idle(const Args &args, Session &flux)
{
    return wait_for(args, flux, "job-manager.idle");
}

const std::vector<Option> change_options {{"-a,--all", "all queues"},
                                          {"-m,--message=TEXT", "the reason"},
                                          {"--quiet", "do not show the result"},
                                          {"--nocheckpoint", "forget it when the instance restarts"},
                                          {"-v,--verbose", "say more"}};
const std::vector<Option> wait_options {{"--timeout=FSD", "give up after this time"}};

const Command status {.name = "status",
                      .args = "[QUEUE...]",
                      .summary = "Show whether queues are enabled and started",
                      .options = {{"-q,--queue=NAME", "of this queue"}, {"-v,--verbose", "say more"}},
                      .run = run_status};
const Command list {.name = "list",
                    .summary = "List queues",
                    .options = {{"-n,--no-header", "no header"}},
                    .max_args = 0,
                    .run = run_list};
const Command enable {.name = "enable",
                      .args = "[QUEUE]",
                      .summary = "Let jobs be submitted",
                      .options = change_options,
                      .run = run_enable};
const Command disable {.name = "disable",
                       .args = "[QUEUE] [REASON]",
                       .summary = "Let no job be submitted",
                       .options = change_options,
                       .run = run_disable};
const Command start_command {.name = "start",
                             .args = "[QUEUE]",
                             .summary = "Let jobs start",
                             .options = change_options,
                             .run = run_start};
const Command stop {.name = "stop",
                    .args = "[QUEUE] [REASON]",
                    .summary = "Let no job start",
                    .options = change_options,
                    .run = run_stop};
const Command drain {.name = "drain",
                     .summary = "Wait until no job is left",
                     .options = wait_options,
                     .max_args = 0,
                     .run = run_drain};
const Command idle {.name = "idle",
                    .summary = "Wait until no job runs",
                    .options = wait_options,
                    .max_args = 0,
                    .run = run_idle};

} // namespace

const Command queue {
    .name = "queue",
    .summary = "Open, close and watch queues",
    .subcommands = {&disable, &drain, &enable, &idle, &list, &start_command, &status, &stop},
};

} // namespace flux::cmd
