// Digits of two encodings of job ids (RFC 19); only job_id.cpp reads them.
#pragma once
#include <array>
#include <cstddef>
#include <string_view>

namespace flux {

constexpr size_t mnemonic_base = 1626;
extern const std::array<std::string_view, mnemonic_base> mnemonic_words;

constexpr size_t emoji_base = 576;
constexpr size_t emoji_bytes = 4; // of each digit
extern const std::string_view emoji_digits;

} // namespace flux
