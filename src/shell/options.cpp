#include "shell/options.hpp"

#include <algorithm>
#include <csignal>

#include "common/base/text.hpp"
#include "common/types/duration.hpp"
#include "common/types/idset.hpp"

namespace flux::shell {

namespace {

// "-o flag" is 1, "-o flag=true" a boolean, "-o flag=2" a number.
bool is_set(const Json &value)
{
    if (value.is_integer())
        return value.as<int64_t>() != 0;
    return value && !value.is_null() && !(value.is_boolean() && !value.as<bool>());
}

std::string text_of(const Json &value, std::string_view option)
{
    if (value.is_string())
        return value.as<std::string>();
    if (value.is_integer())
        return value.as<int64_t>() == 1 ? "on" : "off";
    if (value.is_boolean())
        return value.as<bool>() ? "on" : "off";
    throw Error(EINVAL, "shell option {}: expected a string, found {}", option, value.type_name());
}

double seconds_of(const Json &value, std::string_view option)
{
    if (value.is_number())
        return value.as<double>();
    auto parsed = parse_duration(value.string_view());
    if (!parsed)
        throw Error(EINVAL, "shell option {}: {}", option, parsed.error().text());
    return *parsed;
}

uint64_t size_of(const Json &value)
{
    uint64_t size = 0;
    if (value.is_integer())
        size = uint64_t(std::max<int64_t>(0, value.as<int64_t>()));
    else {
        auto text = value.as<std::string>();
        char *end = nullptr;
        double number = strtod(text.c_str(), &end);
        std::string_view unit = end;
        double factor = unit.empty()                 ? 1
                        : unit == "k" || unit == "K" ? 1e3
                        : unit == "M"                ? 1e6
                        : unit == "G"                ? 1e9
                                                     : 0;
        if (end == text.c_str() || !factor || !(number >= 0) ||
            number * factor > double(Options::max_output_limit))
            throw Error(EINVAL, "shell option output.limit: \"{}\" is no size up to 1G", text);
        size = uint64_t(number * factor);
    }
    if (size > Options::max_output_limit)
        throw Error(EINVAL, "shell option output.limit: {} is more than 1G", size);
    return size;
}

void parse_stream(const Json &output, const char *name, StreamOptions &stream)
{
    Json json = output[name];
    if (!json.is_object())
        return;
    if (auto type = json.find<std::string>("type")) {
        if (*type != "kvs" && *type != "file" && *type != "none")
            throw Error(EINVAL, "shell option output.{}.type: \"{}\" is neither kvs nor file", name, *type);
        stream.to_file = *type == "file";
    }
    stream.path = json.value<std::string>("path", stream.path);
    if (Json label = json["label"])
        stream.label = is_set(label);
    if (auto buffer = json.at("buffer", "type"))
        stream.line_buffered = buffer.string_view() != "none";
    if (stream.to_file && stream.path.empty())
        throw Error(EINVAL, "shell option output.{}.type=file needs output.{}.path", name, name);
}

void parse_output(const Json &output, Options &options)
{
    options.stderr_.line_buffered = false;
    if (!output.is_object())
        return;
    parse_stream(output, "stdout", options.stdout_);
    if (!output["stderr"].contains("type")) { // the type of stdout holds for both
        options.stderr_.to_file = options.stdout_.to_file;
        options.stderr_.path = options.stdout_.path;
        options.stderr_.label = options.stdout_.label;
    }
    parse_stream(output, "stderr", options.stderr_);
    if (Json limit = output["limit"])
        options.output_limit = size_of(limit);
    auto mode = output.value<std::string>("mode", "truncate");
    if (mode != "truncate" && mode != "append")
        throw Error(EINVAL, "shell option output.mode: \"{}\" is neither truncate nor append", mode);
    options.append = mode == "append";
}

void parse_terminal(const Json &pty, Options &options)
{
    TerminalOptions terminal;
    terminal.interactive = is_set(pty["interactive"]);
    terminal.capture = !terminal.interactive;
    if (terminal.interactive)
        terminal.ranks = "0";
    if (Json capture = pty["capture"])
        terminal.capture = is_set(capture);
    if (Json ranks = pty["ranks"])
        terminal.ranks = ranks.is_integer() ? fmt::format("{}", ranks.as<uint32_t>()) : ranks.as<std::string>();
    if (terminal.ranks != "all")
        if (auto parsed = Idset::parse(terminal.ranks); !parsed)
            throw Error(EINVAL, "shell option pty.ranks: {}", parsed.error().text());
    if (terminal.interactive && !terminal.contains(0))
        throw Error(EINVAL, "shell option pty.interactive: task 0 has it, but pty.ranks={} leaves that out",
                    terminal.ranks);
    options.terminal = terminal;
    options.stdout_.line_buffered = false; // what is written to a terminal is to be seen at once
}

void parse_taskmap(const Json &value, Options &options)
{
    if (value.is_object()) {
        options.taskmap_scheme = value.get<std::string>("scheme");
        options.taskmap_value = value.value<std::string>("value", {});
    } else {
        auto text = value.as<std::string>();
        auto colon = text.find(':');
        options.taskmap_scheme = text.substr(0, colon);
        options.taskmap_value = colon == text.npos ? "" : text.substr(colon + 1);
    }
}

void parse_stage_in(const Json &json, Options &options)
{
    StageIn stage;
    if (Json names = json["names"]) {
        std::string list = names.as<std::string>();
        stage.names.clear();
        for (std::string_view name : split_words(list, ","))
            stage.names.emplace_back(name);
        if (stage.names.empty())
            throw Error(EINVAL, "shell option stage-in.names is empty: name archives, such as main,data");
    }
    stage.pattern = json.value<std::string>("pattern", {});
    auto destination = json.value<std::string>("destination", {});
    if (destination.starts_with("global:") || destination.starts_with("local:")) {
        stage.global = destination.starts_with("global:");
        destination.erase(0, destination.find(':') + 1);
    }
    if (stage.global && destination.empty())
        throw Error(EINVAL, "shell option stage-in.destination: global: is followed by a path");
    stage.destination = destination;
    options.stage_in = std::move(stage);
}

void parse_coprocesses(const Json &json, Options &options)
{
    if (!json.is_object())
        throw Error(EINVAL, "shell option coprocess: expected an object of co-processes by name, found {}",
                    json.type_name());
    if (json.size() > Options::max_coprocesses)
        throw Error(EINVAL, "shell option coprocess: {} co-processes, at most {} are possible", json.size(),
                    Options::max_coprocesses);
    for (auto [name, entry] : json.members()) {
        auto where = fmt::format("shell option coprocess.{}", name);
        Coprocess one;
        one.name = name;
        if (!entry["command"].is_array() || entry["command"].empty())
            throw Error(EINVAL, "{}.command: expected an array of strings, the program first", where);
        for (auto word : entry["command"].elements())
            one.command.push_back(word.as<std::string>());
        one.output = entry.value<std::string>("output", fmt::format("coproc-{}-{{{{id}}}}.log", name));
        if (Json ranks = entry["ranks"])
            one.ranks =
                ranks.is_integer() ? fmt::format("{}", ranks.as<uint32_t>()) : ranks.as<std::string>();
        if (one.ranks != "all")
            if (auto parsed = Idset::parse(one.ranks); !parsed)
                throw Error(EINVAL, "{}.ranks: {}", where, parsed.error().text());
        options.coprocesses.push_back(std::move(one));
    }
}

void parse_monitor(const Json &json, Options &options)
{
    options.monitor_period = Options::default_monitor_period;
    if (Json period = json["period"])
        options.monitor_period = seconds_of(period, "sysmon.period");
    if (*options.monitor_period < Options::least_monitor_period)
        throw Error(EINVAL, "shell option sysmon.period: {} s is less than {} s", *options.monitor_period,
                    Options::least_monitor_period);
}

// What flux-shell-options(7) has, here or not.
constexpr std::string_view supported[] {"verbose",
                                        "nosetpgrp",
                                        "oom",
                                        "rlimit",
                                        "exit-timeout",
                                        "exit-on-error",
                                        "signal",
                                        "cpu-affinity",
                                        "gpu-affinity",
                                        "output",
                                        "input",
                                        "taskmap",
                                        "pmi",
                                        "pmi-simple",
                                        "mpi",
                                        "per-resource",
                                        "pty",
                                        "stage-in",
                                        "hwloc",
                                        "sysmon",
                                        "coprocess",
                                        "coprocess-kill-timeout",
                                        "rexec-shutdown-timeout"};
constexpr std::string_view not_here[] {"initrc", "userrc", "stop-tasks-in-exec", "rexec"};

void warn_of_unknown(const Json &json, Options &options)
{
    for (auto [name, value] : json.members()) {
        if (std::ranges::find(supported, name) != std::end(supported) || !is_set(value))
            continue;
        if (std::ranges::find(not_here, name) != std::end(not_here))
            options.warnings.push_back(fmt::format("shell option {} has no effect here", name));
        else
            options.warnings.push_back(fmt::format("shell option {} is not known: flux-shell-options(7) has a list", name));
    }
}

// "verbose,dry-run,per-task"
void parse_cpu_affinity(std::string text, Options &options)
{
    for (bool more = true; more;) {
        more = false;
        for (std::string_view word : {"verbose", "dry-run"})
            if (text.starts_with(word) && (text.size() == word.size() || text[word.size()] == ',')) {
                text.erase(0, std::min(word.size() + 1, text.size()));
                options.affinity_verbose = true;
                options.affinity_dry_run |= word == "dry-run";
                more = true;
            }
    }
    options.cpu_affinity = text.empty() ? "on" : text;
}

void parse_all(const Json &json, Options &options)
{
    warn_of_unknown(json, options);
    if (Json value = json.at("oom", "adjust"))
        options.oom_adjust = value.as<int>();
    if (Json value = json["verbose"])
        options.verbose = value.is_integer() ? value.as<int>() : is_set(value);
    options.own_process_groups = !is_set(json["nosetpgrp"]);
    options.exit_on_error = is_set(json["exit-on-error"]);
    if (Json value = json["pmi"])
        options.pmi = text_of(value, "pmi") != "off";
    if (Json value = json["exit-timeout"]) {
        if (value.string_view() == "none")
            options.exit_timeout.reset();
        else
            options.exit_timeout = seconds_of(value, "exit-timeout");
    }
    if (Json value = json["taskmap"])
        parse_taskmap(value, options);
    if (Json value = json["cpu-affinity"])
        parse_cpu_affinity(text_of(value, "cpu-affinity"), options);
    if (Json value = json["gpu-affinity"])
        options.gpu_affinity = text_of(value, "gpu-affinity");
    for (auto [name, value] : json["rlimit"].members())
        options.rlimits.emplace(name, value.as<int64_t>());
    if (json.at("input", "stdin", "type").string_view() == "file")
        options.stdin_path = json["input"]["stdin"].get<std::string>("path");
    if (Json value = json["signal"]; is_set(value)) {
        options.warn_signal = value.value<int>("signum", SIGUSR1);
        if (Json left = value["timeleft"])
            options.warn_seconds = seconds_of(left, "signal.timeleft");
    }
    options.topology_file = is_set(json["hwloc"]["xmlfile"]);
    options.topology_of_job = is_set(json["hwloc"]["restrict"]);
    if (options.topology_of_job && !options.topology_file)
        options.warnings.push_back("shell option hwloc.restrict has no effect without hwloc.xmlfile");
    if (Json value = json["stage-in"]; is_set(value))
        parse_stage_in(value, options);
    if (Json value = json["coprocess"]; is_set(value))
        parse_coprocesses(value, options);
    if (Json value = json["coprocess-kill-timeout"])
        options.coprocess_kill_timeout = seconds_of(value, "coprocess-kill-timeout");
    if (Json value = json["rexec-shutdown-timeout"])
        seconds_of(value, "rexec-shutdown-timeout"); // job-exec sees to it
    if (Json value = json["sysmon"]; is_set(value))
        parse_monitor(value, options);
    if (Json value = json["pty"]; is_set(value))
        parse_terminal(value, options);
    parse_output(json["output"], options);
}

} // namespace

bool TerminalOptions::contains(uint32_t task) const
{
    return ranks == "all" || value_or_throw(Idset::parse(ranks)).contains(task);
}

bool Coprocess::runs_on(uint32_t nodeid) const
{
    return ranks == "all" || value_or_throw(Idset::parse(ranks)).contains(nodeid);
}

Expected<Options> Options::parse(const Jobspec &jobspec)
{
    Options options;
    try {
        parse_all(jobspec.shell_options(), options);
    } catch (const Error &error) {
        return fail(EINVAL, "shell options: {}", error.text());
    }
    return options;
}

} // namespace flux::shell
