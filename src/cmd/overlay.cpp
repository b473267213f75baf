// flux overlay: the tree of brokers.
#include "cmd/commands.hpp"
#include "cmd/print.hpp"
#include "common/types/duration.hpp"
#include "common/types/hostlist.hpp"

namespace flux::cmd {

namespace {

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

const Command overlay {.name = "overlay", .summary = "Look at the tree of brokers", .subcommands = {&status}};

} // namespace flux::cmd
