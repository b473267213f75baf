#include "common/job/job_exit.hpp"

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <sys/wait.h>

#include "common/base/format.hpp"

namespace flux {

int exit_code_of(int wait_status)
{
    if (WIFEXITED(wait_status))
        return WEXITSTATUS(wait_status);
    if (WIFSIGNALED(wait_status))
        return 128 + WTERMSIG(wait_status);
    return 1;
}

std::string describe_wait_status(int wait_status)
{
    if (WIFEXITED(wait_status)) {
        if (WEXITSTATUS(wait_status) == 0)
            return "completed successfully";
        return fmt::format("exited with exit code {}", WEXITSTATUS(wait_status));
    }
    if (WIFSIGNALED(wait_status))
        return fmt::format("killed by signal {} ({}){}", WTERMSIG(wait_status),
                           strsignal(WTERMSIG(wait_status)), WCOREDUMP(wait_status) ? ", core dumped" : "");
    return fmt::format("ended with wait status {}", wait_status);
}

std::string short_wait_status(int wait_status)
{
    if (WIFSIGNALED(wait_status))
        return strsignal(WTERMSIG(wait_status));
    return fmt::format("exit {}", exit_code_of(wait_status));
}

int parse_signal(const std::string &name)
{
    char *end = nullptr;
    long number = std::strtol(name.c_str(), &end, 10);
    if (end != name.c_str() && *end == '\0')
        return number > 0 && number < NSIG ? int(number) : 0;
    std::string plain = name.starts_with("SIG") ? name.substr(3) : name;
    for (int signal = 1; signal < NSIG; signal++)
        if (const char *known = sigabbrev_np(signal); known && plain == known)
            return signal;
    return 0;
}

std::string signal_name(int signal)
{
    if (const char *known = sigabbrev_np(signal))
        return fmt::format("SIG{}", known);
    return fmt::format("signal {}", signal);
}

} // namespace flux
