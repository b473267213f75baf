// PlaceCheck: which jobs of a plan by numbers still have the earliest place after something was freed.
//
// The plan of a queue (matcher_holds) holds up to the first job that can start earlier than it was to, and the
// check goes through the jobs in their order until it finds that one. It has the plan as a Profile, without
// the places of the queue's jobs, and adds them as it goes: what holds is not touched in the matcher.
#pragma once
#include "common/graph/earlier_places.hpp"
#include "common/graph/profile.hpp"

namespace flux::graph {

struct Place {
    int64_t count; // of the units that are held
    Time start;
    Time duration;
};

class PlaceCheck {
public:
    // units: how many there are; others: what is used by all but the queue's jobs; freed_until: what was freed
    // was in use until then.
    PlaceCheck(int64_t units, Profile others, Time now, Time freed_until, EarlierPlaces &places)
        : units_(units), used_(std::move(others)), now_(now), freed_until_(freed_until), places_(places)
    {
        places_.clear();
    }
    int64_t units() const { return units_; }
    Time freed_until() const { return freed_until_; }
    // Could the job not start before its place? Then it has it.
    bool holds(const Place &place)
    {
        if (place.count > units_)
            return false;
        Time until = std::min(place.start, freed_until_);
        Time from = places_.bound(place.count, place.duration, now_);
        if (from < until && used_.earliest(from, place.duration, units_ - place.count, until) < until)
            return false;
        add(place);
        return true;
    }
    void add(const Place &place)
    {
        used_.add(place.start, place.start + place.duration, place.count);
        places_.add(place.count, place.duration, place.start);
    }

private:
    int64_t units_;
    Profile used_;
    Time now_;
    Time freed_until_;
    EarlierPlaces &places_; // of those that hold
};

} // namespace flux::graph
