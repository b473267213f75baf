// The terminal that a command is used at: how wide it is, its colors, and what is typed on it.
#pragma once
#include <optional>
#include <string_view>

#include "common/runtime/loop.hpp"

namespace flux::cmd {

// Columns of the terminal that this is, or `otherwise` when it is none.
constexpr size_t default_terminal_width = 80;
size_t terminal_width(int fd, size_t otherwise = default_terminal_width);

// False when standard input is a terminal that another process group has in hand ("flux run ... &"): reading
// it would stop us.
bool may_read_terminal();

// Standard input's terminal, if it is one, in raw mode: each key is passed on as it is, none is shown here. As it was
// before when this goes, or the program exits without its going.
class RawTerminal {
public:
    RawTerminal();
    ~RawTerminal() { restore(); }
    RawTerminal(const RawTerminal &) = delete;

private:
    static void restore();
};

// Bytes of standard input that travel in one message, at most.
constexpr size_t stdin_chunk = 64u << 10;

// ^C, whose second within a short time means more than the first.
class Interrupts {
public:
    static constexpr Duration window = std::chrono::seconds(2);

    bool just_now(Duration now) const { return last_ && now - *last_ < window; }
    // One more: whether it is the second.
    bool again(Duration now)
    {
        bool second = just_now(now);
        last_ = now;
        return second;
    }

private:
    std::optional<Duration> last_;
};

// How a terminal is told to write in a color from here on (ECMA-48, SGR). Whether to: wants_color
// (print.hpp).
namespace color {
constexpr std::string_view plain = "\033[0m";
constexpr std::string_view bold = "\033[1m";
constexpr std::string_view dim = "\033[2m";
constexpr std::string_view red = "\033[31m";
constexpr std::string_view green = "\033[32m";
constexpr std::string_view yellow = "\033[33m";
constexpr std::string_view blue = "\033[34m";
constexpr std::string_view bold_red = "\033[1;31m";
constexpr std::string_view bold_green = "\033[1;32m";
constexpr std::string_view bold_blue = "\033[1;34m";
} // namespace color

} // namespace flux::cmd
