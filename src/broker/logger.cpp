#include "broker/logger.hpp"

#include <charconv>

namespace flux {

namespace {

constexpr int64_t default_ring_size = 1024; // lines

struct Level {
    const char *attribute;
    int fallback; // matches this severity and more severe ones; negative: none
};
constexpr Level ring_level {"log-level", 7};
constexpr Level forward_level {"log-forward-level", 3};
constexpr Level critical_level {"log-critical-level", 2};
constexpr Level stderr_level {"log-stderr-level", 3};

int64_t number(const Attributes &attributes, std::string_view name, int64_t fallback)
{
    auto text = attributes.get(name);
    if (!text)
        return fallback;
    int64_t value = 0;
    auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (error != std::errc() || end != text->data() + text->size())
        throw Error(EINVAL, "attribute {} is \"{}\": a number was expected", name, *text);
    return value;
}

std::string for_a_person(const LogRing::Parts &parts)
{
    static constexpr const char *names[] = {"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"};
    return fmt::format("{} {}.{}[{}]: {}", parts.timestamp, parts.application, names[parts.severity], parts.rank,
                       parts.text);
}

} // namespace

Logger::Logger(Attributes &attributes)
    : attributes_(attributes), ring_(size_t(std::max<int64_t>(1, number(attributes, "log-ring-size", default_ring_size))))
{
    attributes.get_or_set("log-ring-size", std::to_string(default_ring_size));
    attributes.get_or_set("log-stderr-mode", "leader");
    for (auto &level : {ring_level, forward_level, critical_level, stderr_level}) {
        attributes.get_or_set(level.attribute, std::to_string(level.fallback));
        number(attributes, level.attribute, level.fallback);
    }
}

int Logger::level(std::string_view attribute, int fallback) const
{
    try {
        return int(number(attributes_, attribute, fallback));
    } catch (const Error &) {
        return fallback; // set to nonsense at run time
    }
}

void Logger::append(std::string line)
{
    line.resize(std::min(line.size(), max_line));
    auto parts = LogRing::parse(line);
    int severity = parts ? parts->severity : 0; // what cannot be read may be important
    auto matches = [&](const Level &limit) { return severity <= level(limit.attribute, limit.fallback); };
    bool leader = !outlets_.to_leader;
    bool local = leader || attributes_.get("log-stderr-mode") == "local";
    if (outlets_.to_stderr && ((local && matches(stderr_level)) || (!local && matches(critical_level))))
        outlets_.to_stderr(parts ? for_a_person(*parts) : line);
    if (outlets_.to_file && leader)
        outlets_.to_file(line);
    if (!leader && matches(forward_level))
        outlets_.to_leader(line);
    if (matches(ring_level))
        ring_.append(std::move(line));
}

} // namespace flux
