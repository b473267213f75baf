// J: a jobspec as its user signed it, HEADER.PAYLOAD.SIGNATURE. Here only the mechanism "none", which an
// instance accepts from its owner; other mechanisms are recognised, not verified.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/error.hpp"

namespace flux {

constexpr size_t max_signed_jobspec = 64u << 20; // bytes of J

struct SignedJobspec {
    uint32_t userid = 0;
    std::string mechanism; // "none", "munge", ...
    std::string payload;   // the jobspec's text, as it came
};

std::string sign_none(uint32_t userid, std::string_view jobspec_text);
// Takes J apart without verifying a signature. EINVAL says which part is wrong.
Expected<SignedJobspec> unwrap(std::string_view signed_jobspec);

} // namespace flux
