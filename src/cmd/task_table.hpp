// Where the tasks of a running job are: host and process of each, in order of their ranks.
#pragma once
#include <vector>

#include "cmd/debugger.hpp"
#include "common/client/handle.hpp"
#include "common/types/job_id.hpp"

namespace flux::cmd {

// Waits until all tasks run. ENOENT for a job that has ended, or ends before that.
Task<std::vector<TaskEntry>> task_table(Handle &handle, JobId id);

} // namespace flux::cmd
