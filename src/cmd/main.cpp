// flux: the one program that people type. Finds the command, in its own table or as flux-NAME in
// FLUX_EXEC_PATH, and runs it.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <malloc.h>
#include <sys/stat.h>

#include "cmd/command.hpp"
#include "cmd/environment.hpp"
#include "cmd/print.hpp"

namespace flux::cmd {

namespace {

struct Front { // the options in front of the command
    std::string command;
    std::vector<std::string> arguments;
    bool help = false;
    bool version = false;
    bool verbose = false;
    bool parent = false;
    bool root = false;
};

const Command front_command {
    .name = "flux",
    .args = "COMMAND ARGS",
    .summary = "run a command of Flux",
    .options = {{"-p,--parent", "talk to the parent"},
                {"-r,--root", "talk to the root"},
                {"-v,--verbose", "show the environment"},
                {"-V,--version", "show the version"}},
    .runs_program = true,
};

Front parse_front(const std::vector<std::string> &arguments)
{
    Args args = parse_options(front_command, "flux", arguments);
    Front front {.help = args.has("help"),
                 .version = args.has("version"),
                 .verbose = args.has("verbose"),
                 .parent = args.has("parent"),
                 .root = args.has("root")};
    if (args.size() > 0) {
        front.command = args[0];
        front.arguments = args.from(1);
    }
    return front;
}

// FLUX_URI becomes the parent's; for the root, again and again.
void climb(bool to_root)
{
    do {
        Session here;
        auto parent = here.find_attribute("parent-uri");
        if (!parent && to_root)
            return;
        if (!parent)
            throw Error(ENOENT, "this instance has no parent");
        ::setenv("FLUX_URI", parent->c_str(), 1);
        if (auto outer = here.find_attribute("parent-kvs-namespace"))
            ::setenv("FLUX_KVS_NAMESPACE", outer->c_str(), 1);
        else
            ::unsetenv("FLUX_KVS_NAMESPACE");
    } while (to_root);
}

int unknown_command(const std::string &name)
{
    std::vector<std::string> names = external_commands();
    for (const auto *command : all_commands())
        names.emplace_back(command->name);
    fmt::print(stderr, "flux: there is no command {}{}; flux help lists the commands\n", name,
               did_you_mean(name, names));
    return 1;
}

int run_external(const Front &front)
{
    const char *search_path = std::getenv("FLUX_EXEC_PATH");
    std::string program = find_program("flux-" + front.command, search_path ? search_path : "");
    if (program.empty() || front.command.find('/') != std::string::npos)
        return unknown_command(front.command);
    std::vector<std::string> argv {program};
    argv.insert(argv.end(), front.arguments.begin(), front.arguments.end());
    exec_program(program, argv);
}

int run_front(const std::vector<std::string> &arguments)
{
    Front front = parse_front(arguments);
    set_up_environment(Installation::find());
    if (front.verbose)
        for (const char *name : {"PATH", "FLUX_EXEC_PATH", "FLUX_MODULE_PATH", "FLUX_URI"})
            if (const char *value = std::getenv(name))
                fmt::print(stderr, "{}={}\n", name, value);
    if (front.version)
        front.command = "version";
    if (front.help || front.command.empty()) {
        std::fputs(overview().c_str(), front.help ? stdout : stderr);
        return front.help ? 0 : 1;
    }
    if (front.parent || front.root)
        climb(front.root);
    if (const auto *command = find_command(front.command))
        return run_program(*command, front.command, front.arguments);
    return run_external(front);
}

} // namespace

} // namespace flux::cmd

int main(int argc, char **argv)
{
    // A command ends soon: memory that it gives back is used again, and not mapped and filled with zeros anew.
    mallopt(M_MMAP_THRESHOLD, 256 << 20);
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
    try {
        return flux::cmd::run_front({argv + 1, argv + argc});
    } catch (const std::exception &error) {
        fmt::print(stderr, "flux: ERROR: {}\n", error.what());
        return 1;
    }
}
