// flux sproc: the processes of a broker's subprocess server, those that `flux exec` started.
#include <csignal>

#include "cmd/commands.hpp"
#include "cmd/output_format.hpp"
#include "cmd/print.hpp"
#include "common/base/encoding.hpp"
#include "common/job/job_exit.hpp"

namespace flux::cmd {

namespace {

const FormatFields fields {
    .thing = "processes",
    .headers = {{"pid", "PID"}, {"state", "ST"}, {"label", "LABEL"}, {"rank", "RANK"}, {"cmd", "COMMAND"}},
};
constexpr std::string_view default_format = "{pid:>9} {state:<2} {label:<12} {cmd}";

uint32_t target_rank(const Args &args)
{
    int64_t rank = args.integer("rank", -1);
    if (args.has("rank") && rank < 0)
        throw UsageError("--rank must not be negative");
    return args.has("rank") ? uint32_t(rank) : nodeid_any;
}

std::string service(const Args &args)
{
    return args.value("service", "rexec");
}

Json named(const std::string &text) // a pid or a label
{
    char *end = nullptr;
    long pid = std::strtol(text.c_str(), &end, 10);
    if (!text.empty() && !*end)
        return Json {{"pid", pid}};
    return Json {{"pid", -1}, {"label", text}};
}

int run_sproc_ps(const Args &args, Session &flux)
{
    auto format = OutputFormat::parse(args.value("format", default_format), fields);
    Json answer = flux.rpc(service(args) + ".list", Json::object(), {.nodeid = target_rank(args)});
    Json procs = answer["procs"];
    int64_t rank = answer.get<int64_t>("rank");
    auto get = [&](size_t row, std::string_view field) -> FieldValue {
        if (field == "rank")
            return rank;
        Json value = procs[row][field];
        return value.is_integer() ? FieldValue(value.as<int64_t>()) : FieldValue(value.string_view());
    };
    write_out(format.render(procs.size(), get, {.header = !args.has("no-header")}));
    return 0;
}

int wait_for_process(const Args &args, Session &flux, const std::string &who, bool with_output)
{
    Json answer = flux.rpc(service(args) + ".wait", named(who), {.nodeid = target_rank(args)});
    if (with_output)
        for (auto io : answer["output"].elements()) {
            std::string data = io.value<std::string>("data", "");
            if (io.value<std::string>("encoding", "") == "base64")
                data = value_or_throw(base64_decode(data));
            FILE *file = io.value<std::string>("stream", "") == "stderr" ? stderr : stdout;
            std::fwrite(data.data(), 1, data.size(), file);
        }
    return exit_code_of(answer.get<int>("status"));
}

int run_sproc_kill(const Args &args, Session &flux)
{
    int signum = parse_signal(args[0]);
    if (signum <= 0)
        throw UsageError(fmt::format("'{}' is no signal: give a number or a name like TERM", args[0]));
    Json request = named(args[1]);
    request.set("signum", signum);
    try {
        flux.rpc(service(args) + ".kill", request, {.nodeid = target_rank(args)});
    } catch (const Error &error) {
        if (!args.has("wait"))
            throw;
        warn("flux-sproc: {}: {}", args[1], error.what());
    }
    return args.has("wait") ? wait_for_process(args, flux, args[1], false) : 0;
}

int run_sproc_wait(const Args &args, Session &flux)
{
    return wait_for_process(args, flux, args[0], args.has("output"));
}

const Option rank_option {"-r,--rank=RANK", "of this broker (default: the local one)"};
const Option service_option {"-s,--service=NAME", "of this service (default: rexec)"};

const Command sproc_ps {
    .name = "ps",
    .summary = "List the processes that run, and those not yet waited for",
    .options = {rank_option,
                service_option,
                {"-o,--format=FORMAT", "columns: pid, state, label, rank, cmd"},
                {"-n,--no-header", "no header"}},
    .max_args = 0,
    .run = run_sproc_ps,
};
const Command sproc_kill {
    .name = "kill",
    .args = "SIGNAL PID|LABEL",
    .summary = "Send a signal to a process",
    .options = {rank_option, service_option, {"-w,--wait", "wait for its end and exit with its code"}},
    .min_args = 2,
    .max_args = 2,
    .run = run_sproc_kill,
};
const Command sproc_wait {
    .name = "wait",
    .args = "PID|LABEL",
    .summary = "Wait for a waitable process and exit with its code",
    .options = {rank_option, service_option, {"-o,--output", "show the output that was kept"}},
    .min_args = 1,
    .max_args = 1,
    .run = run_sproc_wait,
};

} // namespace

const Command sproc {
    .name = "sproc",
    .summary = "List, signal and wait for processes that flux exec started",
    .subcommands = {&sproc_kill, &sproc_ps, &sproc_wait},
};

} // namespace flux::cmd
