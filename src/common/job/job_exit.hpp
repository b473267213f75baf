// How a job or task ended: a wait status (as waitpid(2) gives it) as an exit code and as a sentence.
#pragma once
#include <string>

namespace flux {

// The code a command gives its caller: the task's own, or 128 + signal.
int exit_code_of(int wait_status);
// "exited with exit code 3", "killed by signal 9 (Killed)", ...; "completed successfully" for 0.
std::string describe_wait_status(int wait_status);
// As job listings abbreviate a task's end: "exit 3", "Killed".
std::string short_wait_status(int wait_status);
// The wait status of a process that exited with this code, or died by this signal.
constexpr int wait_status_of_exit(int code)
{
    return (code & 0xff) << 8;
}
constexpr int wait_status_of_signal(int signal, bool core_dumped = false)
{
    return (signal & 0x7f) | (core_dumped ? 0x80 : 0);
}
// "SIGTERM" or "TERM" or "15" as a number; 0 when it is none.
int parse_signal(const std::string &name);
std::string signal_name(int signal); // "SIGTERM", or "signal 99"

} // namespace flux
