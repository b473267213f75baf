// Text inside a drawing (SVG), where < and & are markup.
#pragma once
#include <string>
#include <string_view>

namespace flux::cmd {

inline std::string svg_text(std::string_view text)
{
    std::string out;
    for (char c : text)
        out += c == '<' ? "&lt;" : c == '&' ? "&amp;" : std::string(1, c);
    return out;
}

} // namespace flux::cmd
