// Orders down, news up.
#include <csignal>

#include "common/job/job_exit.hpp"
#include "modules/job-exec/job_exec.hpp"

namespace flux::job_exec {

namespace {
bool ends_tasks(const Json &message)
{
    auto type = message["type"].string_view();
    return type == "shutdown" || type == "kill-shell" ||
           (type == "signal" && message.value<int>("signum", 0) == SIGKILL);
}
} // namespace

// --- towards the root

void JobExec::link(Request request)
{
    request.require_streaming();
    if (link_) // a parent that was reloaded or came back knows nothing of what is here
        drop_all();
    link_.emplace(std::move(request));
}

void JobExec::tell(JobId id, News news, std::optional<uint32_t> source)
{
    auto found = jobs_.find(id);
    if (found == jobs_.end())
        return; // given up
    found->second.part.add(std::move(news), source);
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
        order_shutdown(id, local);
        release_shell(id, local);
    }
    flush(); // the module may be gone next
    changed_.notify_all();
}

// The parent goes on hearing of the ends as they come: until then the jobs use what they have here.
void JobExec::end_all()
{
    for (auto &[id, local] : jobs_) {
        if (local.part.running().empty()) // over, and its record is being written
            continue;
        News news;
        news.losses.push_back(
            {local.part.running(), fmt::format("rank {}: the execution service was stopped", rank())});
        tell(id, std::move(news));
        order_shutdown(id, local);
        read_on(local);
        if (local.shell && !local.exited)
            tell_shell(*local.shell->process, Json {{"type", "shutdown"}});
    }
}

void JobExec::order_shutdown(JobId id, const Local &local)
{
    for (const auto &[child, below] : local.part.children())
        if (!local.part.has_ended(below))
            order_below(child, Json {{"id", id.value()},
                                     {"type", "to-shell"},
                                     {"message", Json {{"type", "shutdown"}}}});
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
        if (stopping_) {
            News news;
            news.ended = ranks;
            news.status = wait_status_of_exit(1);
            news.losses.push_back({ranks, fmt::format("rank {}: the execution service was stopped", rank())});
            return tell(id, std::move(news));
        }
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
    if (type == "stored")
        return give_credit(order);
    if (type == "input-settled")
        return pass_on_settled_input(order);
    auto &local = found->second;
    if (ends_tasks(order["message"]))
        read_on(local); // what is left to be said has an end, and nobody may be there any more to say what is stored
    for (const auto &[child, below] : local.part.children())
        if (!local.part.has_ended(below))
            order_below(child, order);
    if (local.shell && !local.exited) // it may have: it is kept until those of every rank have
        tell_shell(*local.shell->process, order["message"]);
}

void JobExec::give_credit(const Json &order)
{
    std::map<uint32_t, Json> below;
    for (auto [text, bytes] : order.get<Json>("ranks").members()) {
        auto at = value_or_throw(Idset::parse(text)).first().value_or(0);
        if (auto child = at == rank() ? std::nullopt : topology_.child_toward(at)) {
            if (!below[*child])
                below[*child] = Json::object();
            below[*child].set(text, bytes);
        } else if (auto found = jobs_.find(JobId(order.get<uint64_t>("id"))); at == rank() && found != jobs_.end()) {
            auto &local = found->second;
            local.unstored -= std::min(local.unstored, bytes.as<uint64_t>());
            if (local.unstored <= local.share / 2)
                read_on(local, local.share);
        }
    }
    for (const auto &[child, ranks] : below)
        order_below(child, Json {{"id", order["id"]}, {"type", "stored"}, {"ranks", ranks}});
}

void JobExec::pass_on_settled_input(const Json &order)
{
    auto leader = order.get<uint32_t>("rank");
    if (auto child = leader == rank() ? std::nullopt : topology_.child_toward(leader))
        return order_below(*child, order);
    settle_input(jobs_.at(JobId(order.get<uint64_t>("id"))), order.get<uint64_t>("count"));
}

void JobExec::settle_input(Local &local, uint64_t count)
{
    for (; local.input_settled < count && !local.input.empty(); local.input_settled++) {
        local.input_bytes -= local.input.front().message().payload.bytes().size();
        local.input.front().respond();
        local.input.pop_front();
    }
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
                tell(JobId(item.get<uint64_t>("id")), value_or_throw(News::from_json(item)), child);
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
