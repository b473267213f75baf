// The shell's end of its channel to job-exec: messages queue up and go out once per turn of the loop. When
// the other side is slow the shell waits for it, and through full pipes so do its tasks.
#pragma once
#include <memory>

#include "common/job/shell_channel.hpp"
#include "common/runtime/loop.hpp"

namespace flux::shell {

class ShellChannel {
public:
    static constexpr size_t max_unsent = 4u << 20; // bytes, then the shell blocks

    ShellChannel(Loop &loop, int fd) : loop_(loop), fd_(fd) {}
    ~ShellChannel();

    // Blocking, before the loop runs: the first message. Throws Error when the channel ends or sends
    // something else.
    shell_channel::Start read_start();
    // From now on, messages go to on_message; on_end once when the other side is gone or talks nonsense.
    void watch(std::function<void(shell_channel::ToShell)> on_message, std::function<void()> on_end);
    void send(const shell_channel::FromShell &message);
    // Waits until everything is out, or the other side is gone.
    void flush();

private:
    void readable();
    void deliver();
    void write_some(bool wait);

    Loop &loop_;
    int fd_;
    shell_channel::LineBuffer input_;
    std::string unsent_;
    bool flush_posted_ = false;
    bool ended_ = false;
    std::unique_ptr<Loop::FdWatch> watch_;
    std::function<void(shell_channel::ToShell)> on_message_;
    std::function<void()> on_end_;
};

} // namespace flux::shell
