#include "cmd/submit_options.hpp"

#include <filesystem>
#include <unistd.h>

#include "cmd/print.hpp"
#include "cmd/when.hpp"
#include "common/job/job_exit.hpp"
#include "common/job/job_state.hpp"
#include "common/types/constraint.hpp"
#include "common/types/duration.hpp"
#include "common/types/idset.hpp"
#include "common/types/taskmap_scheme.hpp"
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

void set_stream(JobspecBuilder &builder, const std::string &stream, const std::string &path)
{
    if (path == "none" || path == "kvs")
        return; // where it goes anyway
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
                                          : option_value("signal", parse_duration(text.substr(at + 1)));
    signal.set("timeleft", left);
    builder.shell_option("signal", signal);
}

void set_taskmap(JobspecBuilder &builder, const std::string &text)
{
    size_t colon = text.find(':');
    std::string scheme = text.substr(0, colon);
    std::string value = colon == std::string::npos ? std::string() : text.substr(colon + 1);
    option_value("taskmap", TaskmapScheme::parse(scheme, value));
    Json taskmap {{"scheme", scheme}, {"value", value}};
    builder.shell_option("taskmap", taskmap);
}

void set_dependencies(JobspecBuilder &builder, const Args &args)
{
    for (const auto &uri : args.all("dependency"))
        builder.add_dependency(parse_dependency(uri));
    if (args.has("begin-time"))
        builder.add_dependency(
            Json {{"scheme", "begin-time"},
                  {"value", fmt::format("{:.6f}", parse_when(args.value("begin-time"),
                                                             RealClock::instance().wall_time()))}});
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

// "^KEY=FILE" reads the value from a file.
void set_attribute(JobspecBuilder &builder, const std::string &text)
{
    if (!text.starts_with('^')) {
        auto [key, value] = parse_setting(text);
        builder.attribute(key, value);
        return;
    }
    size_t equals = text.find('=');
    if (equals == std::string::npos)
        throw UsageError(fmt::format("--setattr={}: ^KEY needs =FILE", text));
    std::string path = text.substr(equals + 1);
    auto value = Json::parse(read_file(path));
    if (!value)
        throw UsageError(fmt::format("--setattr={}: {} is no JSON: {}", text, path, value.error().text()));
    builder.attribute(text.substr(1, equals - 1), *value);
}

void set_attributes(JobspecBuilder &builder, const Args &args)
{
    if (args.has("time-limit"))
        builder.duration(option_value("time-limit", parse_time_limit(args.value("time-limit"))));
    if (args.has("cwd") && args.value("cwd").empty())
        throw UsageError("--cwd needs a directory");
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
            option_value("requires", parse_resource_query(fmt::format("{}", fmt::join(args.all("requires"), " ")))));
    if (args.has("signal"))
        set_signal(builder, args.value("signal"));
    for (const auto &text : args.all("setopt")) {
        auto [key, value] = parse_setting(text);
        builder.shell_option(key, value);
    }
    for (const auto &text : args.all("setattr"))
        set_attribute(builder, text);
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

namespace {

// What is the same for tasks and for instances.
Submission finish(const Args &args, JobspecBuilder &builder)
{
    builder.environment(filtered_environment(args, environ));
    builder.shell_option("rlimit", propagated_limits(args));
    set_attributes(builder, args);
    set_dependencies(builder, args);
    for (const auto &file : args.all("add-file"))
        add_file(builder, file);
    Submission out {.jobspec = builder.json()};
    if (args.has("urgency"))
        out.urgency = option_value("urgency", parse_urgency(args.value("urgency")));
    for (const auto &names : args.all("flags"))
        out.flags |= option_value("flags", parse_job_flags(names));
    if (args.has("debug"))
        out.flags |= job_flags::debug;
    return out;
}

} // namespace

Submission make_submission(const Args &args)
{
    if (args.size() == 0)
        throw UsageError("a command to run is missing");
    JobspecBuilder builder = build(args);
    if (args.has("taskmap"))
        set_taskmap(builder, args.value("taskmap"));
    set_streams(builder, args);
    return finish(args, builder);
}

Submission make_instance_submission(const Args &args, std::vector<std::string> command,
                                    const std::function<void(JobspecBuilder &)> &more)
{
    SlotRequest request {.command = std::move(command),
                         .nslots = count_of(args, "nslots"),
                         .cores_per_slot = count_of(args, "cores-per-slot"),
                         .gpus_per_slot = count_of(args, "gpus-per-slot"),
                         .nnodes = count_of(args, "nodes"),
                         .exclusive = args.has("exclusive")};
    JobspecBuilder builder = value_or_throw(JobspecBuilder::for_slots(request));
    more(builder);
    return finish(args, builder);
}

std::vector<Option> with(std::vector<Option> options, std::initializer_list<Option> more)
{
    options.insert(options.end(), more);
    return options;
}

namespace {

std::vector<Option> common_options()
{
    return {{"-t,--time-limit=MINUTES|FSD", "minutes, or a duration with its unit"},
            {"-q,--queue=NAME", "the queue"},
            {"-B,--bank=NAME", "the bank"},
            {"--job-name=NAME", "the job's name instead of its program's"},
            {"--flags=FLAGS", "waitable, novalidate, debug"},
            {"--requires=CONSTRAINT", "which nodes are acceptable (RFC 35)"},
            {"--dependency=URI", "what must happen before (afterok:JOBID, ...)"},
            {"--begin-time=+FSD|DATETIME", "not before: +2h, or a date and time"},
            {"--env=RULE", "NAME=VALUE, a pattern to take, -PATTERN, ^FILE"},
            {"--env-remove=PATTERN", "leave out matching variables"},
            {"--env-file=FILE", "read rules from a file"},
            {"--rlimit=RULE", "which resource limits go along: NAME, NAME=VALUE, -PATTERN"},
            {"--cwd=DIRECTORY", "the working directory"},
            {"--urgency=N", "0-31, hold, default, expedite"},
            {"--signal=SIG@TIME", "send a signal so long before the time limit"},
            {"-o,--setopt=KEY[=VAL]", "an option of the shell"},
            {"-S,--setattr=KEY[=VAL]", "an attribute of the jobspec; ^KEY=FILE reads it"},
            {"--add-file=[NAME[:PERMS]=]ARG", "take a file along, into {{tmpdir}}"},
            {"--debug", "post debug events"},
            {"--dry-run", "show the jobspec, submit nothing"},
            {"-v,--verbose", "say more; twice, and three times: even more"}};
}

std::vector<Option> joined(std::vector<Option> first, const std::vector<Option> &second)
{
    first.insert(first.end(), second.begin(), second.end());
    return first;
}

std::vector<Option> stream_options()
{
    return {{"--input=FILENAME|RANKS", "standard input from a file, or only to these ranks"},
            {"--output=TEMPLATE", "standard output to a file; none or kvs: not to one"},
            {"--error=TEMPLATE", "standard error to a file"},
            {"-u,--unbuffered", "no buffers between tasks and the output"},
            {"-l,--label-io", "prefix lines with their task's rank"}};
}

} // namespace

std::vector<Option> task_options()
{
    std::vector<Option> shape {{"-N,--nodes=N", "spread over N nodes"},
                               {"-x,--exclusive", "whole nodes"},
                               {"-n,--ntasks=N", "the number of tasks"},
                               {"-c,--cores-per-task=N", "cores of each task"},
                               {"-g,--gpus-per-task=N", "gpus of each task"},
                               {"--cores=N", "cores in all, instead of per task"},
                               {"--tasks-per-node=N", "tasks of each node"},
                               {"--tasks-per-core=N", "tasks of each core"},
                               {"--gpus-per-node=N", "gpus of each node"},
                               {"--taskmap=SCHEME[:VALUE]", "block, cyclic[:N], manual:MAP, hostfile:FILE"},
                               {"--quiet", "do not show the job's id"}};
    return joined(joined(shape, common_options()), stream_options());
}

std::vector<Option> slot_options()
{
    std::vector<Option> shape {
        {"-N,--nodes=N", "spread over N nodes"},
        {"-x,--exclusive", "whole nodes"},
        {"-n,--nslots=N", "the number of slots"},
        {"-c,--cores-per-slot=N", "cores of each slot"},
        {"-g,--gpus-per-slot=N", "gpus of each slot"},
        {"--broker-opts=OPT", "an option of the new instance's brokers"},
        {"--conf=FILE|KEY=VAL|STRING|NAME", "a part of the new instance's configuration"},
        {"--dump[=FILE]", "write the instance's KVS to an archive at its end (flux-{{jobid}}-dump.tgz)"},
        {"--quiet", "do not show the job's id"}};
    return joined(shape, common_options());
}

} // namespace flux::cmd
