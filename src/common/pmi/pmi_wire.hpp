// Lines of the PMI-1 wire protocol (RFC 13): "cmd=put kvsname=k key=a value=b c\n".
//
// A parser as the RFC wants it: tuples in any order, any white space between them, unknown keys kept. A
// "value" (or "msg") takes the rest of the line, because it alone may hold blanks and '='.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/error.hpp"
#include "common/base/line_buffer.hpp"

namespace flux::pmi {

constexpr size_t max_kvsname = 64; // each with its terminating NUL, as get_maxes tells them
constexpr size_t max_key = 64;
constexpr size_t max_value = 1024;
constexpr size_t max_line = 4096; // bytes with the newline; a longer one is a protocol error
constexpr size_t max_tuples = 64; // in one line

class Line {
public:
    // Without its newline. EPROTO on control characters, a tuple without '=', over-long input, or too many
    // tuples.
    static Expected<Line> parse(std::string_view text);

    // The first tuple of that key.
    std::optional<std::string_view> find(std::string_view key) const noexcept;
    std::string_view get(std::string_view key) const noexcept
    {
        return find(key).value_or(std::string_view());
    }
    std::optional<int64_t> find_int(std::string_view key) const noexcept;
    const std::vector<std::pair<std::string, std::string>> &tuples() const { return tuples_; }

    // For writing: values must not hold newlines; what may hold blanks comes last.
    Line() = default;
    explicit Line(std::string_view command) { add("cmd", command); }
    Line &add(std::string_view key, std::string_view value);
    Line &add(std::string_view key, int64_t value);
    std::string encode() const; // with its newline

private:
    std::vector<std::pair<std::string, std::string>> tuples_;
};

inline LineBuffer line_buffer()
{
    return {"PMI", max_line - 1};
}

bool valid_key(std::string_view key) noexcept;     // 1 to max_key-1 visible characters but '='
bool valid_value(std::string_view value) noexcept; // up to max_value-1 printable characters, blank or tab

} // namespace flux::pmi
