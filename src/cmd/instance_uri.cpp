#include "cmd/instance_uri.hpp"

#include <unistd.h>

#include "cmd/job_fields.hpp"
#include "cmd/job_select.hpp"
#include "common/job/job_state.hpp"

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

} // namespace flux::cmd
