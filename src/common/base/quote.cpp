#include "common/base/quote.hpp"

#include <cstdint>

namespace flux {

namespace {

// Bytes of the character at the beginning, 0 when there is none.
size_t character_at(std::string_view bytes)
{
    auto byte = static_cast<unsigned char>(bytes[0]);
    if (byte < 0x80)
        return 1;
    size_t length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
    if (byte < 0xc2 || byte > 0xf4 || length > bytes.size())
        return 0;
    uint32_t code = byte & (0x7f >> length);
    for (size_t k = 1; k < length; k++) {
        auto next = static_cast<unsigned char>(bytes[k]);
        if ((next & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (next & 0x3f);
    }
    bool surrogate = code >= 0xd800 && code < 0xe000;
    if ((length == 3 && (code < 0x800 || surrogate)) || (length == 4 && (code < 0x10000 || code > 0x10ffff)))
        return 0;
    return length;
}

} // namespace

std::string_view quoted(std::string_view text, size_t limit)
{
    if (text.size() <= limit)
        return text;
    while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xc0) == 0x80)
        limit--;
    return text.substr(0, limit);
}

std::string valid_utf8(std::string_view bytes)
{
    std::string out;
    while (!bytes.empty()) {
        auto length = character_at(bytes);
        if (length)
            out += bytes.substr(0, length);
        else
            out += "\ufffd";
        bytes.remove_prefix(length ? length : 1);
    }
    return out;
}

} // namespace flux
