// EarlierPlaces: what is known of the gaps of a plan that is made in order. A job that needs at least as many
// processors for at least as long as another, which was placed before it, cannot start earlier than that.
// Kept for classes of jobs, a few to each doubling, in a Fenwick tree of two dimensions.
#pragma once
#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

namespace flux::graph {

class EarlierPlaces {
public:
    void clear() { stamp_++; }
    void add(int64_t amount, int64_t duration, int64_t start)
    {
        if (cells_.empty())
            cells_.resize(size * size);
        for (size_t x = class_of(amount, true) + 1; x < size; x += x & -x)
            for (size_t y = class_of(duration, true) + 1; y < size; y += y & -y) {
                Cell &cell = cells_[x * size + y];
                if (cell.stamp != stamp_)
                    cell = {stamp_, start};
                else
                    cell.start = std::max(cell.start, start);
            }
    }
    // No earlier than this, or `now`.
    int64_t bound(int64_t amount, int64_t duration, int64_t now) const
    {
        if (cells_.empty())
            return now;
        for (size_t x = class_of(amount, false) + 1; x > 0; x -= x & -x)
            for (size_t y = class_of(duration, false) + 1; y > 0; y -= y & -y)
                if (const Cell &cell = cells_[x * size + y]; cell.stamp == stamp_)
                    now = std::max(now, cell.start);
        return now;
    }

private:
    static constexpr size_t shift = 2;
    static constexpr size_t parts = 1 << shift; // classes to each doubling
    static constexpr size_t size = 64 * parts;
    struct Cell {
        uint64_t stamp = 0;
        int64_t start = 0;
    };
    // The class whose least member is at least (up) or at most the value.
    static size_t class_of(int64_t value, bool up)
    {
        auto number = uint64_t(value);
        size_t octave = size_t(std::bit_width(number)) - 1;
        uint64_t base = uint64_t(1) << octave;
        uint64_t part =
            octave >= shift ? (number - base) >> (octave - shift) : (number - base) << (shift - octave);
        uint64_t least = octave >= shift ? base + (part << (octave - shift)) : number;
        return octave * parts + size_t(part) + (up && least < number);
    }

    uint64_t stamp_ = 1;
    std::vector<Cell> cells_; // a megabyte, once something is known
};

} // namespace flux::graph
