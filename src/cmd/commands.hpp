// Every command, each defined in the file of its name or its group.
#pragma once
#include "cmd/command.hpp"

namespace flux::cmd {

extern const Command version, help, env, completion;
extern const Command getattr, setattr, lsattr;
extern const Command ping, pmi, event, module, kvs;
extern const Command submit, bulksubmit, run, jobs, job, cancel, pgrep, pkill, dmesg, logger;
extern const Command config, proxy, alloc, batch, watch, update;
extern const Command archive, content, startlog, hostlist, jobtap;
extern const Command housekeeping, start, exec, sproc, queue, resource, uptime, overlay, shutdown;

} // namespace flux::cmd
