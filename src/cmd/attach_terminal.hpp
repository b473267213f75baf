// The interactive terminal of a job (shell option pty.interactive), joined to ours.
#pragma once
#include "common/client/session.hpp"

namespace flux::cmd {

// Until the terminal is gone. What is typed goes there if with_input; an end of input is ^D. False when there
// is none (any more): the job has ended.
Task<bool> attach_terminal(Session &flux, std::string service, uint32_t leader_rank, bool with_input);

} // namespace flux::cmd
