#include "cmd/command.hpp"

#include <cstdio>

namespace flux::cmd {

namespace {

const Command *find_subcommand(const Command &command, const std::string &name)
{
    for (const auto *sub : command.subcommands)
        if (sub->name == name)
            return sub;
    return nullptr;
}

[[noreturn]] void unknown_subcommand(const Command &command, const std::string &full_name,
                                     const std::string &name)
{
    std::vector<std::string> names;
    for (const auto *sub : command.subcommands)
        names.emplace_back(sub->name);
    throw UsageError(fmt::format("{} has no command {}{}", full_name, name, did_you_mean(name, names)));
}

void check_count(const Command &command, const std::string &full_name, const Args &args)
{
    if (args.size() < command.min_args)
        throw UsageError(fmt::format("an argument is missing: {} {}", full_name, command.args));
    if (args.size() > command.max_args)
        throw UsageError(fmt::format("'{}' is one argument too many: {} {}", args[command.max_args],
                                     full_name, command.args));
}

} // namespace

int run_command(const Command &command, const std::string &full_name, std::vector<std::string> arguments,
                Session &flux)
{
    if (!command.subcommands.empty() && !arguments.empty()) {
        if (const auto *sub = find_subcommand(command, arguments[0])) {
            std::string name = fmt::format("{} {}", full_name, sub->name);
            return run_command(*sub, name, {arguments.begin() + 1, arguments.end()}, flux);
        }
        if (!command.run && !arguments[0].starts_with('-'))
            unknown_subcommand(command, full_name, arguments[0]);
    }
    try {
        Args args = parse_options(command, full_name, arguments);
        if (args.has("help")) {
            std::fputs(help_text(command, full_name).c_str(), stdout);
            return 0;
        }
        if (!command.run)
            throw UsageError(fmt::format("{} needs one of its commands", full_name));
        check_count(command, full_name, args);
        return command.run(args, flux);
    } catch (const UsageError &error) {
        throw UsageError(error.text(), full_name);
    }
}

namespace {

// What a command printed is lost when it cannot be written, also when a large piece of it could not be
// earlier.
void finish_output()
{
    errno = 0;
    bool failed = std::fflush(stdout) != 0;
    failed = failed || std::ferror(stdout);
    if (failed && errno != EPIPE)
        throw Error(errno ? errno : EIO, "cannot write the output: {}", errno_text(errno ? errno : EIO));
}

// The module of rank 0 or of every rank that has this service; empty for one that no module of ours has.
std::string_view module_of(std::string_view service)
{
    static constexpr std::pair<std::string_view, std::string_view> modules[] {
        {"content", "content"},       {"kvs", "kvs"},
        {"kvs-watch", "kvs"},         {"resource", "resource"},
        {"sched", "sched"},           {"feasibility", "sched"},
        {"job-ingest", "job-ingest"}, {"job-manager", "job-manager"},
        {"job-info", "job-info"},     {"job-list", "job-list"},
        {"job-exec", "job-exec"},     {"rexec", "rexec"},
    };
    for (auto [name, module] : modules)
        if (name == service)
            return module;
    return {};
}

} // namespace

std::string told(const std::exception &error)
{
    constexpr std::string_view begin = "No service matching ", end = " is registered";
    std::string text = error.what();
    if (!text.starts_with(begin) || !text.ends_with(end))
        return text;
    std::string topic = text.substr(begin.size(), text.size() - begin.size() - end.size());
    auto module = module_of(topic.substr(0, topic.find('.')));
    if (module.empty())
        return text;
    return fmt::format("no {0} module is loaded, which would answer {1}; flux module load {0} loads it",
                       module, topic);
}

int run_program(const Command &command, const std::string &called, const std::vector<std::string> &arguments)
{
    auto prefix = "flux-" + called, name = "flux " + called;
    try {
        Session flux;
        int status = run_command(command, name, arguments, flux);
        finish_output();
        return status;
    } catch (const UsageError &error) {
        fmt::print(stderr, "{}: ERROR: {}\nTry {} --help.\n", prefix, error.what(),
                   error.command().empty() ? name : error.command());
        return command.usage_status;
    } catch (const std::exception &error) {
        fmt::print(stderr, "{}: ERROR: {}\n", prefix, told(error));
    }
    return 1;
}

} // namespace flux::cmd
