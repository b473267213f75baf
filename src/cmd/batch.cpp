// flux batch and flux alloc: an instance of Flux as a job, with a script or a program as its initial program.
#include <csignal>
#include <filesystem>
#include <unistd.h>

#include "cmd/attach.hpp"
#include "cmd/commands.hpp"
#include "cmd/directives.hpp"
#include "cmd/instance_uri.hpp"
#include "cmd/named_formats.hpp"
#include "cmd/print.hpp"
#include "cmd/submit_options.hpp"
#include "common/config/config.hpp"

namespace flux::cmd {

namespace {

constexpr size_t max_script = 16u << 20; // bytes
constexpr int script_permissions = 0700;
constexpr int config_permissions = 0600;
constexpr std::string_view default_output = "flux-{{id}}.out";
constexpr std::string_view default_dump = "flux-{{jobid}}-dump.tgz";

struct Script {
    std::string content;
    std::string name; // for the job's name
    std::vector<std::string> arguments;
};

// A word as /bin/sh reads it back.
std::string quoted(const std::string &word)
{
    constexpr const char *plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=:,./@%";
    if (!word.empty() && word.find_first_not_of(plain) == word.npos)
        return word;
    std::string out = "'";
    for (char c : word)
        out += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return out + "'";
}

// One argument is a line for the shell; several are a command and its words.
std::string wrapped(const std::vector<std::string> &words)
{
    if (words.size() == 1)
        return words[0];
    std::string line;
    for (auto &word : words)
        line += (line.empty() ? "" : " ") + quoted(word);
    return line;
}

Script read_script(const Args &args)
{
    Script out;
    if (args.has("wrap")) {
        std::string body = args.size() ? wrapped(args.positional()) : read_stdin();
        out.content = "#!/bin/sh\n" + body + (body.ends_with('\n') ? "" : "\n");
        out.name = args.size() ? std::filesystem::path(args[0]).filename().string() : "batch";
        return out;
    }
    std::string path = args.size() ? args[0] : "-";
    out.content = read_file(path);
    out.name = args.size() ? std::filesystem::path(path).filename().string() : "batch";
    out.arguments = args.from(1);
    if (out.content.empty())
        throw UsageError(fmt::format("the script {} is empty", path == "-" ? "on standard input" : path));
    if (!out.content.starts_with("#!"))
        throw UsageError(
            fmt::format("{} does not begin with #!: put #!/bin/sh (or another interpreter) into its "
                        "first line, or use --wrap",
                        path == "-" ? "the script on standard input" : path));
    if (out.content.size() > max_script)
        throw UsageError(fmt::format("{} has {} bytes, more than the {} that a script may have", path,
                                     out.content.size(), max_script));
    return out;
}

// The directives' options come first, so that those of the command line win.
Args with_directives(const Args &args, const std::string &script)
{
    auto words = parse_directives(script);
    if (!words)
        throw UsageError(words.error().text());
    Args merged;
    try {
        merged = parse_options(batch, "flux batch", *words);
    } catch (const UsageError &error) {
        throw UsageError(fmt::format("in a directive of the script: {}", error.what()));
    }
    if (merged.size() > 0)
        throw UsageError(fmt::format("in a directive of the script: '{}' is no option", merged[0]));
    for (const auto &[name, values] : args.options_)
        merged.options_[name].insert(merged.options_[name].end(), values.begin(), values.end());
    merged.in_order_.insert(merged.in_order_.end(), args.in_order_.begin(), args.in_order_.end());
    merged.positional_ = args.positional_;
    return merged;
}

std::vector<std::string> instance_command(const Args &args)
{
    std::vector<std::string> out {"flux", "broker"};
    for (const auto &option : args.all("broker-opts"))
        out.push_back(option);
    if (args.has("conf"))
        out.push_back("-c{{tmpdir}}/conf.json");
    if (args.has("dump"))
        out.push_back("-Scontent.dump=" +
                      (args.value("dump") == "true" ? std::string(default_dump) : args.value("dump")));
    return out;
}

// "NAME" without a suffix: NAME.toml or NAME.json in the directories for configurations by name.
std::string find_named_config(const std::string &name)
{
    for (const auto &directory : config_directories())
        for (const char *extension : {"toml", "json"}) {
            std::string path = fmt::format("{}/config/{}.{}", directory, name, extension);
            if (std::filesystem::exists(path))
                return path;
        }
    throw UsageError(
        fmt::format("--conf={}: this is neither KEY=VALUE nor TOML or JSON, nor a file, and no {}.toml is "
                    "in the directories for configurations",
                    name, name));
}

// Each --conf adds to the configuration that travels in the jobspec.
void add_config(JobspecBuilder &builder, const Args &args)
{
    if (!args.has("conf"))
        return;
    Json config = Json::object();
    for (const auto &text : args.all("conf")) {
        bool is_name = text.find_first_of("=\n{") == std::string::npos && !text.ends_with(".toml") &&
                       !text.ends_with(".json");
        merge_config(config, is_name ? find_named_config(text) : text);
    }
    builder.file("conf.json", file_entry(config.dump(), config_permissions));
}

void set_output(JobspecBuilder &builder, const std::string &stream, const std::string &path)
{
    if (path == "none" || path == "kvs")
        return;
    builder.shell_option(fmt::format("output.{}.type", stream), "file");
    builder.shell_option(fmt::format("output.{}.path", stream), path);
}

Submission batch_submission(const Args &args, const Script &script)
{
    auto command = instance_command(args);
    command.push_back("{{tmpdir}}/script");
    command.insert(command.end(), script.arguments.begin(), script.arguments.end());
    return make_instance_submission(args, command, [&](JobspecBuilder &builder) {
        add_config(builder, args);
        builder.file("script", file_entry(script.content, script_permissions));
        if (!args.has("job-name"))
            builder.name(script.name);
        set_output(builder, "stdout", args.value("output", default_output));
        if (args.has("error"))
            set_output(builder, "stderr", args.value("error"));
        if (args.has("label-io"))
            builder.shell_option("output.stdout.label", true);
        if (args.has("unbuffered"))
            for (const char *stream : {"stdout", "stderr"})
                builder.shell_option(fmt::format("output.{}.buffer.type", stream), "none");
        if (args.has("input")) {
            builder.shell_option("input.stdin.type", "file");
            builder.shell_option("input.stdin.path", args.value("input"));
        }
    });
}

int run_batch(const Args &given, Session &flux)
{
    Script script = read_script(given);
    Args args = with_directives(given, script.content);
    Submission submission = batch_submission(args, script);
    if (args.has("dry-run")) {
        print("{}\n", submission.jobspec.dump());
        return 0;
    }
    JobId id = flux.run(submit_job(flux.handle(), submission));
    if (!args.has("quiet"))
        print("{}\n", id_text(id));
    return 0;
}

// Until the instance of the job has told its URI, which it does once it takes jobs. ECANCELED when it ends
// before.
Task<std::string> wait_for_uri(Handle &handle, JobId id)
{
    std::string uri;
    JobEnd end;
    co_await follow_log(handle, id, "eventlog", [&](const Event &event) {
        record_end(end, event);
        if (event.name == "memo")
            uri = event.context.value<std::string>("uri", "");
        return uri.empty();
    });
    if (uri.empty())
        throw Error(ECANCELED,
                    "{} ended before its instance was ready: {}; flux job attach {} shows its output",
                    id_text(id), end.describe(), id_text(id));
    co_return uri;
}

void shut_down(const std::string &uri)
{
    try {
        Session inner(uri);
        inner.handle().notify("shutdown.start", Json::object(), {.nodeid = 0});
        inner.rpc("attr.get", Json {{"name", "rank"}}); // answered: the request before it has arrived
    } catch (const Error &) {
        // It is gone already.
    }
}

int attach_to_program(const Args &args, Session &flux, JobId id)
{
    AttachOptions options {.show_events = args.times("verbose") > 1,
                           .show_exec = args.times("verbose") > 2,
                           .with_stdin = true,
                           .forward_signals = true};
    JobEnd end = flux.run(attach_job(flux, id, options));
    report_end(id, end, false);
    return end.exit_code();
}

int run_alloc(const Args &args, Session &flux)
{
    auto command = instance_command(args);
    bool has_program = args.size() > 0;
    // At a terminal the program, or a shell, has one on the first node of the allocation. Else a shell runs here.
    bool at_terminal = ::isatty(STDIN_FILENO) && !args.has("bg");
    if (!has_program && !at_terminal)
        command.push_back("-Sbroker.rc2_none=1");
    for (const auto &word : args.positional())
        command.push_back(word);
    Submission submission = make_instance_submission(args, command, [&](JobspecBuilder &builder) {
        add_config(builder, args);
        if (at_terminal)
            builder.shell_option("pty.interactive", 1);
        if (!args.has("job-name"))
            builder.name(has_program ? std::filesystem::path(args[0]).filename().string() : "alloc");
    });
    if (args.has("dry-run")) {
        print("{}\n", submission.jobspec.dump());
        return 0;
    }
    JobId id = flux.run(submit_job(flux.handle(), submission));
    if (args.has("verbose"))
        warn("jobid: {}", id_text(id));
    if (at_terminal || (has_program && !args.has("bg")))
        return attach_to_program(args, flux, id);
    // Who no longer waits for the instance would neither use nor end it.
    std::vector<std::shared_ptr<EvLoop::SignalWatch>> signals;
    for (int signum : {SIGINT, SIGTERM, SIGHUP})
        signals.push_back(flux.loop().watch_signal(signum, [&](int) {
            flux.handle().notify("job-manager.raise",
                                 Json {{"id", id.value()}, {"type", "cancel"}, {"severity", 0}});
        }));
    std::string uri = local_uri(flux.run(wait_for_uri(flux.handle(), id)));
    signals.clear();
    if (args.has("bg")) {
        print("{}\n", id_text(id));
        return 0;
    }
    int status = run_in_instance(uri, {});
    shut_down(uri);
    return status;
}

} // namespace

const Command batch {
    .name = "batch",
    .args = "[SCRIPT ARGS]",
    .summary = "Submit a script that runs in an instance of Flux of its own",
    .options = with(slot_options(),
                    {{"--wrap", "the arguments (or standard input) are the script's lines, for /bin/sh"},
                     {"--input=FILENAME", "the script's standard input"},
                     {"--output=TEMPLATE", "default flux-{{id}}.out; kvs or none: for flux job attach"},
                     {"--error=TEMPLATE", "standard error to another file"},
                     {"-u,--unbuffered", "no buffers between the script and the output"},
                     {"-l,--label-io", "prefix lines with the rank"}}),
    .runs_program = true,
    .run = run_batch,
};

const Command alloc {
    .name = "alloc",
    .args = "[PROGRAM ARGS]",
    .summary = "Run a program (or a shell) in an instance of Flux of its own",
    .options =
        with(slot_options(), {{"--bg", "only start the instance, and show the job's id when it is ready"}}),
    .runs_program = true,
    .run = run_alloc,
};

} // namespace flux::cmd
