// flux start: this process becomes a broker, or (--test-size) starts several on this machine and waits for
// them.
#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "cmd/commands.hpp"
#include "cmd/environment.hpp"
#include "cmd/print.hpp"
#include "cmd/test_instance.hpp"
#include "common/base/text.hpp"

namespace flux::cmd {

namespace {

constexpr const char *system_config = "/etc/flux/system/conf.d";
constexpr const char *system_statedir = "/var/lib/flux";

std::string find_broker()
{
    const char *search_path = std::getenv("FLUX_EXEC_PATH");
    std::string broker = find_program("flux-broker", search_path ? search_path : "");
    if (broker.empty())
        throw Error(ENOENT, "there is no flux-broker in FLUX_EXEC_PATH ({})", search_path ? search_path : "");
    return broker;
}

// What is told to every broker, in the order in which a broker lets later words win.
std::vector<std::string> broker_command(const Args &args)
{
    std::vector<std::string> line;
    for (const auto &wrapper : args.all("wrap"))
        for (const auto &word : split_words(wrapper, ","))
            line.emplace_back(word);
    line.push_back(find_broker());
    for (const auto &option : args.all("broker-opts"))
        for (const auto &word : split_words(option, ","))
            line.emplace_back(word);
    bool recovers = args.has("recovery");
    std::string target = recovers ? args.value("recovery") : "";
    if (target == "true") // of the system instance
        target = system_statedir;
    if (args.has("sysconfig") || target == system_statedir)
        line.push_back(fmt::format("-c{}", system_config));
    if (recovers) {
        if (!std::filesystem::exists(target))
            throw Error(ENOENT, "--recovery={}: there is neither a statedir nor an archive", target);
        line.push_back("-Sbroker.recovery-mode=1");
        line.push_back((std::filesystem::is_directory(target) ? "-Sstatedir=" : "-Scontent.restore=") +
                       std::filesystem::absolute(target).string());
    }
    for (const auto &path : args.all("config-path"))
        line.push_back("-c" + path);
    for (const auto &value : args.all("conf"))
        line.push_back("--conf=" + value);
    for (const auto &attribute : args.all("setattr"))
        line.push_back("-S" + attribute);
    return line;
}

std::string one_of(const Args &args, std::string_view option, std::vector<std::string> allowed)
{
    auto value = args.value(option, allowed[0]);
    if (std::ranges::find(allowed, value) == allowed.end())
        throw Error(EINVAL, "--{}={}: use {}", option, value, fmt::join(allowed, " or "));
    return value;
}

TestInstance::Plan test_plan(const Args &args)
{
    TestInstance::Plan plan;
    auto size = args.integer("test-size", 1);
    if (size < 1 || size > TestInstance::Plan::max_size)
        throw Error(EINVAL, "--test-size={}: a number of brokers from 1 to {} was expected", size,
                    TestInstance::Plan::max_size);
    plan.size = uint32_t(size);
    plan.command = broker_command(args);
    plan.initial_program = args.positional();
    plan.rundir = args.has("rundir") ? args.value("rundir") : args.value("test-rundir");
    plan.remove_rundir = args.has("test-rundir-cleanup");
    if (args.has("test-hosts")) {
        auto hosts = Hostlist::parse(args.value("test-hosts"));
        if (!hosts || hosts->size() != plan.size)
            throw Error(EINVAL, "--test-hosts={}: {}", args.value("test-hosts"),
                        hosts ? fmt::format("{} hosts for {} brokers", hosts->size(), plan.size)
                              : hosts.error().text());
        plan.hosts = *hosts;
    }
    plan.clique = args.value("test-pmi-clique", "single");
    plan.only_leader = one_of(args, "test-start-mode", {"all", "leader"}) == "leader";
    plan.exit_with_leader = one_of(args, "test-exit-mode", {"any", "leader"}) == "leader";
    plan.exit_timeout = args.duration("test-exit-timeout", plan.exit_timeout);
    plan.trace = args.level("verbose") > 1;
    return plan;
}

int run_start(const Args &args, Session &)
{
    for (auto option : {"rundir", "test-hosts", "test-exit-timeout", "test-exit-mode", "test-start-mode",
                        "test-rundir", "test-rundir-cleanup", "test-pmi-clique"})
        if (args.has(option) && !args.has("test-size"))
            throw UsageError(fmt::format("--{} goes with --test-size only", option));
    bool test = args.has("test-size");
    if (args.has("recovery") && test && args.integer("test-size", 1) != 1)
        throw UsageError("--recovery runs one broker: give no --test-size, or 1");
    auto plan = test ? test_plan(args) : TestInstance::Plan();
    auto line = broker_command(args);
    line.insert(line.end(), args.positional().begin(), args.positional().end());
    if (args.has("verbose") || args.has("noexec"))
        for (uint32_t rank = 0; rank < plan.size; rank++)
            warn("{}: {}", rank, fmt::join(line, " "));
    if (args.has("noexec"))
        return 0;
    if (!test)
        exec_program(line[0], line);
    return TestInstance(std::move(plan)).run();
}

} // namespace

const Command start {
    .name = "start",
    .args = "[PROGRAM ARGS]",
    .summary = "Start an instance and run a program (or a shell) in it",
    .options = {{"-S,--setattr=ATTR=VAL", "set a broker attribute"},
                {"-c,--config-path=PATH", "read the configuration from this directory or file"},
                {"--conf=VALUE", "more configuration: TABLE.KEY=VALUE, TOML, JSON or a file"},
                {"-o,--broker-opts=OPTIONS", "options of the broker, separated by commas"},
                {"-v,--verbose[=LEVEL]", "show what is run; twice: and what the brokers ask at boot"},
                {"-X,--noexec", "run nothing"},
                {"-r,--recovery[=TARGET]",
                 "look into what another instance left: its statedir, or a dump (default: the "
                 "system's)"},
                {"--sysconfig", "with the configuration of the system instance, /etc/flux/system/conf.d"},
                {"--wrap=ARGS", "run the broker under this program; words are separated by commas"},
                {"-s,--test-size=N", "start N brokers on this machine"},
                {"--rundir=DIR", "where their sockets are; made and removed if it is not there"},
                {"--test-hosts=HOSTLIST", "the brokers' host names: they boot from a configuration"},
                {"--test-exit-timeout=FSD", "how long after the first exit the others are killed (20s)"},
                {"--test-exit-mode=MODE", "whose exit counts: any or leader"},
                {"--test-start-mode=MODE", "who is started: all or leader"},
                {"--test-rundir=PATH", "as --rundir, but the directory must exist"},
                {"--test-rundir-cleanup", "and is removed at the end"},
                {"--test-pmi-clique=MODE",
                 "where brokers think they are: single, per-broker, none or a task map"}},
    .runs_program = true,
    .run = run_start,
};

} // namespace flux::cmd
