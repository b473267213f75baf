#include "common/types/duration.hpp"

#include <charconv>
#include <cmath>
#include <limits>

#include "common/base/quote.hpp"

namespace flux {

namespace {

struct Unit {
    std::string_view suffix;
    double seconds;
};
constexpr Unit units[] = {{"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};

struct Parts {
    double number;
    std::string_view suffix;
};

// strtod's grammar without its locale: "1.5", ".5", "1e3", "0x1p4", "inf", "infinity".
Expected<Parts> split(std::string_view text)
{
    std::string_view rest = text;
    if (rest.starts_with('+'))
        rest.remove_prefix(1);
    if (rest.starts_with('-'))
        return fail(EINVAL, "duration \"{}\": must not be negative", quoted(text, 40));
    auto format = std::chars_format::general;
    if (rest.starts_with("0x") || rest.starts_with("0X")) {
        rest.remove_prefix(2);
        format = std::chars_format::hex;
    }
    double number = 0;
    auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number, format);
    if (error == std::errc::result_out_of_range)
        return fail(EINVAL, "duration \"{}\": the number is out of range", quoted(text, 40));
    if (error != std::errc() || rest.starts_with('-') || std::isnan(number) || number < 0)
        return fail(EINVAL, "duration \"{}\": expected a number with an optional unit ms, s, m, h or d",
                    quoted(text, 40));
    return Parts {number, rest.substr(end - rest.data())};
}

Expected<double> parse_with_default(std::string_view text, double default_unit)
{
    auto parts = split(text);
    if (!parts)
        return std::unexpected(parts.error());
    if (std::isinf(parts->number)) {
        if (!parts->suffix.empty())
            return fail(EINVAL, "duration \"{}\": infinity takes no unit", quoted(text, 40));
        return parts->number;
    }
    double unit = default_unit;
    if (!parts->suffix.empty()) {
        unit = 0;
        for (const auto &known : units)
            if (known.suffix == parts->suffix)
                unit = known.seconds;
        if (unit == 0)
            return fail(EINVAL, "duration \"{}\": unknown unit \"{}\" (use ms, s, m, h or d)",
                        quoted(text, 40), quoted(parts->suffix, 20));
    }
    double seconds = parts->number * unit;
    if (std::isinf(seconds))
        return fail(EINVAL, "duration \"{}\": the number is out of range", quoted(text, 40));
    return seconds;
}

} // namespace

Expected<double> parse_duration(std::string_view text)
{
    return parse_with_default(text, 1);
}

std::string format_duration(double seconds, int significant_digits)
{
    if (std::isnan(seconds) || seconds < 0)
        throw Error(EINVAL, "{} is not a duration", seconds);
    if (std::isinf(seconds))
        return "infinity";
    const Unit *unit = &units[1];
    if (seconds > 0 && seconds < 1)
        unit = &units[0];
    for (const auto &candidate : units)
        if (candidate.seconds >= 60 && seconds >= candidate.seconds)
            unit = &candidate;
    return fmt::format("{:.{}g}{}", seconds / unit->seconds, significant_digits, unit->suffix);
}

Expected<double> parse_time_limit(std::string_view text)
{
    auto seconds = parse_with_default(text, 60);
    if (!seconds)
        return fail(EINVAL, "{} (a bare number is minutes)", seconds.error().text());
    return std::isinf(*seconds) ? 0 : *seconds;
}

} // namespace flux
