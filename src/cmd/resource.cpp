// flux resource: what the instance has, what of it is used, and what is drained.
#include "cmd/commands.hpp"
#include "cmd/eventlog_view.hpp"
#include "cmd/print.hpp"
#include "common/job/resource_set.hpp"

namespace flux::cmd {

namespace {

ResourceSet resources(const Json &answer, std::string_view key)
{
    Json set = answer[key];
    if (!set || set.is_null() || set.at("execution", "R_lite").empty())
        return {};
    return value_or_throw(ResourceSet::from_json(set));
}

std::vector<std::string> row(const std::string &state, const ResourceSet &set)
{
    return {state, fmt::format("{}", set.nnodes()), fmt::format("{}", set.ncores()),
            fmt::format("{}", set.ngpus()), set.nodelist().encode()};
}

struct Views {
    ResourceSet all, free, allocated, down;
};

Views views(Session &flux)
{
    Json answer = flux.rpc("resource.sched-status", {}, {.nodeid = 0});
    Views out {.all = resources(answer, "all"),
               .allocated = resources(answer, "allocated"),
               .down = resources(answer, "down")};
    out.free = out.all;
    out.free.subtract(out.allocated).subtract(out.down);
    return out;
}

int run_list(const Args &args, Session &flux)
{
    Views now = views(flux);
    std::string wanted = "," + args.value("states", "free,allocated,down") + ",";
    std::vector<std::vector<std::string>> rows;
    if (!args.has("no-header"))
        rows.push_back({"STATE", "NNODES", "NCORES", "NGPUS", "NODELIST"});
    auto add = [&](const std::string &name, const ResourceSet &set) {
        if (wanted.find("," + name + ",") != std::string::npos)
            rows.push_back(row(name, set));
    };
    add("all", now.all);
    add("free", now.free);
    add("allocated", now.allocated);
    add("down", now.down);
    write_out(render_table(rows, {0, 1, 2, 3}));
    return 0;
}

int run_R(const Args &args, Session &flux)
{
    Views now = views(flux);
    std::string wanted = args.value("states", "all");
    const ResourceSet *set = wanted == "all"         ? &now.all
                             : wanted == "free"      ? &now.free
                             : wanted == "allocated" ? &now.allocated
                             : wanted == "down"      ? &now.down
                                                     : nullptr;
    if (!set)
        throw UsageError(fmt::format("--states: '{}' is none of all, free, allocated, down", wanted));
    print("{}\n", set->encode());
    return 0;
}

int run_status(const Args &args, Session &flux)
{
    Json answer = flux.rpc("resource.status", {}, {.nodeid = 0});
    ResourceSet all = resources(answer, "R");
    std::vector<std::vector<std::string>> rows;
    if (!args.has("no-header"))
        rows.push_back({"STATE", "UP", "NNODES", "NODELIST"});
    auto ids = [&](const char *key) {
        return value_or_throw(Idset::parse(answer.value<std::string>(key, "")));
    };
    auto add = [&](const std::string &state, const char *up, const Idset &ranks, bool always) {
        if (always || !ranks.empty())
            rows.push_back(
                {state, up, fmt::format("{}", ranks.count()), all.subset(ranks).nodelist().encode()});
    };
    Idset drained;
    for (auto [ranks, entry] : answer["drain"].members())
        drained |= value_or_throw(Idset::parse(ranks));
    Idset online = ids("online") - ids("exclude");
    add("avail", "✔", online - drained, true);
    add("avail*", "✗", ids("offline") - drained - ids("exclude"), false);
    add("drain", "✔", online & drained, false);
    add("drain*", "✗", drained - online, false);
    add("exclude", "", ids("exclude"), false);
    write_out(render_table(rows, {0, 1, 2}));
    return 0;
}

int show_drained(Session &flux)
{
    Json answer = flux.rpc("resource.status", {}, {.nodeid = 0});
    ResourceSet all = resources(answer, "R");
    std::vector<std::vector<std::string>> rows {{"TIME", "RANK", "REASON", "NODELIST"}};
    for (auto [ranks, entry] : answer["drain"].members())
        rows.push_back({local_time(entry.value<double>("timestamp", 0), "%FT%T"), std::string(ranks),
                        entry.value<std::string>("reason", ""),
                        all.subset(value_or_throw(Idset::parse(ranks))).nodelist().encode()});
    write_out(render_table(rows));
    return 0;
}

int run_drain(const Args &args, Session &flux)
{
    if (args.size() == 0)
        return show_drained(flux);
    Json request {{"targets", args[0]}};
    if (args.size() > 1)
        request.set("reason", args.joined(1));
    if (args.has("force") || args.has("update"))
        request.set("mode", args.has("force") ? "overwrite" : "update");
    flux.rpc("resource.drain", request, {.nodeid = 0});
    return 0;
}

int run_undrain(const Args &args, Session &flux)
{
    Json request {{"targets", args[0]}};
    if (args.size() > 1)
        request.set("reason", args.joined(1));
    if (args.has("force"))
        request.set("mode", "force");
    flux.rpc("resource.undrain", request, {.nodeid = 0});
    return 0;
}

const Command list {
    .name = "list",
    .summary = "Show what is free, allocated and down",
    .options = {{"-s,--states=LIST", "all, free, allocated, down"}, {"-n,--no-header", "no header"}},
    .max_args = 0,
    .run = run_list};
const Command resources_R {.name = "R",
                           .summary = "Show resources as R (RFC 20)",
                           .options = {{"-s,--states=STATE", "all (default), free, allocated, down"}},
                           .max_args = 0,
                           .run = run_R};
const Command status {.name = "status",
                      .summary = "Show which nodes are available, drained, excluded",
                      .options = {{"-n,--no-header", "no header"}},
                      .max_args = 0,
                      .run = run_status};
const Command drain {.name = "drain",
                     .args = "[TARGETS [REASON]]",
                     .summary = "Take nodes (ranks or hosts) out of scheduling; without arguments list those",
                     .options = {{"-f,--force", "replace the reason of those that are drained"},
                                 {"-u,--update", "leave those that are drained alone"}},
                     .run = run_drain};
const Command undrain {.name = "undrain",
                       .args = "TARGETS [REASON]",
                       .summary = "Put nodes back",
                       .options = {{"-f,--force", "it is no error if some are not drained"}},
                       .min_args = 1,
                       .run = run_undrain};

} // namespace

const Command resource {
    .name = "resource",
    .summary = "Show and drain resources",
    .subcommands = {&drain, &list, &resources_R, &status, &undrain},
};

} // namespace flux::cmd
