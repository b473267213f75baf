#include "cmd/command.hpp"

#include <algorithm>
#include <charconv>

#include "common/types/duration.hpp"

namespace flux::cmd {

namespace {

template <class T>
T number_or_throw(std::string_view option, const std::string &text)
{
    T out {};
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    if (error != std::errc() || end != text.data() + text.size())
        throw UsageError(fmt::format("--{} needs a number, not '{}'", option, text));
    return out;
}

} // namespace

std::string Option::short_name() const
{
    return spec.size() >= 2 && spec[0] == '-' && spec[1] != '-' ? std::string(1, spec[1]) : std::string();
}

std::string Option::name() const
{
    size_t dashes = spec.find("--");
    if (dashes == std::string_view::npos)
        return short_name();
    std::string_view rest = spec.substr(dashes + 2);
    return std::string(rest.substr(0, rest.find_first_of("[=")));
}

namespace {

// What comes after the name: "=N", "[=WHEN]" or nothing.
std::string_view value_part(std::string_view spec)
{
    size_t dashes = spec.find("--");
    size_t at = spec.find_first_of("[=", dashes == std::string_view::npos ? 0 : dashes);
    return at == std::string_view::npos ? std::string_view() : spec.substr(at);
}

} // namespace

std::string Option::value_name() const
{
    std::string_view part = value_part(spec);
    if (part.starts_with("[="))
        return std::string(part.substr(2, part.size() - 3));
    return std::string(part.substr(std::min<size_t>(1, part.size())));
}

bool Option::may_take_value() const
{
    return value_part(spec).starts_with("[=");
}

bool Option::takes_value() const
{
    return value_part(spec).starts_with('=');
}

const std::vector<std::string> &Args::all(std::string_view option) const
{
    auto found = options_.find(option);
    FLUX_ASSERT(found != options_.end());
    return found->second;
}

std::string Args::value(std::string_view option, std::string_view fallback) const
{
    const auto &values = all(option);
    return values.empty() ? std::string(fallback) : values.back();
}

int64_t Args::integer(std::string_view option, int64_t fallback) const
{
    return has(option) ? number_or_throw<int64_t>(option, value(option)) : fallback;
}

size_t Args::level(std::string_view option) const
{
    auto last = value(option);
    return last.empty() || last == "true" ? times(option) : size_t(std::max<int64_t>(0, integer(option, 0)));
}

namespace {
std::string in_units(size_t bytes)
{
    for (auto [name, shift] : {std::pair("G", 30), {"M", 20}, {"k", 10}})
        if (bytes % (size_t(1) << shift) == 0)
            return fmt::format("{}{}", bytes >> shift, name);
    return fmt::format("{}", bytes);
}
} // namespace

size_t Args::bytes(std::string_view option, size_t fallback, size_t most) const
{
    if (!has(option))
        return fallback;
    constexpr std::pair<std::string_view, double> units[] {
        {"", 1}, {"k", 1u << 10}, {"K", 1u << 10}, {"M", 1u << 20}, {"G", 1u << 30}};
    auto text = value(option);
    double number = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const auto *unit = std::ranges::find(units, std::string_view(end, text.data() + text.size()),
                                         &std::pair<std::string_view, double>::first);
    double size = unit == std::end(units) ? -1 : number * unit->second;
    if (error != std::errc() || !(size >= 0) || size > double(most))
        throw UsageError(
            fmt::format("--{}: '{}' is no number of bytes up to {} (with k, M or G if it is large)", option,
                        text, in_units(most)));
    return size_t(size);
}

double Args::number(std::string_view option, double fallback) const
{
    return has(option) ? number_or_throw<double>(option, value(option)) : fallback;
}

double Args::duration(std::string_view option, double fallback) const
{
    return has(option) ? option_value(option, parse_duration(value(option))) : fallback;
}

std::vector<std::string> Args::from(size_t index) const
{
    if (index >= positional_.size())
        return {};
    return {positional_.begin() + long(index), positional_.end()};
}

std::string Args::joined(size_t index) const
{
    return fmt::format("{}", fmt::join(from(index), " "));
}

JobId Args::job_id(size_t index) const
{
    return value_or_throw(JobId::parse(positional_.at(index)));
}

} // namespace flux::cmd
