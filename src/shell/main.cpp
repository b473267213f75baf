// flux-shell: started by job-exec, once per job and node. All it learns and all it tells goes through its
// channel.
#include <fcntl.h>
#include <sys/socket.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "common/job/job_exit.hpp"
#include "common/runtime/ev_loop.hpp"
#include "common/subprocess/posix_spawner.hpp"
#include "shell/shell.hpp"

namespace {

int channel_from_environment()
{
    const char *text = getenv(flux::shell_channel::environment_name);
    int fd = -1;
    if (text)
        std::from_chars(text, text + strlen(text), fd);
    if (fd < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        throw flux::Error(
            EINVAL,
            "flux-shell is started by a broker: {} names no open file descriptor. To run a program use "
            "\"flux run\".",
            flux::shell_channel::environment_name);
    unsetenv(flux::shell_channel::environment_name);
    return fd;
}

int run()
{
    flux::EvLoop loop;
    flux::PosixSpawner spawner(loop);
    flux::shell::ShellChannel channel(loop, channel_from_environment());
    auto job = flux::shell::Job::from(channel.read_start());
    if (!job) { // a job that cannot be started as it was asked for
        constexpr int status = flux::wait_status_of_exit(1);
        channel.send(flux::shell_channel::Exception {0, "exec", job.error().text()});
        channel.send(flux::shell_channel::Finish {status});
        channel.flush();
        return 1;
    }
    flux::shell::Shell shell(loop, spawner, channel, std::move(*job));
    shell.start();
    if (!shell.finished())
        loop.run();
    return flux::exit_code_of(shell.status());
}

} // namespace

int main()
{
    try {
        return run();
    } catch (const std::exception &error) {
        fprintf(stderr, "flux-shell: %s\n", error.what());
        return 1;
    }
}
