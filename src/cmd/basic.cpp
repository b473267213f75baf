// flux version, flux help, flux env: what needs no instance.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <unistd.h>

#include "cmd/commands.hpp"
#include "cmd/environment.hpp"
#include "cmd/print.hpp"

extern char **environ;

namespace flux::cmd {

namespace {

int run_version(const Args &, Session &flux)
{
    print("commands:    {}\n", FLUX_VERSION);
    if (const char *uri = std::getenv("FLUX_URI"); uri && *uri) {
        print("broker:      {}\n", flux.attribute("version"));
        print("FLUX_URI:    {}\n", uri);
    }
    return 0;
}

bool has_man_page(const std::string &root, const std::string &page)
{
    for (const char *suffix : {".1", ".1.gz"})
        if (std::filesystem::exists(root + "/man1/" + page + suffix))
            return true;
    return false;
}

int run_help(const Args &args, Session &flux)
{
    if (args.size() == 0) {
        write_out(overview());
        return 0;
    }
    std::string name = args[0];
    if (auto man = Installation::find().man; has_man_page(man, "flux-" + name)) {
        ::setenv("MANPATH", man.c_str(), 1);
        exec_program("man", {"man", "flux-" + name});
    }
    std::vector<std::string> names;
    for (const auto *command : all_commands()) {
        names.emplace_back(command->name);
        if (command->name == name) {
            auto arguments = args.from(1);
            arguments.push_back("--help");
            return run_command(*command, "flux " + name, arguments, flux);
        }
    }
    throw Error(ENOENT, "there is no help about {}{}; flux help lists the commands", name,
                did_you_mean(name, names));
}

int run_env(const Args &args, Session &)
{
    if (args.size() > 0)
        exec_program(args[0], args.positional());
    for (char **entry = environ; *entry; entry++)
        print("{}\n", *entry);
    return 0;
}

} // namespace

const Command version {
    .name = "version",
    .summary = "Show the version of the commands and of the instance",
    .max_args = 0,
    .run = run_version,
};

const Command help {
    .name = "help",
    .args = "[COMMAND]",
    .summary = "Show the manual page or the options of a command",
    .run = run_help,
};

const Command env {
    .name = "env",
    .args = "[PROGRAM ARGS]",
    .summary = "Show the environment that commands get, or run a program in it",
    .runs_program = true,
    .run = run_env,
};

} // namespace flux::cmd
