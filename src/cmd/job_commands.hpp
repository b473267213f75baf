// The subcommands of flux job, by the file they are in.
#pragma once
#include "cmd/command.hpp"

namespace flux::cmd {

extern const Command job_attach, job_status, job_wait, job_wait_event, job_eventlog;   // job_wait.cpp
extern const Command job_info, job_list, job_list_ids, job_last, job_id, job_timeleft; // job_info.cpp
extern const Command job_taskmap, job_stats, job_namespace;                            // job_info.cpp
extern const Command job_kill, job_killall, job_raise, job_raiseall, job_urgency, job_memo, job_purge,
    job_submit; // job_change.cpp
extern const Command job_hostpids; // job_hostpids.cpp

} // namespace flux::cmd
