#include "cmd/terminal.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

namespace flux::cmd {

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

} // namespace flux::cmd
