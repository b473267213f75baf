#include "broker/tbon_setting.hpp"

#include "common/types/duration.hpp"

namespace flux {

std::optional<std::string> tbon_setting(const Attributes &attributes, const Json &config, std::string_view name)
{
    if (auto value = attributes.get(fmt::format("tbon.{}", name)))
        return value;
    auto value = config.at("tbon", name);
    if (!value)
        return std::nullopt;
    return value.is_string() ? value.as<std::string>() : value.dump();
}

Duration tbon_duration(const Attributes &attributes, const Json &config, std::string_view name, Duration fallback)
{
    auto text = tbon_setting(attributes, config, name);
    if (!text)
        return fallback;
    auto value = parse_duration(*text);
    if (!value)
        throw Error(EINVAL, "tbon.{} is \"{}\": {}", name, *text, value.error().text());
    return seconds(*value);
}

} // namespace flux
