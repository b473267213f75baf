#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <ctime>

#include <algorithm>

#include "bench/bench.hpp"
#include "common/base/error.hpp"

extern char **environ;

namespace flux::bench {

namespace {

constexpr double grace_s = 10; // between asking a program to end and killing it

// False when the process still runs after so long.
bool await_end(int pidfd, double timeout_s)
{
    pollfd poll_fd {pidfd, POLLIN, 0};
    return poll(&poll_fd, 1, int(timeout_s * 1e3)) > 0;
}

} // namespace

Finished run_program(const std::vector<std::string> &argv, double timeout_s, Quiet quiet)
{
    std::vector<char *> args;
    for (const auto &arg : argv)
        args.push_back(const_cast<char *>(arg.c_str()));
    args.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    if (quiet == Quiet::all)
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    pid_t pid = 0;
    Finished done;
    double start = now();
    int errnum = posix_spawn(&pid, argv[0].c_str(), &actions, nullptr, args.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (errnum)
        throw Error(errnum, "cannot run {}: {}", argv[0], errno_text(errnum));
    int pidfd = int(syscall(SYS_pidfd_open, pid, 0));
    if (!await_end(pidfd, timeout_s)) {
        done.timed_out = true;
        kill(pid, SIGTERM);
        if (!await_end(pidfd, grace_s))
            kill(pid, SIGKILL);
    }
    waitpid(pid, &done.status, 0);
    done.seconds = now() - start;
    close(pidfd);
    return done;
}

} // namespace flux::bench
