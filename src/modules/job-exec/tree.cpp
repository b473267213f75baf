// Orders down, news up.
#include <csignal>

#include "modules/job-exec/job_exec.hpp"

namespace flux::job_exec {

// --- towards the root

void JobExec::link(Request request)
{
    request.require_streaming();
    if (link_) // a parent that was reloaded or came back knows nothing of what is here
        drop_all();
    link_.emplace(std::move(request));
}

void JobExec::tell(JobId id, News news)
{
    auto found = jobs_.find(id);
    if (found == jobs_.end())
        return; // given up
    found->second.part.add(std::move(news));
    if (std::exchange(found->second.dirty, true))
        return;
    dirty_.push_back(id);
    schedule_flush();
}

void JobExec::schedule_flush()
{
    if (std::exchange(flush_posted_, true))
        return;
    post([this] {
        flush_posted_ = false;
        flush();
    });
}

void JobExec::flush()
{
    Json up = Json::array();
    for (auto id : std::exchange(dirty_, {})) {
        auto found = jobs_.find(id);
        if (found == jobs_.end())
            continue;
        auto &local = found->second;
        local.dirty = false;
        News news = local.part.take();
        bool over = !news.ended.empty();
        Run *run = local.run;
        if (news.empty())
            continue;
        if (over) {
            release_shell(id, local);
            jobs_.erase(found);
            changed_.notify_all();
        }
        if (run)
            hear(*run, std::move(news));
        else
            up.append(news.to_json(id));
    }
    if (!up.empty() && link_)
        link_->respond(Json {{"news", up}});
    for (auto &[child, orders] : std::exchange(orders_, {}))
        handle().notify("job-exec.orders", Json {{"orders", orders}}, {.nodeid = child});
}

void JobExec::drop_all()
{
    link_.reset();
    for (auto &[id, local] : std::exchange(jobs_, {})) {
        for (const auto &[child, below] : local.part.children())
            if (!local.part.has_ended(below))
                order_below(child, Json {{"id", id.value()},
                                         {"type", "to-shell"},
                                         {"message", Json {{"type", "shutdown"}}}});
        release_shell(id, local);
    }
    flush(); // the module may be gone next
    changed_.notify_all();
}

// --- away from it

Json JobExec::orders(Request &request)
{
    for (auto order : request.get<Json>("orders").elements())
        try {
            obey(order);
        } catch (const Error &error) {
            log(LogLevel::err, "order {}: {}", order["type"].string_view(), error.text());
        }
    return {};
}

void JobExec::obey(const Json &order)
{
    JobId id(order.get<uint64_t>("id"));
    auto type = order.get<std::string>("type");
    if (type == "launch") {
        auto ranks = value_or_throw(Idset::parse(order.get<std::string>("ranks")));
        auto [at, fresh] = jobs_.try_emplace(id, Part(topology_, ranks));
        if (!fresh)
            throw Error(EEXIST, "job {} is here already", id);
        auto &local = at->second;
        if (auto run = runs_.find(id); run != runs_.end())
            local.run = run->second.get();
        for (const auto &[child, below] : local.part.children()) {
            Json passed_on = order.shallow_copy();
            passed_on.set("ranks", below.format());
            order_below(child, std::move(passed_on));
        }
        if (local.part.is_here())
            launch(id, local, order["job"]);
        if (!(local.part.running() == local.part.ranks()))
            tell(id, {}); // of ranks that there are not
        return;
    }
    auto found = jobs_.find(id);
    if (found == jobs_.end())
        return; // it has ended meanwhile
    auto &local = found->second;
    for (const auto &[child, below] : local.part.children())
        if (!local.part.has_ended(below))
            order_below(child, order);
    if (local.shell && !local.exited) // it may have: it is kept until those of every rank have
        tell_shell(*local.shell, order["message"]);
}

void JobExec::tell_shell(Process &shell, const Json &message)
{
    if (message["type"].string_view() != "kill-shell")
        return shell.write("FLUX_SHELL_CHANNEL", message.dump() + "\n");
    try {
        shell.signal(SIGKILL);
    } catch (const Error &error) {
        if (error.errnum() != ESRCH) // it exits by itself just now
            throw;
    }
}

void JobExec::order_below(uint32_t child, Json order)
{
    if (open_links_.insert(child).second)
        spawn(follow(child));
    auto &orders = orders_[child];
    if (!orders)
        orders = Json::array();
    orders.append(std::move(order));
    schedule_flush();
}

Task<> JobExec::follow(uint32_t child)
{
    auto stream = handle().stream("job-exec.link", {}, {.nodeid = child}, "job-exec.link-cancel");
    std::string reason;
    try {
        while (auto message = co_await stream.next())
            for (auto item : message->json()["news"].elements())
                tell(JobId(item.get<uint64_t>("id")), value_or_throw(News::from_json(item)));
        reason = "its job-exec module was unloaded";
    } catch (const Error &error) {
        reason = error.text();
    }
    child_lost(child, reason);
}

void JobExec::child_lost(uint32_t child, const std::string &reason)
{
    open_links_.erase(child);
    for (auto &[id, local] : jobs_) {
        if (!local.part.children().contains(child))
            continue;
        local.part.lose_child(child, reason);
        if (!std::exchange(local.dirty, true))
            dirty_.push_back(id);
    }
    schedule_flush();
}

} // namespace flux::job_exec
