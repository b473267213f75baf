// Idset: a set of non-negative integers (RFC 22): broker ranks, task ranks, core numbers.
//
//     auto ranks = value_or_throw(Idset::parse("[0-3,7]"));
//     for (uint32_t rank : ranks) ...
//     ranks.format();                       // "0-3,7"
//
// Held as sorted, disjoint, non-adjacent ranges: a set costs 8 bytes per run of consecutive ids, and the set
// operations are one merge over the runs.
#pragma once
#include <compare>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/error.hpp"
#include "common/base/input_iterator.hpp"

namespace flux {

class Idset {
public:
    // The largest id that can be named. Keeps a hostile "0-4294967295" from becoming an endless loop
    // elsewhere.
    static constexpr uint32_t max_id = (1u << 24) - 1;

    struct Run { // first..last, both in the set
        uint32_t first;
        uint32_t last;
        friend bool operator==(const Run &, const Run &) = default;
    };
    enum class Brackets {
        none,
        unless_single, // "[0-3]" and "[0,2]" but "7": the form of resource summaries
    };

    Idset() = default;
    Idset(std::initializer_list<uint32_t> ids);
    static Idset range(uint32_t first, uint32_t last);
    static Idset iota(uint32_t count) { return count ? range(0, count - 1) : Idset(); } // 0..count-1
    // EINVAL with a sentence on anything but an RFC 22 string; "" and "[]" are the empty set.
    static Expected<Idset> parse(std::string_view text);

    std::string format(Brackets brackets = Brackets::none) const;

    // Ids beyond max_id throw Error(EINVAL). An add at or after the end is O(1), elsewhere O(runs).
    void add(uint32_t id) { add(id, id); }
    void add(uint32_t first, uint32_t last);
    void remove(uint32_t id) { remove(id, id); }
    void remove(uint32_t first, uint32_t last);
    void clear() { runs_.clear(), count_ = 0; }

    bool contains(uint32_t id) const noexcept;
    bool contains(const Idset &other) const noexcept; // every id of other
    bool intersects(const Idset &other) const noexcept;
    size_t count() const noexcept { return count_; }
    bool empty() const noexcept { return runs_.empty(); }
    std::optional<uint32_t> first() const noexcept;
    std::optional<uint32_t> last() const noexcept;
    std::optional<uint32_t> next(uint32_t after) const noexcept; // the smallest id > after
    uint32_t nth(size_t index) const; // the index-th smallest; throws Error(EINVAL) beyond the end. O(runs)
    size_t index_of(uint32_t id) const noexcept; // how many ids are smaller. O(runs)
    Idset take(size_t count) const;              // the count smallest, or all

    Idset &operator|=(const Idset &other);
    Idset &operator&=(const Idset &other);
    Idset &operator-=(const Idset &other);
    friend Idset operator|(Idset a, const Idset &b) { return a |= b; }
    friend Idset operator&(Idset a, const Idset &b) { return a &= b; }
    friend Idset operator-(Idset a, const Idset &b) { return a -= b; }
    friend bool operator==(const Idset &a, const Idset &b) noexcept { return a.runs_ == b.runs_; }
    friend std::strong_ordering operator<=>(const Idset &a, const Idset &b) noexcept;

    const std::vector<Run> &runs() const noexcept { return runs_; }

    class Iterator : public InputIterator<Iterator, uint32_t> {
    public:
        using InputIterator::operator++;
        Iterator() = default;
        uint32_t operator*() const { return id_; }
        Iterator &operator++();
        friend bool operator==(const Iterator &, const Iterator &) = default;

    private:
        friend class Idset;
        const Run *run_ = nullptr;
        const Run *end_ = nullptr;
        uint32_t id_ = 0;
    };
    Iterator begin() const;
    Iterator end() const;

private:
    std::vector<Run> runs_;
    size_t count_ = 0;
};

} // namespace flux
