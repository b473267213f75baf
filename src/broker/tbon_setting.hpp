// Settings of the tree of brokers: the attribute tbon.NAME, or else the key [tbon] NAME of the configuration.
#pragma once
#include <optional>
#include <string>

#include "broker/attributes.hpp"
#include "common/json/json.hpp"
#include "common/runtime/loop.hpp"

namespace flux {

std::optional<std::string> tbon_setting(const Attributes &attributes, const Json &config, std::string_view name);
// In Flux standard duration. EINVAL names the setting.
Duration tbon_duration(const Attributes &attributes, const Json &config, std::string_view name, Duration fallback);

} // namespace flux
