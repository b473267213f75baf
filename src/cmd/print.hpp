// What commands write: text on standard output, and tables whose columns are as wide as their widest cell.
#pragma once
#include <cstdio>
#include <string>
#include <vector>

#include "common/base/format.hpp"

namespace flux::cmd {

class Args;

template <class... Args>
void print(fmt::format_string<Args...> format, Args &&...args)
{
    std::string text = fmt::format(format, std::forward<Args>(args)...);
    std::fwrite(text.data(), 1, text.size(), stdout);
}

inline void write_out(std::string_view bytes)
{
    std::fwrite(bytes.data(), 1, bytes.size(), stdout);
}

// A remark on standard error, for a command that goes on.
template <class... Args>
void warn(fmt::format_string<Args...> format, Args &&...args)
{
    std::string text = fmt::format(format, std::forward<Args>(args)...) + "\n";
    std::fwrite(text.data(), 1, text.size(), stderr);
}

// All of standard input. Throws Error.
std::string read_stdin();
// All of a file, or of standard input for "-". Throws Error that names it.
std::string read_file(const std::string &path);

// Columns of terminal cells in UTF-8 text (one per code point).
size_t display_width(std::string_view text);
std::string pad(std::string_view text, size_t width, bool right);

// --color[=WHEN] (another option's name may be given): whether to use colors on standard output. Without the
// option when it is a terminal and NO_COLOR is not set. EINVAL on an unknown WHEN.
bool wants_color(const Args &args, std::string_view option = "color");

// Rows as lines; columns whose index is in `right` are right-aligned. Blanks at line ends are dropped.
std::string render_table(const std::vector<std::vector<std::string>> &rows,
                         const std::vector<size_t> &right = {});

} // namespace flux::cmd
