#include "cmd/submit_options.hpp"

#include <ctime>
#include <filesystem>
#include <fnmatch.h>
#include <map>
#include <unistd.h>

#include "cmd/print.hpp"
#include "common/job/job_exit.hpp"
#include "common/job/job_state.hpp"
#include "common/job/jobspec_builder.hpp"
#include "common/types/constraint.hpp"
#include "common/types/duration.hpp"
#include "common/types/taskmap.hpp"
#include "common/types/urgency.hpp"

extern char **environ;

namespace flux::cmd {

namespace {

constexpr double default_signal_seconds = 60;

std::optional<uint64_t> count_of(const Args &args, std::string_view option)
{
    if (!args.has(option))
        return std::nullopt;
    int64_t value = args.integer(option, 0);
    if (value < 0)
        throw UsageError(fmt::format("--{} must not be negative", option));
    return uint64_t(value);
}

using Environment = std::map<std::string, std::string>;

void apply_rule(const std::string &rule, const Environment &all, Environment &out);

void apply_file(const std::string &path, const Environment &all, Environment &out)
{
    std::string text = read_file(path);
    for (size_t begin = 0; begin < text.size();) {
        size_t end = std::min(text.find('\n', begin), text.size());
        std::string line = text.substr(begin, end - begin);
        if (!line.empty() && line[0] != '#')
            apply_rule(line, all, out);
        begin = end + 1;
    }
}

void remove_matching(const std::string &pattern, Environment &out)
{
    std::erase_if(out,
                  [&](const auto &entry) { return ::fnmatch(pattern.c_str(), entry.first.c_str(), 0) == 0; });
}

// "$NAME" and "${NAME}" become the values set so far, "$$" a dollar sign.
std::string expand(const std::string &text, const Environment &all, const Environment &out)
{
    std::string result;
    for (size_t i = 0; i < text.size(); i++) {
        if (text[i] != '$' || i + 1 == text.size()) {
            result += text[i];
            continue;
        }
        if (text[i + 1] == '$') {
            result += text[++i];
            continue;
        }
        bool braces = text[i + 1] == '{';
        size_t begin = i + 1 + braces;
        size_t end = begin;
        while (end < text.size() && (std::isalnum(uint8_t(text[end])) || text[end] == '_'))
            end++;
        std::string name = text.substr(begin, end - begin);
        auto found = out.find(name);
        if (found == out.end() && (found = all.find(name)) == all.end())
            throw UsageError(fmt::format("--env: '{}' uses {}, which is not set", text, name));
        result += found->second;
        i = end - !braces;
    }
    return result;
}

void apply_rule(const std::string &rule, const Environment &all, Environment &out)
{
    if (rule.starts_with('-'))
        return remove_matching(rule.substr(1), out);
    if (rule.starts_with('^'))
        return apply_file(rule.substr(1), all, out);
    if (size_t at = rule.find('='); at != std::string::npos) {
        out[rule.substr(0, at)] = expand(rule.substr(at + 1), all, out);
        return;
    }
    for (const auto &[name, value] : all)
        if (::fnmatch(rule.c_str(), name.c_str(), 0) == 0)
            out[name] = value;
}

void set_stream(JobspecBuilder &builder, const std::string &stream, const std::string &path)
{
    if (path == "none" || path == "kvs") {
        builder.shell_option(fmt::format("output.{}.type", stream), path == "kvs" ? "kvs" : "file");
        if (path == "none")
            builder.shell_option(fmt::format("output.{}.path", stream), "/dev/null");
        return;
    }
    builder.shell_option(fmt::format("output.{}.type", stream), "file");
    builder.shell_option(fmt::format("output.{}.path", stream), path);
}

void set_streams(JobspecBuilder &builder, const Args &args)
{
    if (args.has("output"))
        set_stream(builder, "stdout", args.value("output"));
    if (args.has("error"))
        set_stream(builder, "stderr", args.value("error"));
    if (args.has("label-io"))
        for (const char *stream : {"stdout", "stderr"})
            if (args.has(std::string(stream) == "stdout" ? "output" : "error"))
                builder.shell_option(fmt::format("output.{}.label", stream), true);
    if (args.has("unbuffered"))
        for (const char *stream : {"stdout", "stderr"})
            builder.shell_option(fmt::format("output.{}.buffer.type", stream), "none");
    std::string input = args.value("input");
    if (!input.empty() && !Idset::parse(input) && input != "all") {
        builder.shell_option("input.stdin.type", "file");
        builder.shell_option("input.stdin.path", input);
    }
}

void set_signal(JobspecBuilder &builder, const std::string &text)
{
    size_t at = text.find('@');
    std::string name = text.substr(0, at);
    Json signal = Json::object();
    if (!name.empty()) {
        int number = parse_signal(name);
        if (number <= 0)
            throw UsageError(fmt::format("--signal: '{}' is no signal", name));
        signal.set("signum", number);
    }
    double left = at == std::string::npos ? default_signal_seconds
                                          : value_or_throw(parse_duration(text.substr(at + 1)));
    signal.set("timeleft", left);
    builder.shell_option("signal", signal);
}

void set_taskmap(JobspecBuilder &builder, const std::string &text)
{
    size_t colon = text.find(':');
    Json taskmap {{"scheme", text.substr(0, colon)},
                  {"value", colon == std::string::npos ? std::string() : text.substr(colon + 1)}};
    builder.shell_option("taskmap", taskmap);
}

// "+FSD" from now, or a local date and time.
double parse_begin_time(const std::string &text)
{
    double now = RealClock::instance().wall_time();
    if (text.starts_with('+'))
        return now + value_or_throw(parse_duration(text.substr(1)));
    for (const char *format : {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"}) {
        tm parts {};
        parts.tm_isdst = -1;
        const char *end = ::strptime(text.c_str(), format, &parts);
        if (end && !*end)
            return double(::mktime(&parts));
    }
    throw UsageError(fmt::format("--begin-time: '{}' is neither +DURATION nor YYYY-MM-DD HH:MM:SS", text));
}

void set_dependencies(JobspecBuilder &builder, const Args &args)
{
    for (const auto &uri : args.all("dependency"))
        builder.add_dependency(parse_dependency(uri));
    if (args.has("begin-time"))
        builder.add_dependency(
            Json {{"scheme", "begin-time"},
                  {"value", fmt::format("{:.6f}", parse_begin_time(args.value("begin-time")))}});
}

JobspecBuilder build(const Args &args)
{
    TaskRequest request {.command = args.positional(),
                         .ntasks = count_of(args, "ntasks"),
                         .cores_per_task = count_of(args, "cores-per-task"),
                         .gpus_per_task = count_of(args, "gpus-per-task"),
                         .nnodes = count_of(args, "nodes"),
                         .exclusive = args.has("exclusive"),
                         .cores = count_of(args, "cores"),
                         .tasks_per_node = count_of(args, "tasks-per-node"),
                         .tasks_per_core = count_of(args, "tasks-per-core"),
                         .gpus_per_node = count_of(args, "gpus-per-node")};
    return value_or_throw(JobspecBuilder::for_tasks(request));
}

void set_attributes(JobspecBuilder &builder, const Args &args)
{
    if (args.has("time-limit"))
        builder.duration(value_or_throw(parse_time_limit(args.value("time-limit"))));
    builder.cwd(args.has("cwd") ? std::filesystem::absolute(args.value("cwd")).lexically_normal().string()
                                : std::filesystem::current_path().string());
    if (args.has("job-name"))
        builder.name(args.value("job-name"));
    if (args.has("queue"))
        builder.queue(args.value("queue"));
    if (args.has("bank"))
        builder.bank(args.value("bank"));
    if (args.has("requires"))
        builder.constraints(
            value_or_throw(parse_resource_query(fmt::format("{}", fmt::join(args.all("requires"), " ")))));
    if (args.has("signal"))
        set_signal(builder, args.value("signal"));
    if (args.has("taskmap"))
        set_taskmap(builder, args.value("taskmap"));
    for (const auto &text : args.all("setopt")) {
        auto [key, value] = parse_setting(text);
        builder.shell_option(key, value);
    }
    for (const auto &text : args.all("setattr")) {
        auto [key, value] = parse_setting(text);
        builder.attribute(key, value);
    }
}

} // namespace

std::pair<std::string, Json> parse_setting(std::string_view text)
{
    size_t at = text.find('=');
    if (at == std::string_view::npos)
        return {std::string(text), Json(1)};
    std::string_view value = text.substr(at + 1);
    auto parsed = Json::parse(value);
    return {std::string(text.substr(0, at)), parsed ? *parsed : Json(value)};
}

Json parse_dependency(std::string_view uri)
{
    size_t colon = uri.find(':');
    if (colon == 0 || (colon == std::string_view::npos && uri != "singleton"))
        throw UsageError(fmt::format("--dependency: '{}' is not SCHEME:VALUE", uri));
    Json out {{"scheme", uri.substr(0, colon)}};
    std::string_view rest = colon == std::string_view::npos ? std::string_view() : uri.substr(colon + 1);
    size_t question = rest.find('?');
    out.set("value", rest.substr(0, question));
    if (question == std::string_view::npos)
        return out;
    std::string_view query = rest.substr(question + 1);
    while (!query.empty()) {
        std::string_view item = query.substr(0, query.find('&'));
        query.remove_prefix(std::min(query.size(), item.size() + 1));
        auto [key, value] = parse_setting(item);
        if (key == "scheme" || key == "value")
            throw UsageError(
                fmt::format("--dependency: {} cannot be given as an argument in '{}'", key, uri));
        out.set(key, value);
    }
    return out;
}

Json filtered_environment(const Args &args, const char *const *environment)
{
    Environment all;
    for (; *environment; environment++) {
        std::string_view entry = *environment;
        size_t at = entry.find('=');
        if (at != std::string_view::npos)
            all.emplace(entry.substr(0, at), entry.substr(at + 1));
    }
    all.erase("FLUX_PROXY_REMOTE"); // of this terminal, not of the job
    // Once a rule says what is taken, nothing else is; rules that only remove or set start from everything.
    bool selects = false;
    for (const auto &rule : args.all("env"))
        selects |= !rule.starts_with('-') && !rule.starts_with('^') && rule.find('=') == std::string::npos;
    Environment out = selects ? Environment() : all;
    for (const auto &pattern : args.all("env-remove"))
        remove_matching(pattern, out);
    for (const auto &path : args.all("env-file"))
        apply_file(path, all, out);
    for (const auto &rule : args.all("env"))
        apply_rule(rule, all, out);
    Json json = Json::object();
    for (const auto &[name, value] : out)
        json.set(name, value);
    return json;
}

Submission make_submission(const Args &args)
{
    if (args.size() == 0)
        throw UsageError("a command to run is missing");
    JobspecBuilder builder = build(args);
    builder.environment(filtered_environment(args, environ));
    set_attributes(builder, args);
    set_streams(builder, args);
    set_dependencies(builder, args);
    Submission out {.jobspec = builder.json()};
    if (args.has("urgency"))
        out.urgency = value_or_throw(parse_urgency(args.value("urgency")));
    for (const auto &names : args.all("flags"))
        out.flags |= value_or_throw(parse_job_flags(names));
    if (args.has("debug"))
        out.flags |= job_flags::debug;
    return out;
}

std::vector<Option> submission_options()
{
    return {{"-N,--nodes=N", "spread over N nodes"},
            {"-x,--exclusive", "whole nodes"},
            {"-n,--ntasks=N", "the number of tasks"},
            {"-c,--cores-per-task=N", "cores of each task"},
            {"-g,--gpus-per-task=N", "gpus of each task"},
            {"--cores=N", "cores in all, instead of per task"},
            {"--tasks-per-node=N", "tasks of each node"},
            {"--tasks-per-core=N", "tasks of each core"},
            {"--gpus-per-node=N", "gpus of each node"},
            {"-t,--time-limit=TIME", "minutes, or a duration with its unit"},
            {"-q,--queue=NAME", "the queue"},
            {"-B,--bank=NAME", "the bank"},
            {"--job-name=NAME", "the job's name instead of its program's"},
            {"--flags=LIST", "waitable, novalidate, debug"},
            {"--requires=CONSTRAINT", "which nodes are acceptable (RFC 35)"},
            {"--dependency=URI", "what must happen before (afterok:JOBID, ...)"},
            {"--begin-time=TIME", "not before +DURATION or a date"},
            {"--env=RULE", "NAME=VALUE, a pattern to take, -PATTERN, ^FILE"},
            {"--env-remove=PATTERN", "leave out matching variables"},
            {"--env-file=FILE", "read rules from a file"},
            {"--cwd=DIR", "the tasks' working directory"},
            {"--urgency=N", "0-31, hold, default, expedite"},
            {"--signal=SIG@TIME", "send a signal so long before the end"},
            {"--taskmap=SCHEME", "block, cyclic[:N], manual:MAP, hostfile:FILE"},
            {"--input=FILE|RANKS", "standard input from a file, or only to these ranks"},
            {"--output=FILE", "standard output to a file"},
            {"--error=FILE", "standard error to a file"},
            {"-u,--unbuffered", "no buffers between tasks and the output"},
            {"-l,--label-io", "prefix lines with their task's rank"},
            {"-o,--setopt=KEY=VAL", "an option of the shell"},
            {"-S,--setattr=KEY=VAL", "an attribute of the jobspec"},
            {"--debug", "post debug events"},
            {"--dry-run", "show the jobspec, submit nothing"},
            {"--quiet", "do not show the job's id"},
            {"-v,--verbose", "say more"}};
}

} // namespace flux::cmd
