// What flux-queue(1) asks. Stopped and disabled queues stay so over a restart.
#include "modules/job-manager/job_manager.hpp"

#include "common/kvs/treeobj.hpp"

namespace flux {

namespace {
constexpr const char *checkpoint_key = "checkpoint.job-manager";
constexpr std::string_view restart_reason = "Automatically stopped due to restart";
} // namespace

void JobManager::configure_queues()
{
    config_ = value_or_throw(QueueConfig::from(context().config()));
    for (const auto &[name, unused] : config_.queues())
        queues_[name].started = name.empty(); // named queues wait for "flux queue start"
}

// Queues stay as open as they are. One that has jobs cannot go.
void JobManager::config_changed()
{
    auto changed = value_or_throw(QueueConfig::from(context().config()));
    auto limits = InactiveLimits::from(context().config());
    for (const auto &[id, job] : active_) {
        std::string name(job->jobspec.at("attributes", "system", "queue").string_view());
        if (!changed.find(name))
            throw Error(EBUSY, "job {} is in queue \"{}\", which would be gone: let it end or cancel it first",
                        id.f58(), name);
    }
    perilog_configs_ = PerilogConfigs::from(context().config()); // of those that begin from now on
    keep_inactive(limits);
    config_ = std::move(changed);
    std::erase_if(queues_, [this](const auto &entry) { return !config_.queues().contains(entry.first); });
    for (const auto &[name, unused] : config_.queues())
        if (!queues_.contains(name))
            queues_[name].started = name.empty();
    for (auto &[id, job] : active_)
        advance(*job);
}

JobManager::Queue &JobManager::queue_of(const Job &job)
{
    auto found = queues_.find(std::string(job.jobspec.at("attributes", "system", "queue").string_view()));
    return found == queues_.end() ? queues_.begin()->second : found->second;
}

// Whether the job's queue, and the queue behind it, send jobs to the scheduler.
bool JobManager::schedules(const Job &job)
{
    if (queues_.size() == 1)
        return queues_.begin()->second.started;
    const auto *queue = config_.find(std::string(job.jobspec.at("attributes", "system", "queue").string_view()));
    if (!queue)
        return queues_.begin()->second.started;
    return queues_.at(queue->name).started && (queue->parent.empty() || queues_.at(queue->parent).started);
}

Json JobManager::queue_status(Request &request)
{
    auto name = request.find<std::string>("name").value_or("");
    auto found = queues_.find(name);
    if (found == queues_.end()) {
        if (name.empty())
            throw Error(EINVAL, "named queues are configured: say which one");
        throw Error(EINVAL, "Invalid queue '{}' specified", name);
    }
    const auto &queue = found->second;
    const auto &parent = config_.find(name)->parent;
    Json out {{"enable", queue.enabled}, {"start", queue.started}};
    if (!queue.enabled)
        out.set("disable_reason", queue.disable_reason);
    if (!queue.started && !queue.stop_reason.empty())
        out.set("stop_reason", queue.stop_reason);
    if (!parent.empty())
        out.set("parent", parent);
    if (!queue.started)
        return out;
    if (!parent.empty() && !queues_.at(parent).started)
        out.set("start", false)
            .set("blocked", "parent")
            .set("stop_reason", fmt::format("parent queue '{}' is stopped", parent));
    else if (!sched_ready_)
        out.set("start", false).set("blocked", "scheduler").set("stop_reason", "no scheduler is loaded");
    return out;
}

Json JobManager::queue_list(Request &)
{
    Json out = Json::array();
    for (const auto &[name, unused] : queues_)
        if (!name.empty())
            out.append(name);
    return Json {{"queues", out}};
}

// What holds then is on record when the ticket's commit is.
template <class Fn>
KvsWriter::Ticket JobManager::each_queue(const Request &request, Fn fn)
{
    auto name = request.find<std::string>("name");
    if (!name && config_.named() && !request.find<bool>("all").value_or(false))
        throw Error(EINVAL, "named queues are configured: give a name or all");
    if (name && !queues_.contains(*name))
        throw Error(EINVAL, "Invalid queue '{}' specified", *name);
    for (auto &[queue_name, queue] : queues_)
        if (!name || *name == queue_name)
            fn(queue);
    return save_queues(request);
}

Task<Json> JobManager::queue_enable(Request request)
{
    bool enable = request.get<bool>("enable");
    auto reason = request.find<std::string>("reason");
    if (!enable && !reason)
        throw Error(EINVAL, "disabling a queue takes a reason");
    auto written = each_queue(request, [&](Queue &queue) {
        queue.enabled = enable;
        queue.disable_reason = enable ? "" : *reason;
    });
    co_await writer_.wait(written);
    co_return Json();
}

Task<Json> JobManager::queue_start(Request request)
{
    bool start = request.get<bool>("start");
    auto reason = request.find<std::string>("reason").value_or("");
    auto written = each_queue(request, [&](Queue &queue) {
        queue.started = start;
        queue.stop_reason = start ? "" : reason;
    });
    advance_all([](const Job &job) { return job.state == JobState::sched; });
    co_await writer_.wait(written);
    co_return Json();
}

KvsWriter::Ticket JobManager::save_queues(const Request &request)
{
    if (request.find<bool>("nocheckpoint").value_or(false))
        return 0;
    Json list = Json::array();
    for (const auto &[name, queue] : queues_)
        list.append(Json {{"name", name},
                          {"enable", queue.enabled},
                          {"start", queue.started},
                          {"disable_reason", queue.disable_reason},
                          {"stop_reason", queue.stop_reason}});
    return writer_.put(checkpoint_key, Json {{"version", 1}, {"queue", list}}.dump());
}

Task<> JobManager::restore_queues()
{
    Json saved;
    try {
        saved = Json::parse_or_throw(co_await lookup(checkpoint_key));
    } catch (const Error &error) {
        if (error.errnum() != ENOENT)
            throw;
        co_return; // the first life of this instance
    }
    bool stop = context().config()["job-manager"].value("stop-queues-on-restart", false);
    for (auto entry : saved["queue"].elements()) {
        auto found = queues_.find(entry.get<std::string>("name"));
        if (found == queues_.end())
            continue;
        auto &queue = found->second;
        queue.enabled = entry.get<bool>("enable");
        queue.started = entry.get<bool>("start");
        queue.disable_reason = entry.value<std::string>("disable_reason", "");
        queue.stop_reason = entry.value<std::string>("stop_reason", "");
        if (stop && queue.started) {
            queue.started = false;
            queue.stop_reason = restart_reason;
        }
    }
}

} // namespace flux
