#include "modules/resource/eventlog.hpp"

namespace flux {

namespace {

Event node_event(const char *name, double timestamp, const Idset &ranks, const Hostlist &hosts,
                 const std::optional<std::string> &reason, Overwrite overwrite)
{
    Hostlist nodes;
    for (uint32_t rank : ranks)
        if (rank < hosts.size())
            nodes.append_name(hosts.nth(rank));
    Json context {{"idset", ranks.format()}, {"nodelist", nodes.encode()}};
    if (reason)
        context.set("reason", *reason);
    context.set("overwrite", int(overwrite));
    return {timestamp, name, context};
}

} // namespace

void DrainedNodes::drain(const Idset &ranks, double timestamp, const std::string &reason, Overwrite overwrite)
{
    for (uint32_t rank : ranks) {
        auto [at, fresh] = drained_.try_emplace(rank, Drain {timestamp, reason});
        if (fresh)
            continue;
        // A node that was drained without a reason may be given one.
        if (overwrite != Overwrite::nothing || at->second.reason.empty())
            at->second.reason = reason;
        if (overwrite == Overwrite::reason_and_time)
            at->second.timestamp = timestamp;
    }
}

void DrainedNodes::undrain(const Idset &ranks)
{
    for (uint32_t rank : ranks)
        drained_.erase(rank);
}

void DrainedNodes::replay(const Event &event, const Hostlist &hosts)
{
    bool drains = event.name == "drain";
    if ((!drains && event.name != "undrain") || !event.context)
        return;
    auto ids = Idset::parse(event.context["idset"].string_view());
    auto nodes = Hostlist::parse(event.context["nodelist"].string_view());
    if (!ids)
        return;
    Idset ranks;
    Hostlist moved; // hosts that have another rank now
    size_t index = 0;
    for (uint32_t rank : *ids) {
        auto host = nodes && index < nodes->size() ? std::optional(nodes->nth(index)) : std::nullopt;
        index++;
        if (rank < hosts.size() && (!host || hosts.nth(rank) == *host))
            ranks.add(rank);
        else if (host)
            moved.append_name(*host);
    }
    if (!moved.empty())
        ranks |= hosts.find_all(moved);
    if (drains)
        drain(ranks, event.timestamp, std::string(event.context["reason"].string_view()),
              Overwrite(event.context.value<int>("overwrite", 0)));
    else
        undrain(ranks);
}

Idset DrainedNodes::ranks() const
{
    Idset out;
    for (const auto &[rank, drain] : drained_)
        out.add(rank);
    return out;
}

Json DrainedNodes::to_json() const
{
    std::map<std::pair<double, std::string>, Idset> groups;
    for (const auto &[rank, drain] : drained_)
        groups[{drain.timestamp, drain.reason}].add(rank);
    Json out = Json::object();
    for (const auto &[why, ranks] : groups)
        out.set(ranks.format(), Json {{"timestamp", why.first}, {"reason", why.second}});
    return out;
}

Event drain_event(double timestamp, const Idset &ranks, const Hostlist &hosts,
                  const std::optional<std::string> &reason, Overwrite overwrite)
{
    return node_event("drain", timestamp, ranks, hosts, reason, overwrite);
}

Event undrain_event(double timestamp, const Idset &ranks, const Hostlist &hosts,
                    const std::optional<std::string> &reason, Overwrite overwrite)
{
    return node_event("undrain", timestamp, ranks, hosts, reason, overwrite);
}

void Journal::append(Json event)
{
    events_.push_back(std::move(event));
    set_limit(limit_);
}

void Journal::set_limit(size_t limit)
{
    limit_ = limit;
    while (events_.size() > limit_) {
        dropped_at_ = events_.front().value<double>("timestamp", 0);
        events_.pop_front();
        first_++;
    }
}

std::vector<Json> Journal::since(uint64_t position) const
{
    std::vector<Json> out;
    if (position < first_)
        out.push_back(Json {{"timestamp", dropped_at_}, {"name", "truncate"}});
    for (uint64_t at = std::max(position, first_); at < end(); at++)
        out.push_back(events_[size_t(at - first_)]);
    return out;
}

} // namespace flux
