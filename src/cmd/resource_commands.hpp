// The subcommands of flux resource that have a file of their own.
#pragma once
#include "cmd/command.hpp"

namespace flux::cmd {

extern const Command resource_eventlog;
extern const Command resource_graph;

} // namespace flux::cmd
