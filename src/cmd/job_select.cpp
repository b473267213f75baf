#include "cmd/job_select.hpp"

#include <algorithm>
#include <pwd.h>
#include <unistd.h>

#include "cmd/when.hpp"
#include "common/base/text.hpp"
#include "common/job/job_state.hpp"
#include "common/types/idset.hpp"

namespace flux::cmd {

namespace {

Json condition(std::string_view key, Json values)
{
    if (!values.is_array()) {
        Json list = Json::array();
        list.append(std::move(values));
        values = list;
    }
    Json out = Json::object();
    out.set(key, values);
    return out;
}

} // namespace

uint32_t user_id(const std::string &text)
{
    if (!text.empty() && text.size() < 10 && text.find_first_not_of("0123456789") == std::string::npos)
        return uint32_t(std::stoul(text));
    passwd *entry = ::getpwnam(text.c_str());
    if (!entry)
        throw UsageError(fmt::format("there is no user {}", text));
    return entry->pw_uid;
}

std::vector<std::string> comma_list(const std::vector<std::string> &values)
{
    std::vector<std::string> out;
    for (const auto &value : values)
        for (std::string_view word : split_words(value, ","))
            out.emplace_back(word);
    return out;
}

void parse_filter(const std::string &text, JobSelection &selection)
{
    static const std::vector<std::string> names {"depend",   "priority", "sched",   "run",    "cleanup",
                                                 "inactive", "pending",  "running", "active", "completed",
                                                 "failed",   "canceled", "timeout"};
    for (const auto &name : comma_list({text})) {
        if (auto states = parse_states(name))
            selection.states |= *states;
        else if (auto results = parse_results(name))
            selection.results |= *results;
        else
            throw UsageError(fmt::format("--filter: '{}' is neither a state nor a result{}; these are {}",
                                         name, did_you_mean(name, names), fmt::join(names, ", ")));
    }
}

JobSelection JobSelection::from(const Args &args, double now)
{
    auto given = [&](std::string_view name) {
        return args.knows(name) && args.has(name);
    };
    JobSelection out;
    if (given("filter"))
        for (const auto &text : args.all("filter"))
            parse_filter(text, out);
    else
        out.states = given("a") || given("all") || given("since") ? job_states::all : job_states::active;
    out.user = ::getuid();
    if (given("A") || (given("include") && !given("user")) || (given("user") && args.value("user") == "all"))
        out.user.reset();
    else if (given("user"))
        out.user = user_id(args.value("user"));
    if (given("name"))
        out.name = args.value("name");
    if (given("queue"))
        out.queues = comma_list(args.all("queue"));
    if (given("include"))
        out.include = args.value("include");
    if (given("since")) {
        out.since = parse_when(args.value("since"), now);
        if (out.since > now)
            throw UsageError(fmt::format("--since={} is in the future", args.value("since")));
    }
    if (given("count"))
        out.count = args.integer("count", default_job_count);
    if (out.count < 0)
        throw UsageError("--count must not be negative; 0 means all");
    return out;
}

Json JobSelection::constraint() const
{
    Json all = Json::array();
    if (user)
        all.append(condition("userid", *user));
    if (!name.empty())
        all.append(condition("name", name));
    if (!queues.empty())
        all.append(condition("queue", Json::array_of(queues)));
    if (!include.empty())
        all.append(condition(Idset::parse(include) ? "ranks" : "hostlist", include));
    Json either = Json::array();
    if (states)
        either.append(condition("states", states));
    if (results)
        either.append(condition("results", results));
    all.append(either.size() == 1 ? either[size_t(0)] : Json {{"or", either}});
    return Json {{"and", all}};
}

Task<std::vector<Json>> list_jobs(Handle &handle, Json request)
{
    std::vector<Json> out;
    auto stream = handle.stream("job-list.list", request);
    while (auto answer = co_await stream.next())
        for (auto job : answer->json()["jobs"].elements())
            out.push_back(job);
    co_return out;
}

std::vector<Json> select_jobs(Session &flux, const JobSelection &selection,
                              const std::vector<std::string> &attributes)
{
    return flux.run(list_jobs(flux.handle(), Json {{"max_entries", selection.count},
                                                   {"attrs", Json::array_of(attributes)},
                                                   {"since", selection.since},
                                                   {"constraint", selection.constraint()}}));
}

Json find_job(Session &flux, const std::string &id, const std::vector<std::string> &attributes)
{
    JobId job = value_or_throw(JobId::parse(id));
    try {
        return flux.rpc("job-list.list-id", Json {{"id", job.value()}, {"attrs", Json::array_of(attributes)}})
            .get<Json>("job");
    } catch (const Error &error) {
        if (error.errnum() == ENOENT)
            throw Error(ENOENT, "there is no job {}; flux jobs -a lists them", id);
        throw;
    }
}

} // namespace flux::cmd
