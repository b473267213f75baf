// flux version, flux env: what needs no instance.
#include <cstdlib>
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

const Command env {
    .name = "env",
    .args = "[PROGRAM ARGS]",
    .summary = "Show the environment that commands get, or run a program in it",
    .runs_program = true,
    .run = run_env,
};

} // namespace flux::cmd
