#include "cmd/print.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

#include "cmd/command.hpp"

namespace flux::cmd {

namespace {

constexpr size_t read_chunk = 64u << 10;

std::string read_fd(int fd, const std::string &name)
{
    std::string out;
    while (true) {
        size_t old = out.size();
        out.resize(old + read_chunk);
        ssize_t n = ::read(fd, out.data() + old, read_chunk);
        int errnum = errno;
        out.resize(old + size_t(std::max<ssize_t>(n, 0)));
        if (n < 0 && errnum == EINTR)
            continue;
        if (n < 0)
            throw Error(errnum, "cannot read {}: {}", name, errno_text(errnum));
        if (n == 0)
            return out;
    }
}

} // namespace

std::string read_stdin()
{
    return read_fd(STDIN_FILENO, "standard input");
}

std::string read_file(const std::string &path)
{
    if (path == "-")
        return read_stdin();
    int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        throw Error(errno, "cannot open {}: {}", path, errno_text(errno));
    try {
        std::string out = read_fd(fd, path);
        ::close(fd);
        return out;
    } catch (...) {
        ::close(fd);
        throw;
    }
}

size_t display_width(std::string_view text)
{
    return size_t(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string pad(std::string_view text, size_t width, bool right)
{
    size_t have = display_width(text);
    std::string blanks(width > have ? width - have : 0, ' ');
    return right ? blanks + std::string(text) : std::string(text) + blanks;
}

bool wants_color(const Args &args, std::string_view option)
{
    std::string when = args.value(option);
    if (when == "never")
        return false;
    if (when == "always" || when == "true") // the option without a value
        return true;
    if (!when.empty() && when != "auto")
        throw UsageError(fmt::format("--{}: '{}' is none of always, never, auto", option, when));
    const char *refused = std::getenv("NO_COLOR");
    return ::isatty(STDOUT_FILENO) && (when == "auto" || !(refused && *refused));
}

std::string render_table(const std::vector<std::vector<std::string>> &rows, const std::vector<size_t> &right)
{
    std::vector<size_t> widths;
    for (const auto &row : rows) {
        widths.resize(std::max(widths.size(), row.size()));
        for (size_t i = 0; i < row.size(); i++)
            widths[i] = std::max(widths[i], display_width(row[i]));
    }
    std::string out;
    for (const auto &row : rows) {
        std::string line;
        for (size_t i = 0; i < row.size(); i++)
            line += (i ? " " : "") +
                    pad(row[i], widths[i], std::find(right.begin(), right.end(), i) != right.end());
        line.erase(line.find_last_not_of(' ') + 1);
        out += line + "\n";
    }
    return out;
}

} // namespace flux::cmd
