// Durations as people write them: the Flux Standard Duration (RFC 23), "1.5h", "500ms", "30", "inf".
#pragma once
#include <string>
#include <string_view>

#include "common/base/error.hpp"

namespace flux {

// Seconds, 0 to infinity. Without a unit the number is seconds. EINVAL says what is wrong.
Expected<double> parse_duration(std::string_view text);

// In the largest unit that gives a number >= 1 ("90s" is "1.5m"), with so many significant digits; infinity
// is "infinity". 17 digits always read back as the same number of seconds up to the unit's rounding.
std::string format_duration(double seconds, int significant_digits = 6);

// The argument of -t, --time-limit: a bare number is minutes, otherwise an FSD. Seconds; 0 means unlimited,
// which is also what "inf" gives, because that is how jobspec says it (RFC 14).
Expected<double> parse_time_limit(std::string_view text);

} // namespace flux
