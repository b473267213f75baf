// "job-manager.jobtap": what clients know as built-in plugins is part of the job manager; others cannot be
// loaded.
#include <algorithm>

#include "modules/job-manager/job_manager.hpp"

namespace flux {

namespace {

constexpr std::string_view builtin_plugins[] {
    ".priority-default",  ".limit-job-size",       ".limit-duration",
    ".dependency-after",  ".dependency-singleton", ".begin-time",
    ".validate-duration", ".update-duration",      ".history",
    ".update-queue"};

} // namespace

Json JobManager::jobtap(Request &request)
{
    for (const char *change : {"load", "remove"})
        if (request.json().contains(change))
            throw Error(ENOTSUP,
                        "jobtap: the job manager cannot {} plugins; flux jobtap list -a shows those built in",
                        change);
    return Json {{"plugins", Json::array_of(builtin_plugins)}};
}

Json JobManager::jobtap_query(Request &request)
{
    auto name = request.get<std::string>("name");
    if (std::ranges::find(builtin_plugins, name) == std::end(builtin_plugins))
        throw Error(ENOENT, "there is no plugin {}; flux jobtap list -a shows them", name);
    return Json {{"name", name}, {"path", "builtin"}};
}

} // namespace flux
