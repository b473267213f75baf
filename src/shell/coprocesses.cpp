#include "shell/coprocesses.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <csignal>

#include "common/job/job_exit.hpp"

namespace flux::shell {

Coprocesses::~Coprocesses()
{
    for (auto &one : all_)
        if (one.fd >= 0)
            ::close(one.fd);
}

void Coprocesses::log(int level, std::string text)
{
    channel_.send(shell_channel::Log {level, std::move(text), job_.start.nodeid});
}

void Coprocesses::start()
{
    for (const auto &what : job_.options.coprocesses) {
        if (!what.runs_on(job_.start.nodeid))
            continue;
        try {
            start(what);
        } catch (const Error &error) {
            log(3, fmt::format("coprocess {} on {}: {}", what.name, job_.host, error.text()));
        }
    }
}

void Coprocesses::start(const Coprocess &what)
{
    // One file of several nodes is emptied by the first only; everybody appends.
    auto path = path_in_job(render(what.output, job_, std::nullopt), job_);
    bool first = what.ranks == "all" ? job_.leader()
                                     : value_or_throw(Idset::parse(what.ranks)).first() == job_.start.nodeid;
    int flags =
        O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (first || names_node_or_task(what.output) ? O_TRUNC : 0);
    int fd = ::open(path.c_str(), flags, 0666);
    if (fd < 0)
        throw Error(errno, "cannot open {} for its output: {}", path, errno_text(errno));
    auto &one = all_.emplace_back(&what, nullptr, fd);
    ProcessSpec spec;
    for (const auto &word : what.command)
        spec.argv.push_back(render(word, job_, std::nullopt));
    spec.environment = task_environment(job_, std::nullopt);
    spec.cwd = job_.jobspec.cwd();
    ProcessCallbacks callbacks;
    callbacks.on_output = [this, &one](std::string_view, std::string_view bytes) {
        wrote(one, bytes);
    };
    callbacks.on_exit = [this, &one](int status) {
        exited(one, status);
    };
    one.process = spawner_.spawn(std::move(spec), std::move(callbacks));
    running_++;
}

void Coprocesses::wrote(One &one, std::string_view bytes)
{
    while (!bytes.empty() && !one.write_failed) {
        auto n = ::write(one.fd, bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR)
            continue;
        one.write_failed = n < 0;
        if (n < 0)
            log(3, fmt::format("cannot write the output of coprocess {} on {}: {}", one.what->name, job_.host,
                               errno_text(errno)));
        else
            bytes.remove_prefix(size_t(n));
    }
}

void Coprocesses::exited(One &one, int wait_status)
{
    one.exited = true;
    running_--;
    if (!ending_)
        log(wait_status == 0 ? 6 : 4,
            fmt::format("coprocess {} on {} {} before the tasks have ended", one.what->name, job_.host,
                        describe_wait_status(wait_status)));
    if (ending_ && running_ == 0) {
        kill_timer_.cancel();
        all_ended_();
    }
}

std::vector<int> Coprocesses::pids() const
{
    std::vector<int> out;
    for (const auto &one : all_)
        if (one.process && !one.exited)
            out.push_back(one.process->pid());
    return out;
}

void Coprocesses::signal(int signum)
{
    for (auto &one : all_) {
        if (!one.process || one.exited)
            continue;
        try {
            one.process->signal(signum);
        } catch (const Error &) { // it exited just now
        }
    }
}

void Coprocesses::end()
{
    ending_ = true;
    signal(SIGTERM);
    kill_timer_ = Timer(loop_, seconds(job_.options.coprocess_kill_timeout), [this] { kill(); });
}

void Coprocesses::kill()
{
    signal(SIGKILL);
}

} // namespace flux::shell
