#include "common/graph/profile.hpp"

#include <algorithm>
#include <limits>

#include "common/base/error.hpp"

namespace flux::graph {

namespace {
constexpr Time beginning = std::numeric_limits<Time>::min();
}

void Profile::Block::measure()
{
    least = most = value[0];
    for (size_t i = 1; i < count; i++) {
        least = std::min(least, value[i]);
        most = std::max(most, value[i]);
    }
    least += offset;
    most += offset;
}

Profile::Profile() : blocks_(1)
{
    blocks_[0].count = 1;
    blocks_[0].time[0] = beginning;
    blocks_[0].value[0] = 0;
}

size_t Profile::block_of(Time at) const
{
    auto after = std::ranges::upper_bound(blocks_, at, {}, [](const Block &block) { return block.time[0]; });
    return size_t(after - blocks_.begin()) - 1;
}

size_t Profile::step_at(Time at)
{
    size_t number = block_of(at);
    Block *block = &blocks_[number];
    size_t place = size_t(std::upper_bound(block->time, block->time + block->count, at) - block->time);
    if (block->time[place - 1] == at)
        return number;
    if (block->count == block_steps) {
        Block upper;
        size_t half = block_steps / 2;
        upper.offset = block->offset;
        upper.count = uint32_t(block_steps - half);
        std::copy(block->time + half, block->time + block_steps, upper.time);
        std::copy(block->value + half, block->value + block_steps, upper.value);
        block->count = uint32_t(half);
        block->measure();
        upper.measure();
        blocks_.insert(blocks_.begin() + long(number) + 1, upper);
        if (place > half) {
            number++;
            place -= half;
        }
        block = &blocks_[number];
    }
    std::copy_backward(block->time + place, block->time + block->count, block->time + block->count + 1);
    std::copy_backward(block->value + place, block->value + block->count, block->value + block->count + 1);
    block->time[place] = at;
    block->value[place] = block->value[place - 1];
    block->count++;
    return number;
}

void Profile::add(Time start, Time end, int64_t amount)
{
    if (start >= end || amount == 0)
        return;
    step_at(end); // first, as it may move what is behind it
    size_t number = step_at(start);
    for (; number < blocks_.size() && blocks_[number].time[0] < end; number++) {
        Block &block = blocks_[number];
        if (block.time[0] >= start && block.time[block.count - 1] < end) {
            block.offset += amount;
            block.least += amount;
            block.most += amount;
            continue;
        }
        Time *times_end = block.time + block.count;
        size_t first = size_t(std::lower_bound(block.time, times_end, start) - block.time);
        size_t after = size_t(std::lower_bound(block.time + first, times_end, end) - block.time);
        for (size_t i = first; i < after; i++)
            block.value[i] += amount;
        block.measure();
    }
}

int64_t Profile::used(Time at) const
{
    const Block &block = blocks_[block_of(at)];
    size_t place = size_t(std::upper_bound(block.time, block.time + block.count, at) - block.time);
    return block.value[place - 1] + block.offset;
}

int64_t Profile::most_used(Time from, Time duration) const
{
    int64_t most = used(from);
    Time end = from + duration;
    for (size_t number = block_of(from); number < blocks_.size(); number++) {
        const Block &block = blocks_[number];
        if (block.time[0] >= end)
            break;
        if (block.most <= most)
            continue;
        for (size_t i = 0; i < block.count && block.time[i] < end; i++)
            if (block.time[i] > from)
                most = std::max(most, block.value[i] + block.offset);
    }
    return most;
}

int64_t Profile::least_used(Time from, Time duration) const
{
    int64_t least = used(from);
    Time end = from + duration;
    for (size_t number = block_of(from); number < blocks_.size(); number++) {
        const Block &block = blocks_[number];
        if (block.time[0] >= end)
            break;
        if (block.least >= least)
            continue;
        for (size_t i = 0; i < block.count && block.time[i] < end; i++)
            if (block.time[i] > from)
                least = std::min(least, block.value[i] + block.offset);
    }
    return least;
}

std::vector<Time> Profile::falls(Time from, Time until, size_t most) const
{
    std::vector<Time> out {from};
    int64_t before = used(from);
    for (size_t number = block_of(from); number < blocks_.size(); number++) {
        const Block &block = blocks_[number];
        for (size_t i = 0; i < block.count; i++) {
            if (block.time[i] <= from)
                continue;
            if (block.time[i] >= until || out.size() >= most)
                return out;
            if (int64_t now = block.value[i] + block.offset; std::exchange(before, now) > now)
                out.push_back(block.time[i]);
        }
    }
    return out;
}

Time Profile::earliest(Time from, Time duration, int64_t limit) const
{
    return earliest(from, duration, limit, std::numeric_limits<Time>::max());
}

Time Profile::earliest(Time from, Time duration, int64_t limit, Time until) const
{
    size_t number = block_of(from);
    const Block *block = &blocks_[number];
    size_t place = size_t(std::upper_bound(block->time, block->time + block->count, from) - block->time) - 1;
    bool open = false; // a gap has begun
    Time start = 0;    // where
    for (;; place = 0, block = &blocks_[number]) {
        int64_t bound = limit - block->offset;
        bool whole = place == 0 && (open ? block->most <= limit : block->least > limit);
        for (size_t i = place; i < block->count && !whole; i++) {
            bool fits = block->value[i] <= bound;
            if (fits == open)
                continue;
            if (!fits && block->time[i] - start >= duration)
                return start;
            open = fits;
            start = std::max(from, block->time[i]);
            if (fits && start >= until)
                return until;
        }
        if (++number == blocks_.size())
            break;
        if (open && blocks_[number].time[0] - start >= duration)
            return start;
        if (!open && blocks_[number].time[0] >= until)
            return until;
    }
    FLUX_ASSERT(open);
    return start;
}

std::vector<std::pair<Time, int64_t>> Profile::rises(Time from, int64_t limit) const
{
    std::vector<std::pair<Time, int64_t>> out;
    size_t number = block_of(from);
    const Block *block = &blocks_[number];
    size_t place = size_t(std::upper_bound(block->time, block->time + block->count, from) - block->time) - 1;
    for (;; place = 0) {
        block = &blocks_[number];
        if (out.empty() || block->most > out.back().second)
            for (size_t i = place; i < block->count; i++) {
                int64_t used = block->value[i] + block->offset;
                if (!out.empty() && used <= out.back().second)
                    continue;
                out.emplace_back(std::max<Time>(0, out.empty() ? 0 : block->time[i] - from), used);
                if (used > limit)
                    return out;
            }
        if (++number == blocks_.size())
            return out;
    }
}

void Profile::forget_before(Time now)
{
    size_t keep = block_of(now);
    if (keep == 0)
        return;
    blocks_.erase(blocks_.begin(), blocks_.begin() + long(keep));
    blocks_[0].time[0] = beginning;
}

size_t Profile::steps() const
{
    size_t count = 0;
    for (const auto &block : blocks_)
        count += block.count;
    return count;
}

} // namespace flux::graph
