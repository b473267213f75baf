#include "common/base/encoding.hpp"

#include <array>

namespace flux {

namespace {

constexpr char base64_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::array<int8_t, 256> base64_values = [] {
    std::array<int8_t, 256> values;
    values.fill(-1);
    for (int i = 0; i < 64; i++)
        values[static_cast<unsigned char>(base64_alphabet[i])] = int8_t(i);
    return values;
}();

int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

} // namespace

std::string base64_encode(std::string_view bytes)
{
    std::string out;
    out.reserve((bytes.size() + 2) / 3 * 4);
    auto byte = [&](size_t i) { return uint32_t(static_cast<unsigned char>(bytes[i])); };
    size_t i = 0;
    for (; i + 3 <= bytes.size(); i += 3) {
        uint32_t group = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
        for (int shift = 18; shift >= 0; shift -= 6)
            out += base64_alphabet[group >> shift & 63];
    }
    if (size_t rest = bytes.size() - i; rest == 1) {
        uint32_t group = byte(i) << 16;
        out += base64_alphabet[group >> 18];
        out += base64_alphabet[group >> 12 & 63];
        out += "==";
    } else if (rest == 2) {
        uint32_t group = byte(i) << 16 | byte(i + 1) << 8;
        out += base64_alphabet[group >> 18];
        out += base64_alphabet[group >> 12 & 63];
        out += base64_alphabet[group >> 6 & 63];
        out += '=';
    }
    return out;
}

Expected<std::string> base64_decode(std::string_view text)
{
    if (text.size() % 4 != 0)
        return fail(EINVAL, "base64 text has {} characters, not a multiple of four", text.size());
    size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
    std::string out;
    out.reserve(text.size() / 4 * 3);
    for (size_t i = 0; i < text.size(); i += 4) {
        bool last = i + 4 == text.size();
        uint32_t group = 0;
        for (size_t k = 0; k < 4; k++) {
            char c = text[i + k];
            bool pad = last && k >= 4 - padding;
            int value = pad ? 0 : base64_values[static_cast<unsigned char>(c)];
            if (value < 0)
                return fail(EINVAL, "base64 text has an invalid character at offset {}", i + k);
            group = group << 6 | uint32_t(value);
        }
        out += char(group >> 16);
        out += char(group >> 8);
        out += char(group);
    }
    out.erase(out.size() - padding);
    return out;
}

std::string hex_encode(std::string_view bytes)
{
    constexpr char digits[] = "0123456789abcdef";
    std::string out;
    out.reserve(bytes.size() * 2);
    for (unsigned char c : bytes) {
        out += digits[c >> 4];
        out += digits[c & 15];
    }
    return out;
}

Expected<std::string> hex_decode(std::string_view text)
{
    if (text.size() % 2 != 0)
        return fail(EINVAL, "hexadecimal text has {} digits, an odd number", text.size());
    std::string out;
    out.reserve(text.size() / 2);
    for (size_t i = 0; i < text.size(); i += 2) {
        int high = hex_value(text[i]), low = hex_value(text[i + 1]);
        if (high < 0 || low < 0)
            return fail(EINVAL, "hexadecimal text has an invalid digit at offset {}", high < 0 ? i : i + 1);
        out += char(high << 4 | low);
    }
    return out;
}

} // namespace flux
