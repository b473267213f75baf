// Drained nodes and the events that tell of them (RFC 44). Rank 0.
#include "common/kvs/lookup.hpp"
#include "modules/resource/resource.hpp"

namespace flux {

namespace {

constexpr const char *eventlog_key = "resource.eventlog";

struct Mode {
    bool strict; // nodes must not be in the state yet
    Overwrite overwrite;
};

Mode mode_of(const Request &request)
{
    auto text = request.find<std::string>("mode").value_or("");
    if (text.empty())
        return {true, Overwrite::nothing};
    if (text == "update")
        return {false, Overwrite::nothing};
    if (text == "overwrite" || text == "force")
        return {false, Overwrite::reason};
    if (text == "force-overwrite")
        return {false, Overwrite::reason_and_time};
    throw Error(EINVAL, "{}: unknown mode \"{}\": update, overwrite and force-overwrite are known",
                request.message().topic, text);
}

} // namespace

Task<Json> Resource::drain(Request request)
{
    need_room();
    auto mode = mode_of(request);
    auto reason = request.find<std::string>("reason");
    Idset ranks = parse_targets(request.get<std::string>("targets"), inventory_.R);
    if (Idset both = ranks & excluded_; !both.empty())
        throw Error(EINVAL, "rank {} is excluded by configuration and cannot be drained", both.format());
    for (uint32_t node : ranks)
        if (mode.strict && drained_.contains(node) && !drained_.at(node).reason.empty())
            throw Error(EEXIST, "rank {} is drained already, because: {}", node, drained_.at(node).reason);
    auto now = wall_time();
    drained_.drain(ranks, now, reason.value_or(""), mode.overwrite);
    post(drain_event(now, ranks, inventory_.R.nodelist(), reason, mode.overwrite), true);
    changed_.notify_all();
    tell_scheduler();
    co_await saved();
    co_return Json();
}

Task<Json> Resource::undrain(Request request)
{
    need_room();
    auto mode = mode_of(request);
    auto reason = request.find<std::string>("reason");
    Idset ranks = parse_targets(request.get<std::string>("targets"), inventory_.R);
    if (Idset up = ranks - drained_.ranks(); !up.empty() && mode.strict)
        throw Error(EEXIST, "rank {} is not drained", up.format());
    if (!mode.strict && mode.overwrite == Overwrite::nothing)
        ranks &= drained_.ranks(); // what is up already is left as it is
    if (ranks.empty())
        co_return Json();
    drained_.undrain(ranks);
    post(undrain_event(wall_time(), ranks, inventory_.R.nodelist(), reason, mode.overwrite), true);
    changed_.notify_all();
    tell_scheduler();
    co_await saved();
    co_return Json();
}

// Nodes cannot be both excluded and drained.
void Resource::undrain_excluded()
{
    Idset both = drained_.ranks() & excluded_;
    if (both.empty())
        return;
    drained_.undrain(both);
    post(undrain_event(wall_time(), both, inventory_.R.nodelist(), "excluded by configuration", Overwrite::nothing), true);
}

// A node that is not what R says.
Task<> Resource::drain_rank(uint32_t node, std::string reason)
{
    if (drained_.contains(node))
        co_return;
    log(LogLevel::err, "rank {} is drained: {}", node, reason);
    Idset ranks {node};
    auto now = wall_time();
    drained_.drain(ranks, now, reason, Overwrite::nothing);
    post(drain_event(now, ranks, inventory_.R.nodelist(), reason, Overwrite::nothing), true);
    changed_.notify_all();
    tell_scheduler();
}

// Drained nodes are again what they were. Of what happened, as much is kept as resource.history asks, and in
// any case what drained nodes are drained by.
Task<> Resource::replay_eventlog()
{
    auto text = co_await kvs::try_get(handle(), eventlog_key);
    if (!text)
        co_return;
    auto events = parse_eventlog(*text);
    if (!events) {
        log(LogLevel::err, "{} cannot be read and starts anew: {}", eventlog_key, events.error().text());
        events = std::vector<Event>();
    }
    double oldest = wall_time() - history_age(context().config());
    auto list = hosts();
    std::string kept;
    double booted = std::stod(context().attribute("broker.starttime").value_or("inf"));
    for (const auto &event : *events) {
        defined_here_ = defined_here_ || (event.name == "resource-define" && event.timestamp >= booted);
        drained_.replay(event, list);
        if (event.timestamp >= oldest) {
            event.encode_to(kept);
            journal_.append(event.to_json());
        }
    }
    Json still = drained_.to_json();
    std::string older;
    for (auto [ranks, drain] : still.members())
        if (auto since = drain.get<double>("timestamp"); since < oldest)
            drain_event(since, value_or_throw(Idset::parse(ranks)), list, drain.get<std::string>("reason"),
                        Overwrite::nothing)
                .encode_to(older);
    if (older.size() + kept.size() == text->size())
        co_return;
    kvs::Txn txn;
    txn.put(eventlog_key, older + kept);
    co_await kvs::commit(handle(), std::move(txn));
}

// ---- events

void Resource::post(const Event &event, bool lasting)
{
    journal_.append(event.to_json());
    journal_grew_.notify_all();
    if (!lasting)
        return;
    event.encode_to(unsaved_);
    saving_++;
    if (!std::exchange(saver_runs_, true))
        spawn(save());
}

// While nothing can be stored, what is asked for is refused before memory is full of it; what happens is not.
void Resource::need_room() const
{
    if (unsaved_.size() > max_unsaved)
        throw Error(ENOBUFS, "{}: {} bytes of events wait to be stored and {} may{}{}; ask again when they are", eventlog_key,
                    unsaved_.size(), max_unsaved, save_failed_ ? ": " : "", save_failed_ ? save_failed_->text() : "");
}

// One commit under way, the next gathers behind it.
Task<> Resource::save()
{
    co_await yield_to(loop());
    while (!unsaved_.empty()) {
        kvs::Txn txn;
        auto lines = std::exchange(unsaved_, {});
        txn.append(eventlog_key, lines);
        auto upto = saving_;
        std::optional<Error> failed;
        try {
            co_await kvs::commit(handle(), std::move(txn));
        } catch (const Error &error) {
            failed = error;
        }
        if (failed) {
            if (!save_failed_) // said once, however often it fails
                log(LogLevel::err, "{} cannot be written: {}; tried again every {} s", eventlog_key,
                    failed->text(), save_again_after);
            unsaved_.insert(0, lines);
            tried_ = upto;
            failures_++;
        } else {
            saved_ = upto;
        }
        save_failed_ = failed;
        saved_some_.notify_all();
        if (failed)
            co_await sleep_for(loop(), seconds(save_again_after));
    }
    saver_runs_ = false;
}

// Until what was posted so far will be there after a restart, or a commit of it has failed.
Task<> Resource::saved()
{
    auto wanted = saving_, failures = failures_;
    while (saved_ < wanted) {
        co_await saved_some_.wait();
        if (saved_ < wanted && tried_ >= wanted && failures_ > failures && save_failed_)
            throw *save_failed_;
    }
}

// First what was, ended by an empty list, then what comes. A response with a resource-define has R beside it.
Task<> Resource::journal(Request request)
{
    request.require_streaming();
    uint64_t position = 0;
    bool past = true;
    while (true) {
        auto events = journal_.since(position);
        position = journal_.end();
        Json some = Json::array();
        for (auto &event : events) {
            bool defines = event["name"].string_view() == "resource-define";
            if (defines && !some.empty())
                request.respond(Json {{"events", std::exchange(some, Json::array())}});
            some.append(event);
            if (defines)
                request.respond(
                    Json {{"events", std::exchange(some, Json::array())}, {"R", inventory_.R.to_json()}});
        }
        if (!some.empty())
            request.respond(Json {{"events", some}});
        if (std::exchange(past, false))
            request.respond(Json {{"events", Json::array()}});
        while (journal_.end() == position)
            co_await journal_grew_.wait();
    }
}

} // namespace flux
