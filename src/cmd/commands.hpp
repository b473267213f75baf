// Every command, each defined in the file of its name or its group.
#pragma once
#include "cmd/command.hpp"

namespace flux::cmd {

extern const Command version, help, env;
extern const Command getattr, setattr, lsattr;
extern const Command ping, pmi, event, module, kvs;
extern const Command submit, run, jobs, job, cancel, dmesg, logger;
extern const Command start, exec, queue, resource, uptime, overlay, shutdown;

} // namespace flux::cmd
