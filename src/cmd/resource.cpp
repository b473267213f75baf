// flux resource: what the instance has, what of it is used, and what is drained.
#include <algorithm>
#include <filesystem>

#include "cmd/commands.hpp"
#include "cmd/job_select.hpp"
#include "cmd/named_formats.hpp"
#include "cmd/print.hpp"
#include "cmd/resource_commands.hpp"
#include "cmd/resource_view.hpp"

namespace flux::cmd {

namespace {

const FormatFamily resource_list_formats {
    .command = "resource",
    .table = "list",
    .variable = "FLUX_RESOURCE_LIST_FORMAT_DEFAULT",
    .formats = {{"default", "counts and nodes of each state",
                 "{state:>10} ?:{queue:<10.10+} ?:{propertiesx:<10.10+} {nnodes:>6} {ncores:>8} {ngpus:>8} "
                 "{nodelist}"},
                {"rlist", "the cores and gpus themselves",
                 "{state:>10} ?:{queue:<10.10+} ?:{propertiesx:<10.10+} {nnodes:>6} {ncores:>8} {ngpus:>8} "
                 "{rlist}"}},
};

const FormatFamily resource_status_formats {
    .command = "resource",
    .table = "status",
    .variable = "FLUX_RESOURCE_STATUS_FORMAT_DEFAULT",
    .formats = {{"default", "nodes of each state",
                 "{state:>12} {color_up}{up:>2}{color_off} {nnodes:>6} {nodelist}"},
                {"long", "and why nodes are drained",
                 "{state:>12} {color_up}{up:>2}{color_off} {nnodes:>6} +:{reason:<25} {nodelist}"}},
};

const FormatFamily resource_drain_formats {
    .command = "resource",
    .table = "drain",
    .variable = "FLUX_RESOURCE_DRAIN_FORMAT_DEFAULT",
    .formats = {{"default", "what is drained since when and why",
                 "{timestamp!d:%b%d %R::<12} {state:<8.8} {reason:<30.30+} {nodelist}"},
                {"long", "the same with ranks and whole reasons",
                 "{timestamp!d:%b%d %R::<12} {state:<8.8} {ranks:<8.8+} +:{reason:<30} {nodelist}"}},
};

SchedulerView filtered_view(const Args &args, Session &flux)
{
    SchedulerView view(flux);
    if (args.has("queue"))
        view.keep_queues(comma_list(args.all("queue")));
    if (args.has("include"))
        view.keep_targets(args.value("include"));
    return view;
}

std::vector<std::string> wanted_states(const Args &args, std::vector<std::string> fallback)
{
    return args.has("states") ? comma_list(args.all("states")) : fallback;
}

// The nodes by the properties that they have: those of one group differ in nothing that a row tells.
std::map<std::vector<bool>, ResourceSet> by_properties(ResourceSet set)
{
    std::map<std::vector<bool>, ResourceSet> out;
    if (set.properties().empty() && !set.empty()) {
        out[{}] = std::move(set);
        return out;
    }
    std::vector<bool> has(set.properties().size());
    for (const auto &node : set.nodes()) {
        size_t place = 0;
        for (const auto &[name, ranks] : set.properties())
            has[place++] = ranks.contains(node.rank);
        out[has].merge_node(node, node.shape());
    }
    return out;
}

ResourceRow row_of(const Args &args, const SchedulerView &view, uint32_t rank)
{
    const ResourceSet &set = view.all();
    auto chosen = args.has("queue") ? comma_list(args.all("queue")) : std::vector<std::string>();
    std::vector<std::string> queues, properties, others;
    for (const auto &queue : view.queues_of(rank))
        if (chosen.empty() || std::find(chosen.begin(), chosen.end(), queue) != chosen.end())
            queues.push_back(queue);
    for (const auto &[name, ranks] : set.properties())
        if (ranks.contains(rank)) {
            properties.push_back(name);
            if (!view.has_queue(name) && !(name.starts_with('+') && view.has_queue(name.substr(1))))
                others.push_back(name);
        }
    return {.queue = fmt::format("{}", fmt::join(queues, ",")),
            .properties = fmt::format("{}", fmt::join(properties, ",")),
            .propertiesx = fmt::format("{}", fmt::join(others, ","))};
}

// One row for each kind of node in a state: same queues, same properties. In the order of their first ranks.
void add_rows(std::vector<ResourceRow> &rows, const Args &args, const SchedulerView &view,
              const std::string &state)
{
    std::vector<ResourceRow> kinds;
    for (auto &[has, nodes] : by_properties(view.state(state))) {
        ResourceRow row = row_of(args, view, nodes.nodes().front().rank);
        row.state = state;
        auto same = std::find_if(kinds.begin(), kinds.end(),
                                 [&](const ResourceRow &kind) { return kind.same_line(row); });
        if (same != kinds.end()) {
            same->set.unite(nodes);
            continue;
        }
        row.set = std::move(nodes);
        kinds.push_back(std::move(row));
    }
    std::ranges::sort(kinds, {}, [](const ResourceRow &kind) { return kind.set.nodes().front().rank; });
    bool skip_empty = args.has("skip-empty") || (args.has("include") && !args.has("no-skip-empty"));
    if (kinds.empty() && !skip_empty)
        kinds.push_back({.state = state});
    std::ranges::move(kinds, std::back_inserter(rows));
}

int run_resource_list(const Args &args, Session &flux)
{
    auto text = choose_format(args, resource_list_formats);
    if (!text)
        return 0;
    auto format = OutputFormat::parse(*text, resource_list_fields);
    SchedulerView view = filtered_view(args, flux);
    std::vector<ResourceRow> rows;
    for (const auto &state : wanted_states(args, {"free", "allocated", "down"}))
        add_rows(rows, args, view, state);
    merge_rows(rows, format);
    write_out(format.render(
        rows.size(),
        [&](size_t row, std::string_view field) { return resource_field(rows[row], field, false); },
        {.header = !args.has("no-header")}));
    return 0;
}

ResourceSet chosen_set(const Args &args, Session &flux)
{
    SchedulerView view = filtered_view(args, flux);
    ResourceSet out;
    for (const auto &state : wanted_states(args, {"all"}))
        out.unite(view.state(state));
    return out;
}

int run_resource_info(const Args &args, Session &flux)
{
    ResourceSet set = chosen_set(args, flux);
    print("{} Nodes, {} Cores, {} GPUs\n", set.nnodes(), set.ncores(), set.ngpus());
    return 0;
}

int run_resource_R(const Args &args, Session &flux)
{
    print("{}\n", chosen_set(args, flux).encode());
    return 0;
}

// The administrator's view: each node's state and, if it is drained, since when and why.
class AdminView {
public:
    AdminView(const Args &args, Session &flux)
    {
        Json answer = flux.rpc("resource.status", {}, {.nodeid = 0});
        SchedulerView scheduler(flux);
        allocated_ = scheduler.state("allocated").ranks();
        if (args.has("queue"))
            scheduler.keep_queues(comma_list(args.all("queue")));
        if (Json set = answer["R"]; set && !set.at("execution", "R_lite").empty())
            all_ = value_or_throw(ResourceSet::from_json(set));
        if (args.has("queue"))
            all_ = all_.subset(scheduler.state("all").ranks());
        if (args.has("include"))
            keep_targets(args.value("include"));
        online_ = ids(answer, "online");
        excluded_ = ids(answer, "exclude");
        torpid_ = ids(answer, "torpid");
        drain_ = answer["drain"];
        for (auto [ranks, entry] : drain_.members())
            drained_ |= value_or_throw(Idset::parse(ranks));
        housekeeping_ = in_housekeeping(flux);
    }

    std::vector<ResourceRow> rows(const std::string &state) const
    {
        std::vector<ResourceRow> out;
        if (state == "drain") {
            out = rows("draining");
            for (auto &row : rows("drained"))
                out.push_back(std::move(row));
        } else if (state == "drained" || state == "draining") {
            for (auto [ranks, entry] : drain_.members()) {
                Idset set = value_or_throw(Idset::parse(ranks));
                set = state == "draining" ? set & allocated_ : set - allocated_;
                add(out, state, set, entry.value<double>("timestamp", 0),
                    entry.value<std::string>("reason", ""));
            }
        } else {
            add(out, state, ranks_in(state), 0, "");
        }
        return out;
    }

private:
    static Idset ids(const Json &answer, const char *key)
    {
        return value_or_throw(Idset::parse(answer.value<std::string>(key, "")));
    }

    // None without a job manager.
    static Idset in_housekeeping(Session &flux)
    {
        Idset out;
        Json stats;
        try {
            stats = flux.rpc("job-manager.stats-get", {}, {.nodeid = 0});
        } catch (const Error &error) {
            if (error.errnum() != ENOSYS)
                throw;
        }
        for (auto [id, job] : stats.at("housekeeping", "running").members())
            out |= value_or_throw(Idset::parse(job.value<std::string>("pending", "")));
        return out;
    }

    void keep_targets(const std::string &text)
    {
        if (auto ranks = Idset::parse(text))
            all_ = all_.subset(*ranks);
        else
            all_ = all_.subset(all_.ranks_of(option_value("include", Hostlist::parse(text))));
    }

    Idset ranks_in(const std::string &state) const
    {
        if (state == "avail")
            return all_.ranks() - excluded_ - drained_ - torpid_;
        if (state == "exclude")
            return excluded_;
        if (state == "allocated")
            return allocated_;
        if (state == "torpid")
            return torpid_;
        if (state == "housekeeping")
            return housekeeping_;
        if (state == "online")
            return online_;
        if (state == "offline")
            return all_.ranks() - online_;
        if (state == "all")
            return all_.ranks();
        std::vector<std::string> names {"avail",  "exclude",   "draining",     "drained", "drain",
                                        "torpid", "allocated", "housekeeping", "online",  "offline"};
        throw UsageError(fmt::format("--states: '{}' is none of {}{}", state, fmt::join(names, ", "),
                                     did_you_mean(state, names)));
    }

    void add(std::vector<ResourceRow> &out, const std::string &state, const Idset &ranks, double timestamp,
             const std::string &reason) const
    {
        for (bool online : {true, false}) {
            ResourceRow row {.state = online || state == "offline" ? state : state + "*",
                             .online = online,
                             .timestamp = timestamp,
                             .reason = reason,
                             .set = all_.subset(online ? ranks & online_ : ranks - online_)};
            if (!row.set.empty())
                out.push_back(std::move(row));
        }
    }

    ResourceSet all_;
    Idset online_, excluded_, torpid_, drained_, allocated_, housekeeping_;
    Json drain_;
};

void show_admin(const Args &args, std::vector<ResourceRow> rows, const OutputFormat &format)
{
    merge_rows(rows, format);
    bool color = wants_color(args);
    write_out(format.render(
        rows.size(),
        [&](size_t row, std::string_view field) { return resource_field(rows[row], field, color); },
        {.header = !args.has("no-header")}));
}

int run_resource_status(const Args &args, Session &flux)
{
    auto text = choose_format(args, resource_status_formats);
    if (!text)
        return 0;
    auto format = OutputFormat::parse(*text, resource_status_fields);
    AdminView view(args, flux);
    std::vector<ResourceRow> rows;
    for (const auto &state :
         wanted_states(args, {"avail", "exclude", "draining", "drained", "torpid", "housekeeping"})) {
        auto found = view.rows(state);
        if (found.empty() && args.has("states") && !args.has("skip-empty"))
            found.push_back({.state = state});
        rows.insert(rows.end(), found.begin(), found.end());
    }
    show_admin(args, std::move(rows), format);
    return 0;
}

int show_drained(const Args &args, Session &flux)
{
    auto text = choose_format(args, resource_drain_formats);
    if (!text)
        return 0;
    auto format = OutputFormat::parse(*text, resource_status_fields);
    show_admin(args, AdminView(args, flux).rows("drain"), format);
    return 0;
}

const std::string &targets_of(const Args &args)
{
    if (args[0].empty())
        throw UsageError("TARGETS is empty: give ranks or hosts");
    return args[0];
}

int run_resource_drain(const Args &args, Session &flux)
{
    if (args.size() == 0)
        return show_drained(args, flux);
    if (args.has("force") && args.has("update"))
        throw UsageError("--force and --update exclude each other");
    Json request {{"targets", targets_of(args)}};
    if (args.size() > 1)
        request.set("reason", args.joined(1));
    if (args.has("update"))
        request.set("mode", "update");
    else if (args.has("force"))
        request.set("mode", args.times("force") > 1 ? "force-overwrite" : "overwrite");
    flux.rpc("resource.drain", request, {.nodeid = 0});
    return 0;
}

int run_resource_undrain(const Args &args, Session &flux)
{
    Json request {{"targets", targets_of(args)}};
    if (args.size() > 1)
        request.set("reason", args.joined(1));
    if (args.has("force") && args.has("update"))
        throw UsageError("--force and --update exclude each other");
    if (args.has("update"))
        request.set("mode", "update");
    else if (args.has("force"))
        request.set("mode", args.times("force") > 1 ? "force-overwrite" : "force");
    flux.rpc("resource.undrain", request, {.nodeid = 0});
    return 0;
}

int run_resource_reload(const Args &args, Session &flux)
{
    auto path = std::filesystem::absolute(args[0]).lexically_normal().string();
    Json request {{"path", path}, {"xml", args.has("xml")}, {"force", args.has("force")}};
    flux.rpc("resource.reload", request, {.nodeid = 0});
    return 0;
}

int run_resource_acquire_mute(const Args &, Session &flux)
{
    flux.rpc("resource.acquire-mute", {}, {.nodeid = 0});
    return 0;
}

const Option queue_option {"-q,--queue=QUEUE,...", "only what is in these queues"};
const Option include_option {"-i,--include=TARGETS", "only these ranks or hosts"};
const Option header_option {"-n,--no-header", "no header"};
const Option format_option {"-o,--format=NAME|FORMAT",
                            "columns like {nnodes:>6}, or a name; help lists these"};
const Option color_option {"-L,--color[=WHEN]", "always, never or auto"};

const Command resource_list {
    .name = "list",
    .summary = "Show what is free, allocated and down",
    .options = {{"-s,--states=STATE,...", "free, allocated, down (these by default), up, all"},
                queue_option,
                include_option,
                {"--skip-empty", "no lines without resources (the default with --include)"},
                {"--no-skip-empty", "lines without resources too"},
                format_option,
                header_option},
    .max_args = 0,
    .run = run_resource_list};
const Command resource_info {.name = "info",
                             .summary = "Show how many nodes, cores and gpus there are",
                             .options = {{"-s,--states=STATE,...", "only in these states (default: all)"},
                                         queue_option,
                                         include_option},
                             .max_args = 0,
                             .run = run_resource_info};
const Command resource_R {.name = "R",
                          .summary = "Show resources as R (RFC 20)",
                          .options = {{"-s,--states=STATE,...", "only in these states (default: all)"},
                                      queue_option,
                                      include_option},
                          .max_args = 0,
                          .run = run_resource_R};
const Command resource_status {
    .name = "status",
    .summary = "Show which nodes are available, drained, excluded",
    .options = {{"-s,--states=STATE,...", "only these: avail, exclude, drained, draining, allocated, ..."},
                queue_option,
                include_option,
                {"--skip-empty", "no lines without nodes, even with --states"},
                format_option,
                header_option,
                color_option},
    .max_args = 0,
    .run = run_resource_status};
const Command resource_drain {
    .name = "drain",
    .args = "[TARGETS [REASON]]",
    .summary = "Take nodes (ranks or hosts) out of scheduling; without arguments list those",
    .options = {{"-f,--force", "replace the reason of those that are drained; twice: the time too"},
                {"-u,--update", "leave those that are drained alone"},
                queue_option,
                include_option,
                format_option,
                header_option,
                color_option},
    .run = run_resource_drain};
const Command resource_undrain {.name = "undrain",
                                .args = "TARGETS [REASON]",
                                .summary = "Put nodes back",
                                .options = {{"-f,--force", "it is no error if some are not drained"},
                                            {"-u,--update", "the same, and those are left out of the event"}},
                                .min_args = 1,
                                .run = run_resource_undrain};

const Command resource_reload {
    .name = "reload",
    .args = "PATH",
    .summary = "Replace what the instance has by an R (RFC 20), which rank 0 reads",
    .options = {{"-x,--xml", "PATH is a directory with a topology of hwloc RANK.xml of each rank"},
                {"-f,--force", "leave out ranks that are no brokers"}},
    .min_args = 1,
    .max_args = 1,
    .run = run_resource_reload};
const Command resource_acquire_mute {.name = "acquire-mute",
                                     .summary = "Tell the scheduler no more which nodes come and go",
                                     .max_args = 0,
                                     .run = run_resource_acquire_mute};

} // namespace

const Command resource {
    .name = "resource",
    .summary = "Show and drain resources",
    .subcommands = {&resource_acquire_mute, &resource_drain, &resource_eventlog, &resource_graph,
                    &resource_info, &resource_list, &resource_R, &resource_reload, &resource_status,
                    &resource_undrain},
};

} // namespace flux::cmd
