// flux jobs and flux cancel: the listing, and ending what it shows.
#include <pwd.h>
#include <unistd.h>

#include "cmd/commands.hpp"
#include "cmd/job_format.hpp"
#include "cmd/print.hpp"
#include "common/job/job_state.hpp"
#include "common/types/idset.hpp"

namespace flux::cmd {

namespace {

constexpr int64_t default_count = 1000;

uint32_t user_id(const std::string &text)
{
    if (!text.empty() && text.find_first_not_of("0123456789") == std::string::npos)
        return uint32_t(std::stoul(text));
    passwd *entry = ::getpwnam(text.c_str());
    if (!entry)
        throw UsageError(fmt::format("there is no user {}", text));
    return entry->pw_uid;
}

struct Wanted {
    uint32_t states = job_states::active;
    uint32_t results = 0;
};

// --filter names states and results; a result implies that the job is inactive.
Wanted parse_filter(const Args &args)
{
    Wanted out;
    if (args.has("a") || args.has("A"))
        out.states = job_states::all;
    if (!args.has("filter"))
        return out;
    out.states = 0;
    std::string text = args.value("filter");
    for (size_t begin = 0; begin <= text.size();) {
        size_t end = std::min(text.find(',', begin), text.size());
        std::string name = text.substr(begin, end - begin);
        begin = end + 1;
        if (auto states = parse_states(name))
            out.states |= *states;
        else if (auto results = parse_results(name))
            out.results |= *results;
        else
            throw UsageError(fmt::format("--filter: '{}' is neither a state nor a result", name));
    }
    return out;
}

Json condition(std::string_view key, Json value)
{
    Json list = Json::array();
    list.append(std::move(value));
    Json out = Json::object();
    out.set(key, list);
    return out;
}

Json constraint(const Args &args)
{
    Json all = Json::array();
    if (!args.has("A") && args.value("user") != "all")
        all.append(condition("userid", args.has("user") ? user_id(args.value("user")) : ::getuid()));
    if (args.has("name"))
        all.append(condition("name", args.value("name")));
    if (args.has("queue"))
        all.append(condition("queue", args.value("queue")));
    if (args.has("include"))
        all.append(
            condition(Idset::parse(args.value("include")) ? "ranks" : "hostlist", args.value("include")));
    Wanted wanted = parse_filter(args);
    Json either = Json::array();
    if (wanted.states)
        either.append(condition("states", wanted.states));
    if (wanted.results)
        either.append(condition("results", wanted.results));
    all.append(either.size() == 1 ? either[size_t(0)] : Json {{"or", either}});
    return Json {{"and", all}};
}

Task<std::vector<Json>> list_all(Handle &handle, Json request)
{
    std::vector<Json> out;
    auto stream = handle.stream("job-list.list", request, {.flags = 0});
    while (auto answer = co_await stream.next())
        for (auto job : answer->json()["jobs"].elements())
            out.push_back(job);
    co_return out;
}

std::vector<Json> listed(const Args &args, Session &flux, const JobFormat &format)
{
    std::vector<std::string> attributes = format.attributes();
    if (args.has("json"))
        attributes = {"all"};
    if (args.size() == 0)
        return flux.run(list_all(flux.handle(), Json {{"max_entries", args.integer("count", default_count)},
                                                      {"attrs", Json::array_of(attributes)},
                                                      {"since", args.number("since", 0)},
                                                      {"constraint", constraint(args)}}));
    std::vector<Json> out;
    for (size_t i = 0; i < args.size(); i++) {
        Json request {{"id", args.job_id(i).value()}, {"attrs", Json::array_of(attributes)}};
        out.push_back(flux.rpc("job-list.list-id", request).get<Json>("job"));
    }
    return out;
}

void show_statistics(Session &flux)
{
    Json stats = flux.rpc("job-list.job-stats", Json::object());
    Json states = stats["job_states"];
    auto count = [](const Json &json, std::string_view key) {
        return json.value<int64_t>(key, 0);
    };
    int64_t pending = count(states, "depend") + count(states, "priority") + count(states, "sched");
    print("{} running, {} completed, {} failed, {} pending\n",
          count(states, "run") + count(states, "cleanup"), count(stats, "successful"),
          count(stats, "failed") + count(stats, "canceled") + count(stats, "timeout"), pending);
}

std::string format_text(const Args &args)
{
    std::string text = args.value("format");
    if (text.empty())
        if (const char *variable = std::getenv("FLUX_JOBS_FORMAT_DEFAULT"))
            text = variable;
    return text.empty() || text == "default" ? std::string(JobFormat::default_text()) : text;
}

int run_jobs(const Args &args, Session &flux)
{
    JobFormat format = JobFormat::parse(format_text(args));
    if (args.has("stats") || args.has("stats-only"))
        show_statistics(flux);
    if (args.has("stats-only"))
        return 0;
    auto jobs = listed(args, flux, format);
    if (args.has("json")) {
        print("{}\n", Json {{"jobs", Json::array_of(jobs)}}.dump());
        return 0;
    }
    double now = flux.loop().clock().wall_time();
    format = format.fitted(jobs, now);
    if (!args.has("no-header"))
        print("{}\n", format.header());
    for (const auto &job : jobs)
        print("{}\n", format.row(job, now));
    return 0;
}

int run_cancel(const Args &args, Session &flux)
{
    if (args.size() == 0 && !args.has("all") && !args.has("user") && !args.has("states"))
        throw UsageError("say which jobs: JOBID..., or --all, --user, --states");
    Json extra = args.has("message") ? Json(args.value("message")) : Json();
    int status = 0;
    for (size_t i = 0; i < args.size(); i++) {
        JobId id = args.job_id(i);
        if (args.has("dry-run")) {
            print("would cancel {}\n", args[i]);
            continue;
        }
        try {
            flux.rpc("job-manager.raise",
                     Json {{"id", id.value()}, {"type", "cancel"}, {"severity", 0}, {"note", extra}});
        } catch (const Error &error) {
            warn("flux-cancel: {}: {}", args[i], error.what());
            status = 1;
        }
    }
    if (args.size() > 0)
        return status;
    uint32_t states =
        args.has("states") ? value_or_throw(parse_states(args.value("states"))) : job_states::active;
    std::string user = args.value("user");
    Json answer = flux.rpc("job-manager.raiseall", Json {{"dry_run", args.has("dry-run")},
                                                         {"userid", user == "all"  ? userid_unknown
                                                                    : user.empty() ? ::getuid()
                                                                                   : user_id(user)},
                                                         {"states", states},
                                                         {"type", "cancel"},
                                                         {"severity", 0},
                                                         {"note", extra}});
    if (!args.has("quiet"))
        warn("{} {} jobs", args.has("dry-run") ? "would cancel" : "canceled",
             answer.value<int64_t>("count", 0));
    return answer.value<int64_t>("errors", 0) ? 1 : 0;
}

} // namespace

const Command jobs {
    .name = "jobs",
    .args = "[JOBID...]",
    .summary = "List jobs",
    .options = {{"-a", "inactive ones too"},
                {"-A", "of all users, in all states"},
                {"-n,--no-header", "no header"},
                {"-u,--user=USER", "of this user, or all"},
                {"--name=NAME", "of this name"},
                {"-q,--queue=QUEUE", "in this queue"},
                {"-i,--include=HOSTS|RANKS", "that run there"},
                {"-c,--count=N", "at most N (default 1000)"},
                {"--since=SECONDS", "that were active since (seconds since the epoch)"},
                {"-f,--filter=LIST", "in these states or with these results"},
                {"-o,--format=FORMAT", "columns, like {id} or {name:<10}"},
                {"--json", "all that is known, as JSON"},
                {"--stats", "totals first"},
                {"--stats-only", "only totals"}},
    .run = run_jobs,
};

const Command cancel {
    .name = "cancel",
    .args = "[JOBID...]",
    .summary = "Cancel jobs",
    .options = {{"-n,--dry-run", "only say what would be canceled"},
                {"-m,--message=TEXT", "say why"},
                {"--all", "all of one's own jobs"},
                {"-u,--user=USER", "all jobs of this user"},
                {"-S,--states=STATE", "those in this state"},
                {"-q,--quiet", "do not say how many"}},
    .run = run_cancel,
};

} // namespace flux::cmd
