// Counts that are not one number: resource ranges "2-16:2:*" (RFC 45), sets of counts "4,9,16" (RFC 22) and
// the dictionary form of jobspec (RFC 14), all as one value that answers "how many at least, at most, and is
// n one of them".
#pragma once
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/error.hpp"
#include "common/json/json.hpp"
#include "common/types/idset.hpp"

namespace flux {

class Count {
public:
    static constexpr uint64_t infinite = std::numeric_limits<uint64_t>::max();
    static constexpr uint64_t max_value =
        1ull << 53; // of min, max and operand: what every JSON reader keeps exact

    Count() = default; // 1
    Count(uint64_t fixed) : min_(fixed), max_(fixed) {}
    // op is '+', '*' or '^'; throws Error(EINVAL) on what RFC 14 does not allow (zero, max < min, '*' by 1,
    // ...).
    static Count range(uint64_t min, uint64_t max, uint64_t operand = 1, char op = '+');
    static Count set(Idset counts);

    // "4", "2-8", "2+", "2-64:2:*", "4,9,16", each also in brackets. "2-8" reads the same as a range and as
    // an idset.
    static Expected<Count> parse(std::string_view text);
    // The value of a jobspec vertex's "count": positive integer, string, or {min,max?,operator?,operand?}.
    static Expected<Count> from_json(const Json &value);

    std::string format() const; // the shortest string that parses to the same
    Json to_json() const;       // integer when fixed, else the dictionary, or the idset string

    uint64_t min() const noexcept { return min_; }
    uint64_t max() const noexcept { return max_; } // infinite when there is no maximum
    bool fixed() const noexcept { return min_ == max_; }
    bool bounded() const noexcept { return max_ != infinite; }
    char op() const noexcept { return op_; }
    uint64_t operand() const noexcept { return operand_; }
    const std::optional<Idset> &ids() const noexcept
    {
        return ids_;
    } // set when this was given as a set of counts

    bool contains(uint64_t n) const noexcept;
    std::optional<uint64_t> next(uint64_t n) const noexcept;  // the smallest acceptable count > n
    std::optional<uint64_t> floor(uint64_t n) const noexcept; // the greatest acceptable count <= n
    friend bool operator==(const Count &, const Count &) = default;

private:
    static Expected<Count> checked(uint64_t min, uint64_t max, uint64_t operand, char op);

    uint64_t min_ = 1;
    uint64_t max_ = 1;
    uint64_t operand_ = 1;
    char op_ = '+';
    std::optional<Idset> ids_;
};

} // namespace flux
