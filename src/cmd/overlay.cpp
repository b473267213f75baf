// flux uptime, flux overlay, flux shutdown: the instance as a whole.
#include <pwd.h>

#include "cmd/commands.hpp"
#include "cmd/eventlog_view.hpp"
#include "cmd/print.hpp"
#include "common/types/duration.hpp"
#include "common/types/hostlist.hpp"

namespace flux::cmd {

namespace {

int run_uptime(const Args &, Session &flux)
{
    uint32_t owner = uint32_t(std::stoul(flux.attribute("security.owner")));
    passwd *entry = ::getpwuid(owner);
    Json state = flux.rpc("state-machine.get");
    double now = flux.loop().clock().wall_time();
    print(" {} {} {},  owner {},  depth {},  size {}\n", local_time(now, "%H:%M:%S"),
          state.get<std::string>("state"), format_duration(state.get<double>("duration"), 2),
          entry ? entry->pw_name : fmt::format("{}", owner), flux.attribute("instance-level"),
          flux.attribute("size"));
    return 0;
}

std::string host_of(const Hostlist &hosts, uint32_t rank)
{
    return rank < hosts.size() ? hosts.nth(rank) : "?";
}

// The tree below one broker, with lines as tree(1) draws them.
void show_tree(Session &flux, const Args &args, const Hostlist &hosts, uint32_t rank,
               const std::string &before, const std::string &prefix, const Json &known)
{
    Json health = known;
    try {
        health =
            flux.rpc("overlay.health", {}, {.nodeid = rank, .timeout = seconds(args.duration("timeout", 0))});
    } catch (const Error &) {
        if (!known)
            throw; // else what its parent says of it is shown
    }
    auto status = health.get<std::string>("status");
    if (!args.has("down") || status != "full")
        print("{}{} {}: {}{}\n", before, rank, host_of(hosts, rank), status,
              args.has("verbose") ? " for " + format_duration(health.value<double>("duration", 0), 4) : "");
    if (args.has("summary"))
        return;
    Json children = health["children"];
    for (size_t i = 0; i < children.size(); i++) {
        bool last = i + 1 == children.size();
        show_tree(flux, args, hosts, children[i].get<uint32_t>("rank"), prefix + (last ? "└─ " : "├─ "),
                  prefix + (last ? "   " : "│  "), children[i]);
    }
}

int run_status(const Args &args, Session &flux)
{
    auto hosts = value_or_throw(Hostlist::parse(flux.attribute("hostlist")));
    show_tree(flux, args, hosts, uint32_t(args.integer("rank", 0)), "", "", {});
    return 0;
}

Task<> follow_shutdown(Handle &handle, bool quiet)
{
    auto stream = handle.stream("shutdown.start", Json::object(), {.nodeid = 0});
    while (auto answer = co_await stream.next())
        if (auto text = answer->json() ? answer->json().find<std::string>("log") : std::nullopt;
            text && !quiet)
            warn("{}", *text);
}

int run_shutdown(const Args &args, Session &flux)
{
    if (args.has("background")) {
        flux.handle().notify("shutdown.start", Json::object(), {.nodeid = 0});
        return 0;
    }
    try {
        flux.run(follow_shutdown(flux.handle(), args.has("quiet")));
    } catch (const Error &error) {
        if (error.errnum() != ECONNRESET) // the broker is gone: that is what was asked for
            throw;
    }
    return 0;
}

const Command status {
    .name = "status",
    .summary = "Show the tree of brokers and which are well",
    .options = {{"-r,--rank=RANK", "below this broker"},
                {"-v,--verbose", "show for how long"},
                {"-t,--timeout=FSD", "of each question"},
                {"--summary", "only the broker itself"},
                {"--down", "only those that are not well"}},
    .max_args = 0,
    .run = run_status,
};

} // namespace

const Command uptime {.name = "uptime",
                      .summary = "Show how long the instance has been in its state",
                      .max_args = 0,
                      .run = run_uptime};
const Command overlay {.name = "overlay", .summary = "Look at the tree of brokers", .subcommands = {&status}};
const Command shutdown {
    .name = "shutdown",
    .summary = "End the instance",
    .options = {{"--background", "do not wait until it has ended"}, {"--quiet", "do not show its log"}},
    .max_args = 0,
    .run = run_shutdown,
};

} // namespace flux::cmd
