#include "cmd/instance_uri.hpp"

#include <csignal>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/job_fields.hpp"
#include "cmd/job_select.hpp"
#include "common/job/job_state.hpp"

extern char **environ;

namespace flux::cmd {

std::string local_uri(const std::string &uri)
{
    constexpr std::string_view ssh = "ssh://";
    if (!uri.starts_with(ssh))
        return uri;
    size_t slash = uri.find('/', ssh.size());
    std::string host = uri.substr(ssh.size(), slash - ssh.size());
    char here[256] = "";
    ::gethostname(here, sizeof(here) - 1);
    if (slash == std::string::npos || host != here)
        throw Error(EHOSTUNREACH, "{} is on another host: log in there and try again", uri);
    return "local://" + uri.substr(slash);
}

std::string job_uri(Session &flux, const std::string &jobs)
{
    std::string first = jobs.substr(0, jobs.find('/'));
    Json job = find_job(flux, first, {"state", "annotations"});
    if (job.get<uint32_t>("state") != bit(JobState::run))
        throw Error(ENOENT, "job {} does not run; only a running one can be an instance", first);
    if (!is_instance(job))
        throw Error(ENOENT, "job {} is no Flux instance: it has told no URI", first);
    std::string uri = local_uri(job.at("annotations", "user", "uri").as<std::string>());
    if (first.size() == jobs.size())
        return uri;
    Session inner(uri);
    return job_uri(inner, jobs.substr(first.size() + 1));
}

std::string target_uri(const std::string &target)
{
    if (target.empty())
        return target;
    if (target.find("://") != std::string::npos)
        return local_uri(target);
    Session flux;
    return job_uri(flux, target);
}

pid_t start_in_instance(const std::string &uri, std::vector<std::string> command)
{
    ::setenv("FLUX_URI", uri.c_str(), 1);
    ::unsetenv("FLUX_KVS_NAMESPACE");
    const char *shell = std::getenv("SHELL");
    if (command.empty())
        command.emplace_back(shell && *shell ? shell : "/bin/sh");
    std::vector<char *> argv;
    for (auto &word : command)
        argv.push_back(word.data());
    argv.push_back(nullptr);
    pid_t pid = -1;
    if (int errnum = ::posix_spawnp(&pid, argv[0], nullptr, nullptr, argv.data(), environ))
        throw Error(errnum, "cannot run {}: {}", command[0], errno_text(errnum));
    ::signal(SIGINT, SIG_IGN); // the program's own business, as is a terminal that goes away
    ::signal(SIGHUP, SIG_IGN);
    ::signal(SIGQUIT, SIG_IGN);
    return pid;
}

int run_in_instance(const std::string &uri, std::vector<std::string> command)
{
    pid_t pid = start_in_instance(uri, std::move(command));
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

} // namespace flux::cmd
