// What of the inventory is up, and the scheduler that is told (RFC 28). Rank 0.
#include "modules/resource/resource.hpp"

namespace flux {

// A broker that is lost leaves the group at once.
Task<> Resource::follow_online()
{
    Json name {{"name", "broker.online"}};
    auto online = handle().stream("groups.get", name);
    while (auto members = co_await online.next())
        set_online(value_or_throw(Idset::parse(members->json().get<std::string>("members"))));
}

void Resource::set_online(const Idset &now)
{
    Idset came = now - online_, went = online_ - now;
    online_ = now;
    if (!came.empty())
        post({wall_time(), "online", Json {{"idset", came.format()}}}, false);
    if (!went.empty())
        post({wall_time(), "offline", Json {{"idset", went.format()}}}, false);
    changed_.notify_all();
    tell_scheduler();
}

Task<> Resource::follow_torpid()
{
    Json name {{"name", "broker.torpid"}};
    auto torpid = handle().stream("groups.get", name);
    try {
        while (auto members = co_await torpid.next()) {
            auto now = value_or_throw(Idset::parse(members->json().get<std::string>("members")));
            Idset came = now - torpid_, went = torpid_ - now;
            torpid_ = now;
            if (!came.empty())
                post({wall_time(), "torpid", Json {{"idset", came.format()}}}, false);
            if (!went.empty())
                post({wall_time(), "lively", Json {{"idset", went.format()}}}, false);
            changed_.notify_all();
            tell_scheduler();
        }
    } catch (const Error &error) {
        if (error.errnum() != ENOENT) // no such group: nobody watches for it
            throw;
    }
}

Idset Resource::usable() const
{
    Idset all = inventory_.R.ranks();
    Idset up = inventory_.fake ? all : online_ & all;
    return up - drained_.ranks() - excluded_ - torpid_ - forced_down_;
}

// With what else there is to say.
void Resource::tell_scheduler(Json out)
{
    if (!acquire_answered_ || muted_)
        return;
    Idset now = usable() & told_of_;
    Idset up = now - told_, down = told_ - now;
    if (!up.empty())
        out.set("up", up.format());
    if (!down.empty())
        out.set("down", down.format());
    told_ = now;
    if (!out.empty())
        acquired_->respond(out);
}

// What of the inventory the scheduler does not know yet: ranks that are no longer excluded, properties.
Json Resource::what_there_is_now()
{
    Json out = Json::object();
    if (!acquire_answered_ || muted_)
        return out;
    auto schedulable = inventory_.R.without(excluded_);
    Idset more = schedulable.ranks() - told_of_;
    if (!more.empty() && !takes_more_)
        log(LogLevel::warning,
            "rank {} can be used now: this scheduler gives it out from its next load on (flux module reload)",
            more.format());
    if (!more.empty() && takes_more_) {
        auto added = schedulable.subset(more);
        added.set_scheduling({}); // of the whole instance
        out.set("expand", added.to_json());
        told_of_ |= more;
        for (const auto &[name, ranks] : added.properties())
            told_properties_[name] |= ranks;
    }
    ResourceSet::Properties now, add, remove;
    for (const auto &[name, ranks] : inventory_.R.properties())
        if (Idset known = ranks & told_of_; !known.empty())
            now[name] = known;
    auto difference = [](const ResourceSet::Properties &a, const ResourceSet::Properties &b) {
        ResourceSet::Properties out;
        for (const auto &[name, ranks] : a) {
            auto found = b.find(name);
            if (Idset rest = found == b.end() ? ranks : ranks - found->second; !rest.empty())
                out[name] = rest;
        }
        return out;
    };
    if (add = difference(now, told_properties_); !add.empty())
        out.set("property-add", ResourceSet::properties_json(add));
    if (remove = difference(told_properties_, now); !remove.empty())
        out.set("property-remove", ResourceSet::properties_json(remove));
    told_properties_ = std::move(now);
    return out;
}

void Resource::acquire(Request request)
{
    try {
        request.require_streaming();
        if (acquired_)
            throw Error(EBUSY, "the resources are acquired by another scheduler");
        takes_more_ = request.json() && request.find<bool>("expand").value_or(false);
        acquired_ = std::move(request);
        begin_acquire();
    } catch (const Error &error) {
        request.fail(error);
    }
}

// Once there is an inventory.
void Resource::begin_acquire()
{
    if (!acquired_ || acquire_answered_ || !have_inventory_)
        return;
    acquire_answered_ = true;
    told_ = usable();
    auto schedulable = inventory_.R.without(excluded_);
    told_of_ = schedulable.ranks();
    told_properties_ = schedulable.properties();
    acquired_->respond(Json {{"resources", schedulable.to_json()}, {"up", told_.format()}});
}

Json Resource::mute(Request &)
{
    muted_ = true;
    return {};
}

void Resource::forget(const RouteId &sender, std::optional<uint32_t> matchtag)
{
    if (!acquired_ || acquired_->sender() != sender ||
        (matchtag && acquired_->message().matchtag != *matchtag))
        return;
    acquire_answered_ = false;
    acquired_->finish();
    acquired_.reset();
    muted_ = false;
}

Json Resource::status(Request &)
{
    Idset all = inventory_.R.ranks();
    Idset online = (inventory_.fake ? all : online_ & all) - forced_down_;
    return Json {{"R", inventory_.R.to_json()},   {"drain", drained_.to_json()},
                 {"online", online.format()},     {"offline", (all - online).format()},
                 {"exclude", excluded_.format()}, {"torpid", (torpid_ & all).format()}};
}

Task<Json> Resource::sched_status(Request)
{
    Json allocated = ResourceSet().to_json(), down;
    try {
        auto answer = co_await rpc("sched.resource-status");
        allocated = answer.json()["allocated"];
        down = answer.json()["down"];
    } catch (const Error &error) {
        if (error.errnum() != ENOSYS) // no scheduler: nothing is allocated
            throw;
    }
    Idset now = usable();
    if (!shown_.all || shown_.excluded != excluded_ || shown_.usable != now ||
        shown_.scheduler_down != down) {
        auto schedulable = inventory_.R.without(excluded_);
        auto all_down = schedulable.without(now);
        // What was set down in the scheduler's graph: single cores too.
        if (auto more = ResourceSet::from_json(down)) {
            more->intersect(schedulable);
            all_down.unite(*more);
        }
        shown_ = {excluded_, now, down, schedulable.to_json(), all_down.to_json()};
    }
    co_return Json {{"all", shown_.all}, {"down", shown_.down}, {"allocated", allocated}};
}

// For tests: answered when so many nodes are up.
Task<> Resource::wait_up(Request request)
{
    auto wanted = request.get<uint32_t>("up");
    if (wanted > size())
        throw Error(EINVAL, "cannot wait for {} nodes to be up: this instance has {} brokers", wanted,
                    size());
    while (usable().count() < wanted)
        co_await changed_.wait();
}

Json Resource::force_down(Request &request)
{
    forced_down_ = value_or_throw(Idset::parse(request.get<std::string>("ranks")));
    changed_.notify_all();
    tell_scheduler();
    return {};
}

} // namespace flux
