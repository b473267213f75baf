// flux housekeeping: what runs on the nodes of jobs that are through, before their resources are free again.
#include <algorithm>
#include <csignal>

#include "cmd/commands.hpp"
#include "cmd/job_client.hpp"
#include "cmd/named_formats.hpp"
#include "cmd/print.hpp"
#include "common/job/job_exit.hpp"
#include "common/types/hostlist.hpp"
#include "common/types/idset.hpp"

namespace flux::cmd {

namespace {

const FormatFields fields {
    .thing = "housekeeping tasks",
    .headers = {{"id", "JOBID"},
                {"id.f58", "JOBID"},
                {"id.dec", "JOBID"},
                {"runtime", "RUNTIME"},
                {"nnodes", "NNODES"},
                {"ranks", "RANKS"},
                {"nodelist", "NODELIST"},
                {"allocated.nnodes", "NNODES"},
                {"allocated.ranks", "RANKS"},
                {"allocated.nodelist", "NODELIST"},
                {"pending.nnodes", "NPENDING"},
                {"pending.ranks", "PENDING"},
                {"pending.nodelist", "PENDING"}},
    .ordered_as = {{"id", "id.dec"}},
};

const FormatFamily formats {
    .command = "housekeeping",
    .table = "list",
    .variable = "FLUX_HOUSEKEEPING_LIST_FORMAT_DEFAULT",
    .formats = {{"default", "which nodes are not free yet, and how many of them are not through",
                 "{id.f58:>12} {nnodes:>6} {pending.nnodes:>8} {runtime!F:>8} {nodelist}"}},
};

struct Housekeeping {
    JobId id;
    double t_start = 0;
    Idset allocated, pending; // ranks
};

// In the order of their jobs' ids.
std::vector<Housekeeping> running(Session &flux)
{
    std::vector<Housekeeping> out;
    Json stats = flux.rpc("job-manager.stats-get", {}, {.nodeid = 0});
    for (auto [id, entry] : stats.at("housekeeping", "running").members())
        out.push_back({value_or_throw(JobId::parse(id)), entry.get<double>("t_start"),
                       value_or_throw(Idset::parse(entry.get<std::string>("allocated"))),
                       value_or_throw(Idset::parse(entry.get<std::string>("pending")))});
    std::sort(out.begin(), out.end(), [](const auto &a, const auto &b) { return a.id < b.id; });
    return out;
}

// Ranks, or hosts: those that do not exist are none.
Idset ranks_of(Session &flux, std::string_view option, const std::string &text)
{
    if (auto ranks = Idset::parse(text))
        return *ranks;
    auto wanted = option_value(option, Hostlist::parse(text));
    return value_or_throw(Hostlist::parse(flux.attribute("hostlist"))).find_all(wanted);
}

FieldValue field_of(const Housekeeping &house, const Hostlist &hosts, double now, std::string_view field)
{
    if (field == "id.dec")
        return int64_t(house.id.value());
    if (field.starts_with("id"))
        return id_text(house.id);
    if (field == "runtime")
        return now - house.t_start;
    const Idset &ranks = field.starts_with("pending.") ? house.pending : house.allocated;
    if (field.ends_with("nnodes"))
        return int64_t(ranks.count());
    if (field.ends_with("ranks"))
        return ranks.format();
    return hosts.subset(ranks).encode();
}

int run_housekeeping_list(const Args &args, Session &flux)
{
    auto text = choose_format(args, formats);
    if (!text)
        return 0;
    auto format = OutputFormat::parse(*text, fields);
    auto rows = running(flux);
    if (args.has("include")) {
        Idset wanted = ranks_of(flux, "include", args.value("include"));
        for (auto &row : rows) {
            row.allocated = row.allocated & wanted;
            row.pending = row.pending & wanted;
        }
        std::erase_if(rows, [](const auto &row) { return row.allocated.empty(); });
    }
    auto hosts = value_or_throw(Hostlist::parse(flux.attribute("hostlist")));
    double now = flux.loop().clock().wall_time();
    auto get = [&](size_t row, std::string_view field) {
        return field_of(rows[row], hosts, now, field);
    };
    write_out(format.render(rows.size(), get, {.header = !args.has("no-header")}));
    return 0;
}

// What is meant by --jobid and --targets has to be there, so that a slip of the pen is told.
void check_targets(const std::vector<Housekeeping> &houses, const std::optional<JobId> &id, const Args &args,
                   const Json &request)
{
    bool job_seen = false, rank_seen = false;
    auto ranks = request.find<std::string>("ranks");
    for (const auto &house : houses) {
        if (id && house.id != *id)
            continue;
        job_seen = true;
        rank_seen |= !ranks || !(house.pending & value_or_throw(Idset::parse(*ranks))).empty();
    }
    if (id && !job_seen)
        throw Error(ENOENT, "no housekeeping runs for job {}; flux housekeeping list shows what does",
                    id_text(*id));
    if (ranks && !rank_seen)
        throw Error(ENOENT, "no housekeeping runs on {}; flux housekeeping list shows what does",
                    args.value("targets"));
}

int run_housekeeping_kill(const Args &args, Session &flux)
{
    if (!args.has("all") && !args.has("jobid") && !args.has("targets"))
        throw UsageError("say what to end: --jobid, --targets or --all");
    if (args.has("all") && (args.has("jobid") || args.has("targets")))
        throw UsageError(
            fmt::format("--all and --{} exclude each other", args.has("jobid") ? "jobid" : "targets"));
    int signum = args.has("signal") ? parse_signal(args.value("signal")) : SIGTERM;
    if (signum <= 0)
        throw UsageError(fmt::format("--signal: '{}' is no signal: give a number or a name like TERM",
                                     args.value("signal")));
    Json request {{"signal", signum}};
    std::optional<JobId> id;
    if (args.has("jobid")) {
        id = option_value("jobid", JobId::parse(args.value("jobid")));
        request.set("jobid", id->value());
    }
    if (args.has("targets"))
        request.set("ranks", ranks_of(flux, "targets", args.value("targets")).format());
    check_targets(running(flux), id, args, request);
    flux.rpc("job-manager.housekeeping-kill", request, {.nodeid = 0});
    return 0;
}

const Command housekeeping_list {
    .name = "list",
    .summary = "List the jobs whose nodes are in housekeeping",
    .options = {{"-i,--include=TARGETS", "only on these hosts or ranks"},
                {"-o,--format=NAME|FORMAT", "columns like {id.f58:>12}, or a name; help lists these"},
                {"-n,--no-header", "no header"}},
    .max_args = 0,
    .run = run_housekeeping_list,
};

const Command housekeeping_kill {
    .name = "kill",
    .summary = "Send a signal to housekeeping that runs",
    .options = {{"-s,--signal=SIGNUM", "this one, by number or name, instead of TERM"},
                {"-t,--targets=TARGETS", "on these hosts or ranks"},
                {"-j,--jobid=JOBID", "of this job"},
                {"--all", "of all jobs"}},
    .max_args = 0,
    .run = run_housekeeping_kill,
};

} // namespace

const Command housekeeping {
    .name = "housekeeping",
    .summary = "Show and end what runs on nodes between jobs",
    .subcommands = {&housekeeping_kill, &housekeeping_list},
};

} // namespace flux::cmd
