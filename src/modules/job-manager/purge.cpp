// Inactive jobs that are forgotten: by request, by age or by number.
#include "common/types/duration.hpp"
#include "modules/job-manager/job_manager.hpp"

namespace flux {

// The oldest first.
std::vector<JobId> JobManager::overdue(double age_limit, int64_t num_limit, size_t batch) const
{
    std::vector<JobId> out;
    double now = wall_time();
    for (const auto &[t_clean, id] : by_age_) {
        bool over = num_limit >= 0 && by_age_.size() - out.size() > size_t(num_limit);
        bool old = age_limit >= 0 && now - t_clean > age_limit;
        if ((!over && !old) || out.size() >= batch)
            break;
        out.push_back(id);
    }
    return out;
}

Task<size_t> JobManager::purge_jobs(std::vector<JobId> ids)
{
    if (ids.empty())
        co_return 0;
    KvsWriter::Ticket ticket = 0;
    Json list = Json::array();
    for (auto id : ids) {
        auto found = inactive_.find(id);
        if (found == inactive_.end())
            continue;
        by_age_.erase({found->second.t_clean, id});
        inactive_.erase(found);
        zombies_.erase(id);
        list.append(id.value());
        ticket = writer_.unlink(id.kvs_path());
    }
    co_await writer_.wait(ticket);
    Json event {{"jobs", list}};
    handle().publish("job-purge-inactive", event);
    co_return list.size();
}

Task<Json> JobManager::purge(Request request)
{
    auto age_limit = request.find<double>("age_limit").value_or(-1);
    auto num_limit = request.find<int64_t>("num_limit").value_or(-1);
    auto batch = request.find<size_t>("batch").value_or(50);
    auto ids = overdue(age_limit, num_limit, batch);
    size_t count = ids.size();
    if (request.find<bool>("force").value_or(false))
        count = co_await purge_jobs(std::move(ids));
    co_return Json {{"count", count}};
}

// {"jobs":[ID...],"force"}: those of them that are inactive.
Task<Json> JobManager::purge_id(Request request)
{
    std::vector<JobId> ids;
    for (auto value : request.get<std::vector<uint64_t>>("jobs")) {
        JobId id(value);
        if (active_.contains(id))
            throw Error(EINVAL, "job {} is active: only inactive jobs can be purged", id);
        if (!inactive_.contains(id))
            throw Error(ENOENT, "there is no job {}", id);
        ids.push_back(id);
    }
    size_t count = ids.size();
    if (request.find<bool>("force").value_or(false))
        count = co_await purge_jobs(std::move(ids));
    co_return Json {{"count", count}};
}

JobManager::InactiveLimits JobManager::InactiveLimits::from(const Json &config)
{
    InactiveLimits out;
    Json table = config["job-manager"];
    if (Json age = table["inactive-age-limit"]) {
        auto seconds = parse_duration(age.string_view());
        if (!seconds)
            throw Error(EINVAL, "job-manager.inactive-age-limit is {}: {}", age.dump(), seconds.error().text());
        out.age = *seconds;
    }
    if (Json number = table["inactive-num-limit"]) {
        if (!number.is_integer() || number.as<int64_t>() < 0)
            throw Error(EINVAL, "job-manager.inactive-num-limit is {}: a number of jobs was expected", number.dump());
        out.number = number.as<int64_t>();
    }
    return out;
}

void JobManager::keep_inactive(InactiveLimits limits)
{
    inactive_limits_ = limits;
    if (limits.any() && !std::exchange(purging_, true))
        spawn(purge_overdue());
}

// As long as there are limits.
Task<> JobManager::purge_overdue()
{
    while (inactive_limits_.any()) {
        auto ids = overdue(inactive_limits_.age, inactive_limits_.number, purge_batch);
        if (ids.empty())
            co_await sleep_for(loop(), seconds(purge_interval));
        else
            co_await purge_jobs(std::move(ids));
    }
    purging_ = false;
}

} // namespace flux
