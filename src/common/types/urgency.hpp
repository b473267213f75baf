// Job urgency (RFC 30): 0 holds a job, 31 expedites it.
#pragma once
#include <string>
#include <string_view>

#include "common/base/error.hpp"

namespace flux {

namespace urgency {
constexpr int minimum = 0;
constexpr int hold = 0;
constexpr int default_value = 16;
constexpr int guest_maximum = 16; // above it only the instance owner
constexpr int expedite = 31;
constexpr int maximum = 31;
} // namespace urgency

// 0-31, "hold", "default" or "expedite" (in any case). EINVAL names them.
Expected<int> parse_urgency(std::string_view text);
// EINVAL outside 0-31, EPERM when a guest asks for more than 16.
Expected<void> check_urgency(int64_t value, bool is_owner);
std::string format_urgency(int value); // "hold", "expedite", else the number

} // namespace flux
