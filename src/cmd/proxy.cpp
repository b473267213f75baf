// flux proxy: a shell, or a program, whose flux commands talk to another instance.
#include "cmd/commands.hpp"
#include "cmd/instance_uri.hpp"
#include "cmd/print.hpp"

namespace flux::cmd {

namespace {

int run_proxy(const Args &args, Session &)
{
    std::string uri = target_uri(args[0]);
    Session(uri).connect(); // or say now that nobody is there
    return run_in_instance(uri, args.from(1));
}

} // namespace

const Command proxy {
    .name = "proxy",
    .args = "TARGET [PROGRAM ARGS]",
    .summary = "Run a program (or a shell) that talks to another instance: a URI, or a job",
    .min_args = 1,
    .runs_program = true,
    .run = run_proxy,
};

} // namespace flux::cmd
