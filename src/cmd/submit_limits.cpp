// --rlimit: which resource limits of this process the job's tasks get.
#include <fnmatch.h>
#include <map>
#include <sys/resource.h>

#include "cmd/job_select.hpp"
#include "cmd/submit_options.hpp"

namespace flux::cmd {

namespace {

struct Limit {
    const char *name;
    int resource;
    bool propagated; // without being asked
};

constexpr Limit limits[] {
    {"as", RLIMIT_AS, true},
    {"core", RLIMIT_CORE, true},
    {"cpu", RLIMIT_CPU, true},
    {"data", RLIMIT_DATA, true},
    {"fsize", RLIMIT_FSIZE, true},
    {"memlock", RLIMIT_MEMLOCK, false},
    {"msgqueue", RLIMIT_MSGQUEUE, false},
    {"nice", RLIMIT_NICE, false},
    {"nofile", RLIMIT_NOFILE, true},
    {"nproc", RLIMIT_NPROC, true},
    {"rss", RLIMIT_RSS, true},
    {"rtprio", RLIMIT_RTPRIO, false},
    {"rttime", RLIMIT_RTTIME, false},
    {"sigpending", RLIMIT_SIGPENDING, false},
    {"stack", RLIMIT_STACK, true},
};

int64_t current(const Limit &limit)
{
    rlimit value {};
    ::getrlimit(__rlimit_resource_t(limit.resource), &value);
    return value.rlim_cur == RLIM_INFINITY ? -1 : int64_t(value.rlim_cur);
}

std::vector<std::string> limit_names()
{
    std::vector<std::string> out;
    for (const auto &limit : limits)
        out.emplace_back(limit.name);
    return out;
}

int64_t parse_value(const std::string &rule, const std::string &text)
{
    if (text == "unlimited" || text == "infinity" || text == "inf")
        return -1;
    char *end = nullptr;
    errno = 0;
    long long value = std::strtoll(text.c_str(), &end, 10);
    if (text.empty() || *end || value < 0 || errno)
        throw UsageError(fmt::format("--rlimit={}: '{}' is neither a number nor unlimited", rule, text));
    return value;
}

void set_limit(const std::string &rule, std::map<std::string, int64_t> &out)
{
    size_t at = rule.find('=');
    std::string name = rule.substr(0, at);
    for (const auto &limit : limits)
        if (name == limit.name) {
            out[name] = parse_value(rule, rule.substr(at + 1));
            return;
        }
    throw UsageError(fmt::format("--rlimit={}: there is no limit {}{}; these are {}", rule, name,
                                 did_you_mean(name, limit_names()), fmt::join(limit_names(), ", ")));
}

void copy_matching(const std::string &pattern, std::map<std::string, int64_t> &out)
{
    bool any = false;
    for (const auto &limit : limits)
        if (::fnmatch(pattern.c_str(), limit.name, 0) == 0) {
            out[limit.name] = current(limit);
            any = true;
        }
    if (!any)
        throw UsageError(fmt::format("--rlimit={}: no limit is named so{}; these are {}", pattern,
                                     did_you_mean(pattern, limit_names()), fmt::join(limit_names(), ", ")));
}

} // namespace

Json propagated_limits(const Args &args)
{
    std::map<std::string, int64_t> out;
    for (const auto &limit : limits)
        if (limit.propagated)
            out[limit.name] = current(limit);
    for (const auto &rule : comma_list(args.all("rlimit"))) {
        if (rule.starts_with('-'))
            std::erase_if(out, [&](const auto &entry) {
                return ::fnmatch(rule.c_str() + 1, entry.first.c_str(), 0) == 0;
            });
        else if (rule.find('=') != std::string::npos)
            set_limit(rule, out);
        else
            copy_matching(rule, out);
    }
    Json json = Json::object();
    for (const auto &[name, value] : out)
        json.set(name, value);
    return json;
}

} // namespace flux::cmd
