// flux job: the group of what can be done with jobs, or learnt about them.
#include "cmd/commands.hpp"
#include "cmd/job_commands.hpp"

namespace flux::cmd {

const Command job {
    .name = "job",
    .summary = "Act on jobs and learn about them",
    .subcommands = {&job_attach, &job_eventlog, &job_hostpids, &job_id, &job_info, &job_kill, &job_killall,
                    &job_last, &job_list, &job_list_ids, &job_memo, &job_namespace, &job_purge, &job_raise,
                    &job_raiseall, &job_stats, &job_status, &job_submit, &job_taskmap, &job_timeleft,
                    &job_urgency, &job_wait, &job_wait_event},
};

} // namespace flux::cmd
