// launch(): a process as posix_spawn(3) makes it, and our ends of what it was given. What becomes of it then
// is the spawner's (posix_spawner.cpp).
#pragma once
#include <string>
#include <utility>
#include <vector>

#include <unistd.h>

#include "common/runtime/spawner.hpp"

namespace flux {

class Fd {
public:
    Fd() = default;
    explicit Fd(int fd) : fd_(fd) {}
    Fd(Fd &&other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Fd &operator=(Fd &&other) noexcept
    {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~Fd() { reset(); }
    void reset()
    {
        if (fd_ >= 0)
            ::close(std::exchange(fd_, -1));
    }
    int get() const { return fd_; }
    explicit operator bool() const { return fd_ >= 0; }

private:
    int fd_ = -1;
};

// One stream of a process, seen from our side.
struct ChildStream {
    std::string name;
    bool reads = false; // we from the process
    bool writes = false;
    bool socket = false;
    bool terminal = false;
    Fd other_end; // of a terminal: while we hold it, output ends with the process and not when it closes its
                  // own
    Fd fd;
};

struct Launched {
    pid_t pid = -1;
    std::vector<ChildStream> streams;
};

// Everything between "these descriptors exist" and "the child has them". Throws Error with the errno of what
// failed: ENOENT for a program that there is not, EMFILE, and others.
Launched launch(ProcessSpec spec);

void set_terminal_size(const Fd &terminal, TerminalSize size);

} // namespace flux
