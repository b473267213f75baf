// What can change while the module is loaded: resource.exclude, verify, noverify, journal-max, the properties
// of
// [[resource.config]], and the hosts of queues. Of the rest it is said when it will hold.
#include "modules/resource/resource.hpp"

namespace flux {

namespace {

// What is given out is decided by these; what has it cannot be another machine.
constexpr std::string_view waiting_keys[] {"path",       "config",     "scheduling",
                                           "norestrict", "rediscover", "history"};

} // namespace

// All of it or nothing: what cannot be taken over throws before anything is.
void Resource::config_changed()
{
    const Json &config = context().config();
    Verification verification(config, context().attribute("resource.R").has_value());
    auto journal_limit = journal_max(config);
    history_age(config);
    auto excluded = have_inventory_ ? excluded_ranks(config, inventory_.R) : Idset();
    std::optional<ResourceSet::Properties> configured;
    Properties properties;
    if (have_inventory_) {
        configured = configured_properties({config, {}, hosts()}, inventory_);
        properties = with_memberships(configured ? *configured : own_properties_, inventory_.R);
    }
    verification_ = verification; // of brokers that come from now on
    journal_.set_limit(journal_limit);
    if (rank() != 0)
        return;
    note_what_waits(configured.has_value());
    if (!have_inventory_)
        return;
    bool changed = set_properties(std::move(properties));
    if (!exclude(excluded) && !changed)
        return;
    shown_ = {};
    changed_.notify_all();
    tell_scheduler(what_there_is_now());
}

Resource::Properties Resource::with_memberships(ResourceSet::Properties own, const ResourceSet &R) const
{
    Properties out {own, std::move(own)};
    for (auto &[name, ranks] : queue_memberships(context().config(), R))
        out.all[name] |= ranks;
    return out;
}

bool Resource::set_properties(Properties properties)
{
    own_properties_ = std::move(properties.own);
    if (properties.all == inventory_.R.properties())
        return false;
    inventory_.R.set_properties(std::move(properties.all));
    store_R();
    return true;
}

// Jobs on ranks that are excluded now go on; no others get them.
bool Resource::exclude(const Idset &ranks)
{
    if (ranks == excluded_)
        return false;
    excluded_ = ranks;
    undrain_excluded();
    return true;
}

void Resource::note_what_waits(bool config_taken)
{
    std::string keys;
    auto note = [&](const std::string &key, const Json &now, const Json &then) {
        if (now.dump() != then.dump())
            keys += (keys.empty() ? "" : ", ") + key;
    };
    for (auto key : waiting_keys)
        if (key != "config" || !config_taken)
            note("resource." + std::string(key), context().config()["resource"][key],
                 loaded_with_["resource"][key]);
    note("fake-resources", context().config()["fake-resources"], loaded_with_["fake-resources"]);
    if (!keys.empty())
        log(LogLevel::warning,
            "the configuration has changed: {}: this holds when the instance starts again, or resource and "
            "sched are "
            "loaded again (flux module reload)",
            keys);
}

} // namespace flux
