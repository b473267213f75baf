// Text that goes into messages: always whole characters, so that it can be JSON.
#pragma once
#include <string>
#include <string_view>

namespace flux {

// The beginning of a UTF-8 text, of at most `limit` bytes, without a part of a character at its end.
std::string_view quoted(std::string_view text, size_t limit);

// The bytes, each that is no part of a UTF-8 character replaced by U+FFFD.
std::string valid_utf8(std::string_view bytes);

} // namespace flux
