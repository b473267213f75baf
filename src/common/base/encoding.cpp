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

void base64_encode_to(std::string &out, std::string_view bytes)
{
    size_t start = out.size();
    out.resize(start + (bytes.size() + 2) / 3 * 4);
    char *to = out.data() + start;
    auto from = reinterpret_cast<const unsigned char *>(bytes.data());
    auto put = [&](uint32_t group, int characters) {
        for (int i = 0; i < 4; i++)
            *to++ = i < characters ? base64_alphabet[group >> (18 - 6 * i) & 63] : '=';
    };
    size_t left = bytes.size();
    for (; left >= 3; left -= 3, from += 3)
        put(uint32_t(from[0]) << 16 | uint32_t(from[1]) << 8 | from[2], 4);
    if (left == 2)
        put(uint32_t(from[0]) << 16 | uint32_t(from[1]) << 8, 3);
    else if (left == 1)
        put(uint32_t(from[0]) << 16, 2);
}

std::string base64_encode(std::string_view bytes)
{
    std::string out;
    base64_encode_to(out, bytes);
    return out;
}

Expected<std::string> base64_decode(std::string_view text)
{
    if (text.size() % 4 != 0)
        return fail(EINVAL, "base64 text has {} characters, not a multiple of four", text.size());
    size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
    std::string out(text.size() / 4 * 3, '\0');
    char *to = out.data();
    auto value = [&](size_t at) {
        return int32_t(base64_values[static_cast<unsigned char>(text[at])]);
    };
    size_t plain = padding ? text.size() - 4 : text.size(); // whole groups without padding
    for (size_t i = 0; i < text.size(); i += 4) {
        int32_t group = 0;
        bool bad = false;
        for (size_t k = 0; k < 4; k++) {
            bool pad = i >= plain && k >= 4 - padding;
            int32_t v = pad ? 0 : value(i + k);
            bad |= v < 0;
            group = group << 6 | (v & 63);
        }
        if (bad) {
            size_t at = i;
            while (value(at) >= 0)
                at++;
            return fail(EINVAL, "base64 text has an invalid character at offset {}", at);
        }
        *to++ = char(group >> 16);
        *to++ = char(group >> 8);
        *to++ = char(group);
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
