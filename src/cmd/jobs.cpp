// flux jobs: the listing.
#include <algorithm>
#include <map>
#include <unistd.h>

#include "cmd/commands.hpp"
#include "cmd/instance_uri.hpp"
#include "cmd/job_client.hpp"
#include "cmd/job_fields.hpp"
#include "cmd/job_select.hpp"
#include "cmd/print.hpp"
#include "cmd/terminal.hpp"
#include "common/job/job_state.hpp"

namespace flux::cmd {

namespace {

constexpr std::string_view instance_style = color::bold_blue; // a job that is an instance itself

// How a listing is to look, the same for this instance and those below it.
struct Listing {
    const Args &args;
    OutputFormat format;
    OutputFormat::View view;
    bool color = false;
    double now = 0;
    int64_t max_level = -1; // -1: as deep as it goes
};

std::vector<Json> listed(const Args &args, Session &flux, const std::vector<std::string> &attributes,
                         double now)
{
    std::vector<Json> out;
    for (const auto &id : args.positional())
        out.push_back(find_job(flux, id, attributes));
    if (args.size() > 0)
        return out;
    auto selection = JobSelection::from(args, now);
    int64_t wanted = selection.count;
    if (wanted > 0)
        selection.count++; // one more tells whether there are more
    out = select_jobs(flux, selection, attributes);
    if (wanted > 0 && int64_t(out.size()) > wanted) {
        out.resize(size_t(wanted));
        if (!args.has("no-header"))
            warn("flux-jobs: only the first {} jobs are shown; use -c N for more, -c 0 for all", wanted);
    }
    return out;
}

Json statistics(const Args &args, Session &flux)
{
    Json stats = flux.rpc("job-list.job-stats", Json::object());
    if (!args.has("queue"))
        return stats;
    std::string name = args.value("queue");
    for (auto queue : stats["queues"].elements())
        if (queue.value<std::string>("name", "") == name)
            return queue;
    throw Error(ENOENT, "there are no statistics of a queue {}; flux queue list shows the queues", name);
}

int64_t count(const Json &json, std::string_view key)
{
    return json.value<int64_t>(key, 0);
}

// Shows the totals; returns how many jobs are active.
int64_t show_statistics(const Args &args, Session &flux)
{
    Json stats = statistics(args, flux);
    Json states = stats["job_states"];
    int64_t pending = count(states, "depend") + count(states, "priority") + count(states, "sched");
    int64_t running = count(states, "run") + count(states, "cleanup");
    print("{} running, {} completed, {} failed, {} pending, {} inactive purged\n", running,
          count(stats, "successful"),
          count(stats, "failed") + count(stats, "canceled") + count(stats, "timeout"), pending,
          count(stats, "inactive_purged"));
    return pending + running;
}

size_t line_width(const Args &args)
{
    if (!args.has("width"))
        return 0;
    int64_t width = args.value("width") == "true" ? 0 : args.integer("width", 0);
    if (width)
        return width > 0 ? size_t(width) : 0;
    return terminal_width(STDOUT_FILENO, 0);
}

std::vector<std::string> attributes_of(const Listing &listing)
{
    if (listing.args.has("json"))
        return {"all"};
    return job_attributes(listing.format.fields());
}

bool recurses(const Args &args)
{
    return args.has("recursive") || args.has("recurse-all");
}

bool can_look_inside(const Listing &listing, const Json &job)
{
    bool own = job.value<uint32_t>("userid", ::getuid()) == ::getuid();
    return is_instance(job) && job.value<uint32_t>("state", 0) == bit(JobState::run) &&
           (own || listing.args.has("recurse-all"));
}

std::string stopped_note(Session &flux, const std::string &name)
{
    try {
        Json request = name.empty() ? Json::object() : Json {{"name", name}};
        Json queue = flux.rpc("job-manager.queue-status", request, {.nodeid = 0});
        if (queue.value<bool>("start", true))
            return "";
        auto why = queue.value<std::string>("stop_reason", "");
        return fmt::format("{} is stopped{}{}", name.empty() ? "the queue" : "queue " + name,
                           why.empty() ? "" : ": ", why);
    } catch (const Error &) {
        return ""; // the queues were configured anew since
    }
}

// The scheduler says why a job waits, but it does not hear of jobs whose queue is stopped.
void note_stopped_queues(Session &flux, std::vector<Json> &jobs)
{
    std::map<std::string, std::string> notes; // by queue; empty: it is started
    for (auto &job : jobs) {
        if (job.value<uint32_t>("state", 0) != bit(JobState::sched) ||
            job.at("annotations", "sched", "reason_pending"))
            continue;
        auto name = job.value<std::string>("queue", "");
        auto [note, added] = notes.try_emplace(name);
        if (added)
            note->second = stopped_note(flux, name);
        if (!note->second.empty())
            job.set(stopped_queue, note->second);
    }
}

void list_below(const Listing &listing, const std::vector<Json> &jobs, const std::string &path,
                int64_t level);

void list_instance(Listing listing, Session &flux, const std::string &path, int64_t level)
{
    if (listing.args.has("stats"))
        show_statistics(listing.args, flux);
    auto found = listed(listing.args, flux, attributes_of(listing), listing.now);
    auto fields = listing.format.fields();
    if (std::ranges::find(fields, "contextual_info") != fields.end())
        note_stopped_queues(flux, found);
    if (listing.color)
        listing.view.style = [&](size_t row) {
            return is_instance(found[row]) ? std::string(instance_style) : std::string();
        };
    write_out(render_jobs(listing.format, found, listing.now, listing.view));
    listing.view.header = false;
    if (recurses(listing.args))
        list_below(listing, found, path, level);
}

void list_below(const Listing &listing, const std::vector<Json> &jobs, const std::string &path, int64_t level)
{
    if (listing.max_level >= 0 && level >= listing.max_level)
        return;
    for (const auto &job : jobs) {
        if (!can_look_inside(listing, job))
            continue;
        std::string below = path + "/" + id_text(JobId(job.get<uint64_t>("id")));
        try {
            Session inner(local_uri(job.at("annotations", "user", "uri").as<std::string>()));
            inner.connect();
            print("\n{}:\n", below.substr(1));
            list_instance(listing, inner, below, level + 1);
        } catch (const Error &error) {
            warn("flux-jobs: {}: {}", below.substr(1), error.what());
        }
    }
}

Json jobs_as_json(const Listing &listing, Session &flux, int64_t level)
{
    Json out = Json::array();
    for (const auto &job : listed(listing.args, flux, attributes_of(listing), listing.now)) {
        Json shown = job_for_json(job, listing.now);
        bool deeper = recurses(listing.args) && (listing.max_level < 0 || level < listing.max_level);
        if (deeper && can_look_inside(listing, job)) {
            try {
                Session inner(local_uri(job.at("annotations", "user", "uri").as<std::string>()));
                shown.set("jobs", jobs_as_json(listing, inner, level + 1));
            } catch (const Error &error) {
                warn("flux-jobs: {}: {}", id_text(JobId(job.get<uint64_t>("id"))), error.what());
            }
        }
        out.append(shown);
    }
    return out;
}

int run_jobs(const Args &args, Session &flux)
{
    if (args.has("json") && (args.has("stats") || args.has("stats-only")))
        throw UsageError("--json and --stats exclude each other");
    if (args.integer("threads", 1) < 1)
        throw UsageError(fmt::format("--threads={}: at least one is needed", args.value("threads")));
    if (args.has("stats-only"))
        return show_statistics(args, flux) > 0 ? 0 : 1;
    auto text = choose_format(args, job_formats());
    if (!text)
        return 0;
    Listing listing {.args = args,
                     .format = OutputFormat::parse(*text, job_fields()),
                     .view = {.header = !args.has("no-header"), .width = line_width(args)},
                     .color = wants_color(args),
                     .now = flux.loop().clock().wall_time(),
                     .max_level = args.integer("level", -1)};
    if (args.has("sort"))
        listing.format.sort_by(args.value("sort"));
    if (args.has("json")) {
        Json found = jobs_as_json(listing, flux, 0);
        print("{}\n", (args.size() == 1 ? found[size_t(0)] : Json {{"jobs", found}}).dump());
        return 0;
    }
    list_instance(listing, flux, "", 0);
    return 0;
}

} // namespace

const Command jobs {
    .name = "jobs",
    .args = "[JOBID...]",
    .summary = "List jobs",
    .options = {{"-a", "inactive ones too"},
                {"-A", "of all users"},
                {"-n,--no-header", "no header"},
                {"-u,--user=USER", "of this user, or all"},
                {"--name=NAME", "of this name"},
                {"-q,--queue=QUEUE,...", "in these queues"},
                {"-i,--include=HOSTS|RANKS", "that have resources there"},
                {"-c,--count=N", "at most N (default 1000; 0: all)"},
                {"--since=WHEN", "that were active since then (-2h, yesterday, 2026-11-26 14:30)"},
                {"-f,--filter=STATE|RESULT", "in these states or with these results"},
                {"-o,--format=NAME|FORMAT", "columns like {id} or {name:<10}, or a name; help lists these"},
                {"-w,--width[=N]", "cut lines at N columns (default: the terminal's)"},
                {"--sort=KEY,...", "by these fields, - in front for the reverse"},
                {"--json", "all that is known, as JSON"},
                {"--color[=WHEN]", "always, never or auto"},
                {"--stats", "totals first"},
                {"--stats-only", "only totals; exit 1 when no job is active"},
                {"-R,--recursive", "and the jobs of jobs that are instances themselves"},
                {"--recurse-all", "also of other users' instances"},
                {"-L,--level=N", "with --recursive, at most N levels down"},
                {"--threads=N", "taken as others know it; one thread asks all instances"}},
    .run = run_jobs,
};

} // namespace flux::cmd
