// flux startlog: when the instance was started and stopped, from admin.eventlog in the KVS.
#include "cmd/commands.hpp"
#include "cmd/eventlog_view.hpp"
#include "cmd/kvs_client.hpp"
#include "cmd/print.hpp"
#include "common/types/duration.hpp"

namespace flux::cmd {

namespace {

struct Period {
    double start = 0;
    std::optional<double> finish;
    std::string version;
};

std::vector<Period> periods(Session &flux)
{
    std::string text =
        kvs_client::value_of(kvs_client::lookup(flux, "admin.eventlog", "primary", 0), "admin.eventlog");
    std::vector<Period> out;
    for (const auto &event : value_or_throw(parse_eventlog(text))) {
        if (event.name == "start")
            out.push_back(
                {.start = event.timestamp, .version = event.context.value<std::string>("core_version", "?")});
        else if (event.name == "finish" && !out.empty())
            out.back().finish = event.timestamp;
    }
    return out;
}

int run_startlog(const Args &args, Session &flux)
{
    auto all = periods(flux);
    // The period before the current one: without a finish event it ended in a crash.
    bool crashed = all.size() > 1 && !all[all.size() - 2].finish;
    if (args.has("check")) {
        if (crashed && !args.has("quiet"))
            warn("flux-startlog: the instance was not shut down before its last start: data may be missing");
        return crashed ? 1 : 0;
    }
    if (args.has("quiet"))
        return 0;
    double now = flux.loop().clock().wall_time();
    for (size_t i = 0; i < all.size(); i++) {
        const Period &period = all[i];
        bool current = i + 1 == all.size() && !period.finish;
        std::string end = period.finish ? local_time(*period.finish, "%F %R")
                          : current     ? "running"
                                        : "crashed";
        std::string lasted =
            period.finish || current
                ? fmt::format("({})", format_duration(period.finish.value_or(now) - period.start, 3))
                : "";
        print("{:<25} {} - {:<16} {}\n", args.has("show-version") ? "core-" + period.version : "",
              local_time(period.start, "%F %R"), end, lasted);
    }
    return 0;
}

} // namespace

const Command startlog {
    .name = "startlog",
    .summary = "Show when the instance was started and stopped",
    .options = {{"--check", "exit 1 when the last start came after a crash"},
                {"--quiet", "show nothing but errors"},
                {"-v,--show-version", "show the version that was started"}},
    .max_args = 0,
    .run = run_startlog,
};

} // namespace flux::cmd
