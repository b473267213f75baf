#include "common/types/urgency.hpp"

#include <charconv>
#include <strings.h>

#include "common/base/quote.hpp"

namespace flux {

Expected<int> parse_urgency(std::string_view text)
{
    std::string name(quoted(text, 20));
    if (strcasecmp(name.c_str(), "hold") == 0)
        return urgency::hold;
    if (strcasecmp(name.c_str(), "expedite") == 0)
        return urgency::expedite;
    if (strcasecmp(name.c_str(), "default") == 0)
        return urgency::default_value;
    int value = -1;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < urgency::minimum ||
        value > urgency::maximum)
        return fail(EINVAL, "urgency \"{}\": expected {}-{}, hold, expedite or default", name,
                    urgency::minimum, urgency::maximum);
    return value;
}

Expected<void> check_urgency(int64_t value, bool is_owner)
{
    if (value < urgency::minimum || value > urgency::maximum)
        return fail(EINVAL, "urgency {} is outside {}-{}", value, urgency::minimum, urgency::maximum);
    if (!is_owner && value > urgency::guest_maximum)
        return fail(EPERM, "urgency {}: only the instance owner may set more than {}", value,
                    urgency::guest_maximum);
    return {};
}

std::string format_urgency(int value)
{
    if (value == urgency::hold)
        return "hold";
    if (value == urgency::expedite)
        return "expedite";
    return fmt::format("{}", value);
}

} // namespace flux
