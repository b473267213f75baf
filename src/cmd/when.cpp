#include "cmd/when.hpp"

#include <ctime>

#include "cmd/command.hpp"
#include "common/types/duration.hpp"

namespace flux::cmd {

namespace {

constexpr double earliest_epoch = 1e8; // a bare number below is more likely a slip than the year 1973

std::optional<tm> parse_with(const std::string &text, const char *format, const tm &from)
{
    tm parts = from;
    const char *end = ::strptime(text.c_str(), format, &parts);
    return end && !*end ? std::optional(parts) : std::nullopt;
}

double seconds_of(tm parts)
{
    parts.tm_isdst = -1;
    return double(::mktime(&parts));
}

// Midnight of the day so many days from today.
tm day(double now, int offset)
{
    time_t whole = time_t(now);
    tm parts {};
    ::localtime_r(&whole, &parts);
    parts.tm_mday += offset;
    parts.tm_hour = parts.tm_min = parts.tm_sec = 0;
    parts.tm_isdst = -1;
    ::mktime(&parts); // a day before the first is in the month before
    return parts;
}

std::optional<double> parse_named_day(const std::string &text, double now)
{
    static const std::pair<std::string_view, int> days[] {{"yesterday", -1}, {"today", 0}, {"tomorrow", 1}};
    for (auto [name, offset] : days) {
        if (!text.starts_with(name))
            continue;
        tm midnight = day(now, offset);
        std::string rest = text.substr(name.size());
        if (rest.empty())
            return seconds_of(midnight);
        for (const char *format : {" %H:%M:%S", " %H:%M", " %I%p", " %I:%M%p"})
            if (auto parts = parse_with(rest, format, midnight))
                return seconds_of(*parts);
    }
    return std::nullopt;
}

} // namespace

double parse_when(const std::string &text, double now)
{
    if (text.starts_with('+') || text.starts_with('-')) {
        double offset = value_or_throw(parse_duration(std::string_view(text).substr(1)));
        return text[0] == '+' ? now + offset : now - offset;
    }
    if (text == "now")
        return now;
    if (auto named = parse_named_day(text, now))
        return *named;
    tm midnight = day(now, 0);
    for (const char *format : {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M",
                               "%Y-%m-%d %I%p", "%Y-%m-%d", "%H:%M:%S", "%H:%M"})
        if (auto parts = parse_with(text, format, midnight))
            return seconds_of(*parts);
    char *end = nullptr;
    double number = std::strtod(text.c_str(), &end);
    if (!text.empty() && !*end && number > earliest_epoch)
        return number;
    throw UsageError(fmt::format("'{}' is no time: give +2h or -2h from now, yesterday, 14:30, 2026-11-26, "
                                 "or \"2026-11-26 14:30\"",
                                 text));
}

} // namespace flux::cmd
