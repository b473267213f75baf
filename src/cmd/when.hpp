// Moments as people type them.
#pragma once
#include <string>

namespace flux::cmd {

// Seconds since the epoch from "+2h" and "-2h" (from now), "now", "today", "yesterday", "tomorrow" (with or
// without a time), "14:30", "2026-11-26", "2026-11-26 14:30[:05]" (local time), or a number of seconds since
// the epoch. EINVAL shows these forms.
double parse_when(const std::string &text, double now);

} // namespace flux::cmd
