// flux-shell: started by job-exec for a job on a node; when that has ended without leaving a trace, another
// may follow. All it learns and all it tells goes through its channel.
#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "common/job/job_exit.hpp"
#include "common/runtime/ev_loop.hpp"
#include "common/subprocess/posix_spawner.hpp"
#include "shell/affinity.hpp"
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

// For ps(1): the argument that names the job, which job-exec makes wide enough for any.
void show_job(char *argument, const flux::JobId &id)
{
    auto name = id.f58(flux::F58Prefix::ascii);
    size_t width = strlen(argument);
    memset(argument, ' ', width);
    memcpy(argument, name.data(), std::min(width, name.size()));
}

int run(char *job_argument)
{
    flux::EvLoop loop;
    flux::PosixSpawner spawner(loop);
    flux::shell::ShellChannel channel(loop, channel_from_environment());
    const flux::shell::SoftLimits limits;
    while (auto start = channel.next_start()) {
        limits.restore();
        if (job_argument)
            show_job(job_argument, start->id);
        auto job = flux::shell::Job::from(std::move(*start));
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
        if (!shell.finished() || !shell.leaves_no_trace())
            return flux::exit_code_of(shell.status());
    }
    return 0;
}

} // namespace

int main(int argc, char **argv)
{
    try {
        return run(argc > 1 ? argv[1] : nullptr);
    } catch (const std::exception &error) {
        fprintf(stderr, "flux-shell: %s\n", error.what());
        return 1;
    }
}
