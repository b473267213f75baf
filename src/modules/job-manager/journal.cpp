// The events journal: {"id","events":[...],"jobspec"?,"R"?} for each job and turn; after what was there already
// comes {"id":-1,"events":[]}. With {"full":true} the past includes inactive jobs, which are read from the KVS.
#include "modules/job-manager/job_manager.hpp"

namespace flux {

// The events that the listener asked for, without copying when it asked for all.
Json JobManager::wanted(const Listener &listener, Json events) const
{
    if (!listener.allow && !listener.deny)
        return events;
    Json out = Json::array();
    for (auto event : events.elements()) {
        auto name = event["name"].string_view();
        if ((!listener.allow || listener.allow.contains(name)) && !(listener.deny && listener.deny.contains(name)))
            out.append(event);
    }
    return out;
}

void JobManager::publish(const Job &job, Json events)
{
    if (listeners_.empty())
        return;
    bool with_jobspec = false, with_R = false;
    for (auto event : events.elements()) {
        auto name = event["name"].string_view();
        with_jobspec |= name == "submit";
        with_R |= name == "alloc";
    }
    Payload everything;
    for (auto &listener : listeners_) {
        Json events_for_it = wanted(*listener, events);
        if (events_for_it.empty())
            continue;
        Payload payload = everything;
        if (!payload || events_for_it.raw() != events.raw()) {
            Json out {{"id", job.id.value()}, {"events", events_for_it}};
            if (with_jobspec)
                out.set("jobspec", job.jobspec);
            if (with_R)
                out.set("R", job.R);
            payload = Payload(out);
            if (events_for_it.raw() == events.raw())
                everything = payload;
        }
        if (listener->catching_up)
            listener->later.push_back(payload);
        else
            listener->request.respond(payload);
    }
}

// Annotations are not part of the event log. What a memo takes away is told as null: listeners add those of
// the event log.
void JobManager::publish_annotations(Job &job, const Json &memo)
{
    if (listeners_.empty())
        return;
    Json annotations = job.annotations;
    for (auto [key, value] : memo.members())
        if (value.is_null()) {
            annotations = annotations ? annotations.shallow_copy() : Json::object();
            Json user = annotations["user"] ? annotations["user"].shallow_copy() : Json::object();
            user.set(key, Json(nullptr));
            annotations.set("user", user);
        }
    if (!job.unpublished)
        job.unpublished = Json::array();
    job.unpublished.append(Event {wall_time(), "annotations", Json {{"annotations", annotations}}}.to_json());
    if (std::exchange(job.dirty, true))
        return;
    dirty_.push_back(job.id);
    schedule_flush();
}

Json JobManager::history(const Listener &listener, const Job &job) const
{
    Json events = Json::array();
    for (const auto &event : value_or_throw(parse_eventlog(job.eventlog)))
        events.append(event.to_json());
    events = wanted(listener, events);
    if (events.empty())
        return {};
    return Json {{"id", job.id.value()}, {"events", events}, {"jobspec", job.jobspec}, {"R", job.R}};
}

void JobManager::events_journal(Request request)
{
    request.require_streaming();
    bool full = request.json().value("full", false);
    auto listener = std::make_shared<Listener>(Listener {std::move(request), {}, {}});
    listener->allow = listener->request.json()["allow"];
    listener->deny = listener->request.json()["deny"];
    for (const auto &[id, job] : active_) {
        if (job->submitting) // is published once it is stored
            continue;
        flush(*job); // what it has not published yet is in its history
        if (Json past = history(*listener, *job))
            listener->later.push_back(past);
    }
    std::vector<JobId> ended;
    if (full)
        for (const auto &[t_clean, id] : by_age_)
            ended.push_back(id);
    listeners_.push_back(listener);
    spawn(catch_up(listener, std::move(ended)));
}

Task<> JobManager::catch_up(std::shared_ptr<Listener> listener, std::vector<JobId> ended)
{
    std::vector<Payload> active = std::exchange(listener->later, {});
    // The last events of those that ended just now are on their way to the store.
    auto written = writer_.latest();
    try {
        if (!ended.empty())
            co_await writer_.wait(written);
    } catch (const Error &) { // what is there is told
    }
    for (auto id : ended) {
        if (listener->gone)
            co_return;
        Job job;
        job.id = id;
        try {
            job.eventlog = co_await lookup(id.kvs_path("eventlog"));
            job.jobspec = Json::parse_or_throw(co_await lookup(id.kvs_path("jobspec")));
            if (inactive_.contains(id) && inactive_.at(id).ran)
                job.R = Json::parse_or_throw(co_await lookup(id.kvs_path("R")));
        } catch (const Error &error) {
            if (error.errnum() != ENOENT) // purged meanwhile
                log(LogLevel::err, "journal: {}: {}", id, error.text());
            continue;
        }
        if (Json past = history(*listener, job))
            listener->request.respond(past);
    }
    for (const auto &payload : active)
        listener->request.respond(payload);
    Json caught_up {{"id", -1}, {"events", Json::array()}};
    listener->request.respond(caught_up);
    listener->catching_up = false;
    for (const auto &payload : std::exchange(listener->later, {}))
        listener->request.respond(payload);
}

} // namespace flux
