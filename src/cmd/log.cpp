// flux dmesg and flux logger: the brokers' log.
#include <unistd.h>

#include "cmd/commands.hpp"
#include "cmd/eventlog_view.hpp"
#include "cmd/log_entry.hpp"
#include "cmd/print.hpp"
#include "cmd/terminal.hpp"
#include "common/base/log_priority.hpp"

namespace flux::cmd {

namespace {

std::string_view severity_color(int severity)
{
    constexpr std::string_view colors[] {
        color::bold_red, color::bold_red, color::bold_red, color::red, color::yellow, color::bold, "",
        color::dim};
    return colors[severity & 7];
}

class LogView {
public:
    explicit LogView(const Args &args)
        : human_(args.has("human") || args.has("delta")), delta_(args.has("delta")), color_(wants_color(args))
    {
    }

    std::string line(const LogEntry &entry)
    {
        std::string time = human_ ? time_text(entry.seconds()) : entry.time;
        std::string who = entry.time.empty() ? ""
                                             : fmt::format("{}.{}[{}]: ", entry.application,
                                                           entry.severity_name(), entry.rank);
        if (!color_)
            return fmt::format("{} {}{}\n", time, who, entry.text);
        return fmt::format("{}{}{} {}{}{}{}\n", color::green, time, color::plain, who,
                           severity_color(entry.severity), entry.text, color::plain);
    }

private:
    // Since the last date that was shown, or since the entry before.
    std::string time_text(double seconds)
    {
        bool with_date = seconds - anchor_ >= same_minute;
        double since = seconds - (delta_ ? previous_ : anchor_);
        previous_ = seconds;
        if (with_date)
            anchor_ = seconds;
        return human_time(seconds, since, with_date);
    }

    bool human_, delta_, color_;
    double anchor_ = 0;
    double previous_ = 0;
};

Task<> show_log(Handle &handle, const Args &args)
{
    LogView view(args);
    Json request {{"follow", args.has("follow") || args.has("new")}, {"nobacklog", args.has("new")}};
    auto stream = handle.stream("log.dmesg", request, {}, "log.cancel");
    while (auto answer = co_await stream.next()) {
        write_out(view.line(LogEntry::parse(answer->payload.string())));
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

int run_logger(const Args &args, Session &flux)
{
    int severity = parse_severity(args.value("severity", "notice"));
    if (severity < 0)
        throw UsageError(
            fmt::format("--severity: '{}' is none of {}", args.value("severity"), severity_names()));
    std::string application = args.value("appname", "logger");
    if (application.find(' ') != std::string::npos)
        throw UsageError(fmt::format("--appname: '{}' has a blank in it", application));
    double now = flux.loop().clock().wall_time();
    time_t whole = time_t(now);
    tm parts {};
    ::gmtime_r(&whole, &parts);
    char time[64];
    ::strftime(time, sizeof(time), "%FT%T", &parts);
    std::string line = fmt::format("<{}>1 {}.{:06}Z {} {} {} - - {}", log_priority(severity), time,
                                   int((now - double(whole)) * 1e6), flux.attribute("rank"), application,
                                   ::getpid(), args.joined(0));
    flux.handle().notify("log.append", Payload::raw(line));
    return 0;
}

} // namespace

const Command dmesg {
    .name = "dmesg",
    .summary = "Show the broker's log",
    .options = {{"-C,--clear", "forget what is there"},
                {"-c,--read-clear", "show it, then forget it"},
                {"-f,--follow", "show each new entry too"},
                {"-n,--new", "show only new entries"},
                {"-H,--human", "times as one reads them"},
                {"-d,--delta", "times as differences to the entry before"},
                {"-L,--color[=WHEN]", "always, never or auto"}},
    .max_args = 0,
    .run = run_dmesg,
};

const Command logger {
    .name = "logger",
    .args = "MESSAGE...",
    .summary = "Write an entry into the log",
    .options = {{"-s,--severity=SEVERITY", "emerg, alert, crit, err, warning, notice (default), info, debug"},
                {"-n,--appname=NAME", "who says it (default: logger)"}},
    .min_args = 1,
    .run = run_logger,
};

} // namespace flux::cmd
