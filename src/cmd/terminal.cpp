#include "cmd/terminal.hpp"

#include <cstdlib>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

namespace flux::cmd {

namespace {

std::optional<termios> cooked; // what to go back to

} // namespace

size_t terminal_width(int fd, size_t otherwise)
{
    winsize size {};
    return ::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : otherwise;
}

bool may_read_terminal()
{
    pid_t foreground = ::tcgetpgrp(STDIN_FILENO);
    return foreground < 0 || foreground == ::getpgrp();
}

RawTerminal::RawTerminal()
{
    termios raw {};
    if (!::isatty(STDIN_FILENO) || ::tcgetattr(STDIN_FILENO, &raw) < 0)
        return;
    static const int registered = std::atexit(restore);
    (void)registered;
    cooked = raw;
    ::cfmakeraw(&raw);
    ::tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
}

void RawTerminal::restore()
{
    if (cooked)
        ::tcsetattr(STDIN_FILENO, TCSADRAIN, &*cooked);
    cooked.reset();
}

} // namespace flux::cmd
