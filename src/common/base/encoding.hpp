// Text encodings of bytes: base64 (RFC 4648, padded) and lower-case hex.
#pragma once
#include <string>
#include <string_view>

#include "common/base/error.hpp"

namespace flux {

std::string base64_encode(std::string_view bytes);
void base64_encode_to(std::string &out, std::string_view bytes); // appends
// EINVAL on characters outside the alphabet or wrong padding; whitespace is not skipped.
Expected<std::string> base64_decode(std::string_view text);

std::string hex_encode(std::string_view bytes);
// EINVAL on an odd length or a character that is not a hexadecimal digit (either case).
Expected<std::string> hex_decode(std::string_view text);

} // namespace flux
