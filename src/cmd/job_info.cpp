// flux job info, list, list-ids, last, id, timeleft, taskmap, stats, namespace: what is to be known.
#include <algorithm>
#include <cmath>
#include <limits>
#include <unistd.h>

#include "cmd/job_client.hpp"
#include "cmd/job_commands.hpp"
#include "cmd/job_select.hpp"
#include "cmd/print.hpp"
#include "common/job/job_state.hpp"
#include "common/job/resource_set.hpp"
#include "common/job/sign.hpp"
#include "common/types/duration.hpp"
#include "common/types/taskmap.hpp"

namespace flux::cmd {

namespace {

constexpr int current_flag = 2; // of job-info.lookup: with the updates since the job was submitted

int run_job_info(const Args &args, Session &flux)
{
    const std::string &key = args[1];
    if ((args.has("original") || args.has("base")) && key != "jobspec" && key != "R")
        throw UsageError("--original and --base are for jobspec and R only");
    bool updated = (key == "R" || key == "jobspec") && !args.has("base") && !args.has("original");
    std::string asked = args.has("original") && key == "jobspec" ? "J" : key;
    Json value = look_up(flux, args.job_id(0), asked, updated ? current_flag : 0);
    if (asked == "J" && key == "jobspec")
        value = value_or_throw(unwrap(value.as<std::string>())).payload;
    if (value.is_string())
        print("{}\n", value.string_view());
    else
        print("{}\n", value.dump());
    return 0;
}

std::vector<std::string> words_or_lines(const Args &args)
{
    if (args.size() > 0)
        return args.positional();
    std::vector<std::string> out;
    std::string text = read_stdin();
    for (size_t begin = 0; begin < text.size();) {
        size_t end = std::min(text.find('\n', begin), text.size());
        if (end > begin)
            out.push_back(text.substr(begin, end - begin));
        begin = end + 1;
    }
    return out;
}

int run_job_id(const Args &args, Session &)
{
    std::string to = args.value("to", "dec");
    for (const auto &word : words_or_lines(args))
        print("{}\n", value_or_throw(value_or_throw(JobId::parse(word)).encode(to)));
    return 0;
}

int run_job_list(const Args &args, Session &flux)
{
    JobSelection selection = JobSelection::from(args, flux.loop().clock().wall_time());
    if (!args.has("count"))
        selection.count = 0;
    if (args.has("states")) {
        selection.states = 0;
        for (const auto &name : comma_list(args.all("states")))
            selection.states |= option_value("states", parse_states(name));
    }
    for (const auto &job : select_jobs(flux, selection, {"all"}))
        print("{}\n", job.dump());
    return 0;
}

int run_job_list_ids(const Args &args, Session &flux)
{
    for (const auto &id : args.positional())
        print("{}\n", find_job(flux, id, {"all"}).dump());
    return 0;
}

// "[start:stop:step]" over the newest-first list, as Python slices.
std::vector<JobId> slice(const std::vector<JobId> &ids, const std::string &text)
{
    auto bad = [&] {
        return UsageError(fmt::format("'{}' is neither a number of jobs nor a slice like [0:4]", text));
    };
    if (!text.ends_with(']'))
        throw bad();
    std::vector<std::optional<int64_t>> parts;
    std::string inside = text.substr(1, text.size() - 2);
    for (size_t begin = 0; begin <= inside.size();) {
        size_t end = std::min(inside.find(':', begin), inside.size());
        std::string part = inside.substr(begin, end - begin);
        char *stop = nullptr;
        int64_t number = std::strtoll(part.c_str(), &stop, 10);
        if (*stop)
            throw bad();
        parts.push_back(part.empty() ? std::nullopt : std::optional(number));
        begin = end + 1;
    }
    int64_t size = int64_t(ids.size());
    if (parts.size() == 1 && parts[0])
        parts = {parts[0], *parts[0] == -1 ? size : *parts[0] + 1}; // one index
    parts.resize(3);
    int64_t step = parts[2].value_or(1);
    if (step == 0)
        throw bad();
    int64_t low = step < 0 ? -1 : 0;
    int64_t high = step < 0 ? size - 1 : size;
    auto clamp = [&](std::optional<int64_t> index, int64_t fallback) {
        if (!index)
            return fallback;
        return std::clamp(*index < 0 ? *index + size : *index, low, high);
    };
    int64_t start = clamp(parts[0], step < 0 ? high : low);
    int64_t stop = clamp(parts[1], step < 0 ? low : high);
    std::vector<JobId> out;
    for (int64_t i = start; step > 0 ? i < stop : i > stop; i += step)
        out.push_back(ids[size_t(i)]);
    return out;
}

// So many of the user's jobs (0: all), the last submitted first: ids grow with time. The list is in another
// order, but any so many jobs tell since when the last so many were submitted.
std::vector<JobId> last_ids(Session &flux, int64_t count)
{
    JobSelection selection {.states = job_states::all, .user = ::getuid(), .count = count};
    auto found = select_jobs(flux, selection, {"t_submit"});
    if (count > 0 && found.size() == size_t(count)) {
        double oldest = found[0].get<double>("t_submit");
        for (const auto &job : found)
            oldest = std::min(oldest, job.get<double>("t_submit"));
        Json constraint = selection.constraint();
        constraint["and"].append(
            Json {{"t_submit", Json::array().append(fmt::format(">={:.6f}", oldest - 1))}});
        Json request {
            {"max_entries", 0}, {"attrs", Json::array().append("t_submit")}, {"constraint", constraint}};
        found = flux.run(list_jobs(flux.handle(), request));
    }
    std::vector<JobId> ids;
    for (const auto &job : found)
        ids.emplace_back(job.get<uint64_t>("id"));
    std::sort(ids.rbegin(), ids.rend());
    if (count > 0)
        ids.resize(std::min(ids.size(), size_t(count)));
    return ids;
}

int run_job_last(const Args &args, Session &flux)
{
    std::string text = args.size() ? args[0] : "1";
    bool sliced = text.starts_with('[');
    int64_t count = 0; // all
    if (!sliced) {
        char *end = nullptr;
        count = std::strtol(text.c_str(), &end, 10);
        if (count <= 0 || *end)
            throw UsageError(fmt::format("'{}' is neither a number of jobs nor a slice like [0:4]", text));
    }
    auto ids = last_ids(flux, count);
    if (ids.empty())
        throw Error(ENOENT, "you have submitted no job to this instance yet");
    if (sliced)
        ids = slice(ids, text);
    for (JobId id : ids)
        print("{}\n", id_text(id));
    return 0;
}

// When the job or the instance expires; 0 when it never does, nothing when it is over.
std::optional<double> expiration(const Args &args, Session &flux)
{
    const char *enclosing = std::getenv("FLUX_JOB_ID");
    if (args.size() == 0 && !(enclosing && *enclosing))
        return flux.rpc("resource.status", {}, {.nodeid = 0})
            .at("R", "execution")
            .value<double>("expiration", 0);
    std::string id = args.size() ? args[0] : enclosing;
    Json job = find_job(flux, id, {"state", "expiration"});
    auto state = job.get<uint32_t>("state");
    if (state == bit(JobState::inactive) || state == bit(JobState::cleanup))
        return std::nullopt;
    if (state != bit(JobState::run))
        throw Error(EINVAL, "job {} has not started", id);
    return job.value<double>("expiration", 0);
}

int run_job_timeleft(const Args &args, Session &flux)
{
    auto end = expiration(args, flux);
    double left = !end        ? 0
                  : *end <= 0 ? std::numeric_limits<double>::infinity()
                              : std::max(0.0, *end - flux.loop().clock().wall_time());
    if (args.has("human"))
        print("{}\n", format_duration(left, 4));
    else
        print("{}\n", std::isinf(left) ? std::numeric_limits<unsigned>::max() : unsigned(left));
    return 0;
}

Hostlist hosts_of(Session &flux, JobId id)
{
    auto R = look_up(flux, id, "R").as<std::string>();
    return value_or_throw(ResourceSet::parse(R)).nodelist();
}

uint32_t small_number(const Args &args, std::string_view option)
{
    int64_t value = args.integer(option, 0);
    if (value < 0 || value > int64_t(Taskmap::max_tasks))
        throw UsageError(fmt::format("--{}: {} is out of range", option, value));
    return uint32_t(value);
}

uint32_t node_of(const Taskmap &map, uint32_t task)
{
    return value_or_throw(map.node_of(task));
}

void show_tasks_by_host(const Taskmap &map, const Hostlist &hosts)
{
    for (uint32_t node = 0; node < map.nnodes(); node++)
        print("{}: {}\n", hosts.nth(node), map.tasks(node).format());
}

int run_job_taskmap(const Args &args, Session &flux)
{
    constexpr const char *choices[] {"taskids", "ntasks", "nodeid", "hostname", "to"};
    if (std::count_if(std::begin(choices), std::end(choices), [&](auto name) { return args.has(name); }) > 1)
        throw UsageError("--taskids, --ntasks, --nodeid, --hostname and --to exclude each other");
    auto given = Taskmap::parse(args[0]);
    auto id = JobId::parse(args[0]);
    bool is_job = id.has_value();
    if (!is_job && !given)
        throw UsageError(fmt::format("'{}' is neither a job id nor a task map", args[0]));
    Taskmap map =
        is_job ? value_or_throw(Taskmap::parse(flux.run(wait_for_taskmap(flux.handle(), *id)))) : *given;
    auto hosts = [&] {
        if (!is_job)
            throw UsageError("host names are known of jobs only, not of a task map");
        return hosts_of(flux, *id);
    };
    std::string to = args.value("to");
    if (args.has("taskids"))
        print("{}\n", map.tasks(small_number(args, "taskids")).format());
    else if (args.has("ntasks"))
        print("{}\n", map.ntasks(small_number(args, "ntasks")));
    else if (args.has("nodeid"))
        print("{}\n", node_of(map, small_number(args, "nodeid")));
    else if (args.has("hostname"))
        print("{}\n", hosts().nth(node_of(map, small_number(args, "hostname"))));
    else if (to.empty())
        print("{}\n", map.encode());
    else if (to == "raw")
        print("{}\n", map.encode_raw());
    else if (to == "pmi")
        print("{}\n", map.encode_pmi());
    else if (to == "multiline")
        print("{}", map.encode_multiline());
    else if (to == "hosts")
        show_tasks_by_host(map, hosts());
    else
        throw UsageError(fmt::format("--to: '{}' is none of raw, pmi, multiline, hosts", to));
    return 0;
}

int run_job_stats(const Args &, Session &flux)
{
    print("{}\n", flux.rpc("job-list.job-stats", Json::object()).dump());
    return 0;
}

int run_job_namespace(const Args &args, Session &)
{
    for (size_t i = 0; i < args.size(); i++)
        print("job-{}\n", args.job_id(i).dec());
    return 0;
}

} // namespace

const Command job_info {
    .name = "info",
    .args = "JOBID KEY",
    .summary = "Show a job's R, jobspec, eventlog or another of its KVS keys",
    .options = {{"-o,--original", "the jobspec as it was submitted"}, {"-b,--base", "without later updates"}},
    .min_args = 2,
    .max_args = 2,
    .run = run_job_info,
};
const Command job_id {
    .name = "id",
    .args = "[JOBID...]",
    .summary = "Convert job ids, from the arguments or standard input",
    .options = {{"-t,--to=ENCODING", "dec (default), hex, dothex, kvs, words, emoji, f58, f58plain"}},
    .run = run_job_id,
};
const Command job_list {
    .name = "list",
    .summary = "List jobs as JSON, one per line",
    .options = {{"-a,--all", "inactive ones too"},
                {"-c,--count=N", "at most N (default: all)"},
                {"-s,--states=STATES", "in these states"},
                {"-u,--user=USER", "of this user, or all (default: oneself)"}},
    .max_args = 0,
    .run = run_job_list,
};
const Command job_list_ids {
    .name = "list-ids",
    .args = "JOBID...",
    .summary = "Show jobs as JSON, one per line",
    .min_args = 1,
    .run = run_job_list_ids,
};
const Command job_last {
    .name = "last",
    .args = "[N|SLICE]",
    .summary = "Show the ids of one's latest jobs; SLICE is as in Python, [start:stop:step]",
    .max_args = 1,
    .run = run_job_last,
};
const Command job_timeleft {
    .name = "timeleft",
    .args = "[JOBID]",
    .summary = "Show the seconds until the job (or the instance) reaches its time limit",
    .options = {{"-H,--human", "with a unit"}},
    .max_args = 1,
    .run = run_job_timeleft,
};
const Command job_taskmap {
    .name = "taskmap",
    .args = "JOBID|TASKMAP",
    .summary = "Show on which nodes a job's tasks run (RFC 34)",
    .options = {{"--taskids=NODEID", "the tasks of this node"},
                {"--ntasks=NODEID", "how many tasks this node has"},
                {"--nodeid=TASKID", "the node of this task"},
                {"--hostname=TASKID", "the host of this task"},
                {"--to=FORMAT", "the whole map as raw, pmi, multiline or hosts"}},
    .min_args = 1,
    .max_args = 1,
    .run = run_job_taskmap,
};
const Command job_stats {
    .name = "stats",
    .summary = "Show how many jobs are in which state, as JSON",
    .max_args = 0,
    .run = run_job_stats,
};
const Command job_namespace {
    .name = "namespace",
    .args = "JOBID...",
    .summary = "Show the names of jobs' KVS namespaces",
    .min_args = 1,
    .run = run_job_namespace,
};

} // namespace flux::cmd
