// flux dmesg and flux logger: the brokers' log.
#include <unistd.h>

#include "cmd/commands.hpp"
#include "cmd/eventlog_view.hpp"
#include "cmd/print.hpp"

namespace flux::cmd {

namespace {

constexpr const char *severity_names[] {"emerg",   "alert",  "crit", "err",
                                        "warning", "notice", "info", "debug"};

// "<PRI>1 TIMESTAMP RANK APP PID - - TEXT" (RFC 5424) in parts; an entry of another form is all text.
struct Entry {
    int severity = 6;
    std::string time, rank, application, text;
};

std::string_view next_word(std::string_view &rest)
{
    size_t end = std::min(rest.find(' '), rest.size());
    std::string_view word = rest.substr(0, end);
    rest.remove_prefix(std::min(rest.size(), end + 1));
    return word;
}

Entry parse_entry(std::string_view line)
{
    Entry entry;
    size_t close = line.find('>');
    if (!line.starts_with('<') || close == std::string_view::npos) {
        entry.text = line;
        return entry;
    }
    entry.severity = std::atoi(std::string(line.substr(1, close - 1)).c_str()) & 7;
    std::string_view rest = line.substr(close + 1);
    next_word(rest); // version
    entry.time = next_word(rest);
    entry.rank = next_word(rest);
    entry.application = next_word(rest);
    for (int i = 0; i < 3; i++) // process, message id, structured data: "-"
        next_word(rest);
    entry.text = rest;
    return entry;
}

Task<> show_log(Handle &handle, const Args &args)
{
    Json request {{"follow", args.has("follow")}, {"nobacklog", args.has("new")}};
    auto stream = handle.stream("log.dmesg", request, {}, "log.cancel");
    while (auto answer = co_await stream.next()) {
        Entry entry = parse_entry(answer->payload.string());
        print("{} {}.{}[{}]: {}\n", entry.time, entry.application, severity_names[entry.severity], entry.rank,
              entry.text);
        std::fflush(stdout);
    }
}

int run_dmesg(const Args &args, Session &flux)
{
    if (!args.has("clear"))
        flux.run(show_log(flux.handle(), args));
    if (args.has("clear") || args.has("read-clear"))
        flux.rpc("log.clear");
    return 0;
}

int parse_severity(const std::string &name)
{
    for (int i = 0; i < 8; i++)
        if (name == severity_names[i] || name == fmt::format("{}", i))
            return i;
    throw UsageError(fmt::format("--severity: '{}' is none of {}", name, fmt::join(severity_names, ", ")));
}

int run_logger(const Args &args, Session &flux)
{
    constexpr int facility_user = 1;
    int severity = parse_severity(args.value("severity", "notice"));
    double now = flux.loop().clock().wall_time();
    time_t whole = time_t(now);
    tm parts {};
    ::gmtime_r(&whole, &parts);
    char time[64];
    ::strftime(time, sizeof(time), "%FT%T", &parts);
    std::string line = fmt::format("<{}>1 {}.{:06}Z {} {} {} - - {}", facility_user << 3 | severity, time,
                                   int((now - double(whole)) * 1e6), flux.attribute("rank"),
                                   args.value("appname", "logger"), ::getpid(), args.joined(0));
    flux.handle().notify("log.append", Payload::raw(line));
    return 0;
}

} // namespace

const Command dmesg {
    .name = "dmesg",
    .summary = "Show the broker's log",
    .options = {{"-C,--clear", "forget what is there"},
                {"-c,--read-clear", "show it, then forget it"},
                {"-f,--follow", "show each new entry"},
                {"-n,--new", "with --follow, only new entries"}},
    .max_args = 0,
    .run = run_dmesg,
};

const Command logger {
    .name = "logger",
    .args = "TEXT...",
    .summary = "Write an entry into the log",
    .options = {{"-s,--severity=NAME", "emerg, alert, crit, err, warning, notice (default), info, debug"},
                {"-n,--appname=NAME", "who says it (default: logger)"}},
    .min_args = 1,
    .run = run_logger,
};

} // namespace flux::cmd
