// Profile: a step function of time, "how much is used", for plans that are made anew all the time.
//
// It answers one question, when a gap is long and deep enough, and faster than a Planner in practice: the
// steps stand in blocks that know their least and greatest value, so that whole blocks are passed by, and the
// rest is read in sequence. Adding a span costs O(blocks), finding a gap O(blocks + steps that were read).
#pragma once
#include <cstdint>
#include <utility>
#include <vector>

#include "common/graph/planner.hpp"

namespace flux::graph {

class Profile {
public:
    Profile();
    // May be negative: that takes back what was added.
    void add(Time start, Time end, int64_t amount);
    int64_t used(Time at) const;
    // The most that is used at any time in [from, from+duration).
    int64_t most_used(Time from, Time duration) const;
    // The first t >= from such that at most limit is used during [t, t+duration). What is used in the end is
    // at most the limit, so there always is one.
    Time earliest(Time from, Time duration, int64_t limit) const;
    // The same, if it is before `until`, else `until`, which is after `from`.
    Time earliest(Time from, Time duration, int64_t limit, Time until) const;
    int64_t least_used(Time from, Time duration) const;
    // `from`, and the times between it and `until` at which less is used than before: the first `most` of them.
    std::vector<Time> falls(Time from, Time until, size_t most) const;
    // How much is used at most from a time on, as long as that is at most `limit`: pairs of the seconds after
    // which more is, and how much; the first is 0 s.
    std::vector<std::pair<Time, int64_t>> rises(Time from, int64_t limit) const;
    // Steps before `now` are not needed any more.
    void forget_before(Time now);
    size_t steps() const;

private:
    static constexpr size_t block_steps = 64;
    struct Block {
        int64_t offset = 0; // to be added to all values
        int64_t least = 0;  // with the offset
        int64_t most = 0;
        uint32_t count = 0;
        Time time[block_steps];
        int64_t value[block_steps]; // from this time on
        void measure();
    };
    size_t block_of(Time at) const; // the last that begins at or before it
    // Makes a step at this time, if there is none; returns its block.
    size_t step_at(Time at);

    std::vector<Block> blocks_; // the first step of all is at the beginning of time
};

} // namespace flux::graph
