// flux start: an instance of one broker, in place of this process.
#include <cstdlib>
#include <sstream>

#include "cmd/commands.hpp"
#include "cmd/environment.hpp"
#include "cmd/print.hpp"

namespace flux::cmd {

namespace {

std::vector<std::string> words(const std::string &text)
{
    std::istringstream stream(text);
    std::vector<std::string> out;
    for (std::string word; stream >> word;)
        out.push_back(word);
    return out;
}

std::string find_broker()
{
    const char *search_path = std::getenv("FLUX_EXEC_PATH");
    std::string broker = find_program("flux-broker", search_path ? search_path : "");
    if (broker.empty())
        throw Error(ENOENT, "there is no flux-broker in FLUX_EXEC_PATH ({})", search_path ? search_path : "");
    return broker;
}

int run_start(const Args &args, Session &)
{
    if (args.integer("test-size", 1) != 1)
        throw Error(ENOTSUP, "--test-size: this version starts instances of one broker only");
    std::vector<std::string> line;
    for (const auto &wrapper : args.all("wrap"))
        for (const auto &word : words(wrapper))
            line.push_back(word);
    line.push_back(find_broker());
    for (const auto &option : args.all("broker-opts"))
        for (const auto &word : words(option))
            line.push_back(word);
    for (const auto &attribute : args.all("setattr"))
        line.insert(line.end(), {"-S", attribute});
    for (const auto &path : args.all("config-path"))
        line.insert(line.end(), {"-c", path});
    for (const auto &value : args.all("conf"))
        line.push_back("--conf=" + value);
    if (args.has("rundir"))
        line.push_back("-Srundir=" + args.value("rundir"));
    for (const auto &word : args.positional())
        line.push_back(word);
    if (args.has("verbose") || args.has("noexec"))
        warn("{}", fmt::join(line, " "));
    if (args.has("noexec"))
        return 0;
    exec_program(line[0], line);
}

} // namespace

const Command start {
    .name = "start",
    .args = "[PROGRAM ARGS]",
    .summary = "Start an instance and run a program (or a shell) in it",
    .options = {{"-o,--broker-opts=OPTIONS", "options of the broker"},
                {"-S,--setattr=ATTR=VAL", "set an attribute"},
                {"-c,--config-path=PATH", "the configuration"},
                {"--conf=VALUE", "more configuration: TABLE.KEY=VALUE, TOML or JSON"},
                {"-s,--test-size=N", "the number of brokers"},
                {"--rundir=DIR", "where the instance keeps its sockets"},
                {"--wrap=ARGS", "run the broker under another program"},
                {"-v,--verbose", "show what is run"},
                {"-X,--noexec", "show it and do not run it"}},
    .runs_program = true,
    .run = run_start,
};

} // namespace flux::cmd
