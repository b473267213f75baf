// NumberPlan: the places of a queue's jobs, in their order, where only numbers count (matcher_holds).
//
// Each gets the earliest time beside what others use and the jobs before it. While all jobs have the places that they had,
// only what was freed can change one: then nobody's is looked for anew before the first that can begin earlier.
#pragma once
#include <algorithm>
#include <optional>

#include "common/graph/earlier_places.hpp"
#include "common/graph/profile.hpp"

namespace flux::graph {

struct Place {
    int64_t count; // of the units that are held
    Time duration;
    Time start;
};

class NumberPlan {
public:
    // units: how many there are; others: what is used by all but the queue's jobs; freed_until: what was freed
    // since they got their places was in use until then.
    NumberPlan(int64_t units, Profile others, Time now, Time freed_until, EarlierPlaces &places)
        : units_(units), used_(std::move(others)), now_(now), freed_until_(freed_until), places_(places)
    {
        places_.clear();
    }
    Time freed_until() const { return freed_until_; }

    // The job's earliest time, or nothing when there are not so many units. `had`: what it was before.
    std::optional<Time> earliest(int64_t count, Time duration, std::optional<Time> had)
    {
        auto at = find(count, duration, had);
        if (at != had)
            freed_until_ = Planner::forever;
        return at;
    }
    bool fits_now(int64_t count, Time duration) const
    {
        return used_.most_used(now_, duration) + count <= units_;
    }
    void take(const Place &place)
    {
        used_.add(place.start, place.start + place.duration, place.count);
        places_.add(place.count, place.duration, place.start);
    }

private:
    std::optional<Time> find(int64_t count, Time duration, std::optional<Time> had) const
    {
        if (count > units_)
            return std::nullopt;
        Time from = places_.bound(count, duration, now_);
        if (!had || *had < now_ || freed_until_ == Planner::forever)
            return used_.earliest(from, duration, units_ - count);
        Time until = std::min(*had, freed_until_);
        if (from < until)
            if (Time at = used_.earliest(from, duration, units_ - count, until); at < until)
                return at;
        return had;
    }

    int64_t units_;
    Profile used_;
    Time now_;
    Time freed_until_; // forever: jobs have other places than they had
    EarlierPlaces &places_;
};

} // namespace flux::graph
