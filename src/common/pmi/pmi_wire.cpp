#include "common/pmi/pmi_wire.hpp"

#include <algorithm>
#include <charconv>

namespace flux::pmi {

namespace {

bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

bool is_printable(char c)
{
    return (c >= 0x20 && c < 0x7f) || c == '\t' || static_cast<unsigned char>(c) >= 0x80;
}

// Values end at a blank, but for two that may have some. MPICH's hydra has a value after the message.
size_t end_of_value(std::string_view key, std::string_view text, size_t begin)
{
    if (key == "value")
        return text.size();
    if (key == "msg")
        return std::min(text.find(" value=", begin), text.size());
    while (begin < text.size() && !is_blank(text[begin]))
        begin++;
    return begin;
}

} // namespace

Expected<Line> Line::parse(std::string_view text)
{
    if (text.size() >= max_line)
        return fail(EPROTO, "PMI: a line of {} bytes, at most {} are allowed", text.size(), max_line - 1);
    if (!std::ranges::all_of(text, [](char c) { return is_printable(c) || c == '\r'; }))
        return fail(EPROTO, "PMI: a line holds a control character");
    Line line;
    size_t at = 0;
    while (true) {
        while (at < text.size() && is_blank(text[at]))
            at++;
        if (at == text.size())
            return line;
        auto equals = text.find('=', at);
        auto key = text.substr(at, equals == text.npos ? text.npos : equals - at);
        if (equals == text.npos || key.empty() || std::ranges::any_of(key, is_blank))
            return fail(EPROTO, "PMI: expected key=value at byte {} of a line", at);
        if (line.tuples_.size() == max_tuples)
            return fail(EPROTO, "PMI: more than {} tuples in a line", max_tuples);
        size_t end = end_of_value(key, text, equals + 1);
        line.tuples_.emplace_back(key, text.substr(equals + 1, end - equals - 1));
        at = end;
    }
}

std::optional<std::string_view> Line::find(std::string_view key) const noexcept
{
    for (const auto &[name, value] : tuples_)
        if (name == key)
            return value;
    return std::nullopt;
}

std::optional<int64_t> Line::find_int(std::string_view key) const noexcept
{
    auto text = find(key);
    if (!text)
        return std::nullopt;
    int64_t value = 0;
    auto [end, errc] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (errc != std::errc() || end != text->data() + text->size())
        return std::nullopt;
    return value;
}

Line &Line::add(std::string_view key, std::string_view value)
{
    FLUX_ASSERT(value.find('\n') == value.npos);
    tuples_.emplace_back(key, value);
    return *this;
}

Line &Line::add(std::string_view key, int64_t value)
{
    return add(key, std::string_view(fmt::format("{}", value)));
}

std::string Line::encode() const
{
    std::string out;
    for (const auto &[key, value] : tuples_) {
        if (!out.empty())
            out += ' ';
        out += key;
        out += '=';
        out += value;
    }
    out += '\n';
    return out;
}

bool valid_key(std::string_view key) noexcept
{
    return !key.empty() && key.size() < max_key &&
           std::ranges::all_of(key, [](char c) { return c > 0x20 && c < 0x7f && c != '='; });
}

bool valid_value(std::string_view value) noexcept
{
    return value.size() < max_value && std::ranges::all_of(value, is_printable);
}

} // namespace flux::pmi
