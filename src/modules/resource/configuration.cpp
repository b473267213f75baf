// What of [resource] can change while the module is loaded: exclude, verify, noverify, journal-max. Of the
// rest it is said when it will hold.
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
    verification_ = verification; // of brokers that come from now on
    journal_.set_limit(journal_limit);
    if (rank() != 0)
        return;
    note_what_waits();
    if (have_inventory_)
        exclude(excluded);
}

// Jobs on ranks that are excluded now go on; no others get them.
void Resource::exclude(const Idset &ranks)
{
    if (ranks == excluded_)
        return;
    excluded_ = ranks;
    shown_ = {};
    undrain_excluded();
    if (Idset unknown = inventory_.R.ranks() - excluded_ - told_of_; acquire_answered_ && !unknown.empty())
        log(LogLevel::warning,
            "rank {} is no longer excluded: the scheduler gives it out from its next load on (flux module "
            "reload sched)",
            unknown.format());
    changed_.notify_all();
    tell_scheduler();
}

void Resource::note_what_waits()
{
    std::string keys;
    auto note = [&](const std::string &key, const Json &now, const Json &then) {
        if (now.dump() != then.dump())
            keys += (keys.empty() ? "" : ", ") + key;
    };
    for (auto key : waiting_keys)
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
