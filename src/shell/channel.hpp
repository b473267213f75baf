// The shell's end of its channel to job-exec: messages queue up and go out once per turn of the loop. When
// the other side is slow, on_backlog says so: the shell reads no more of its tasks' output then, and through full
// pipes they wait. It goes on to hear and to do what it is told.
#pragma once
#include <memory>

#include "common/job/shell_channel.hpp"
#include "common/runtime/loop.hpp"

namespace flux::shell {

class ShellChannel {
public:
    static constexpr size_t high_water = 256u << 10; // bytes unsent: there is a backlog
    static constexpr size_t low_water = 64u << 10;   // there is none any more
    static constexpr size_t max_unsent = 4u << 20; // bytes of what no pipe holds back, then the shell blocks

    ShellChannel(Loop &loop, int fd) : loop_(loop), fd_(fd) {}
    ~ShellChannel();

    // Blocking, while the loop does not run: the next job. What still comes for the last one is passed by; nullopt
    // when there is no other. Throws Error when the channel ends before the first, or begins with something else.
    std::optional<shell_channel::Start> next_start();
    // From now on, messages go to on_message; on_end once when the other side is gone or talks nonsense.
    void watch(std::function<void(shell_channel::ToShell)> on_message, std::function<void()> on_end);
    void unwatch(); // also from inside these
    // Told when a backlog begins (true) and ends; may be called from inside send().
    void on_backlog(std::function<void(bool)> fn) { on_backlog_ = std::move(fn); }
    void send(const shell_channel::FromShell &message);
    // Waits until everything is out, or the other side is gone.
    void flush();

private:
    void readable();
    void deliver();
    void write_some(bool wait);
    void note_backlog();
    void end();

    Loop &loop_;
    int fd_;
    LineBuffer input_ = shell_channel::line_buffer();
    std::string unsent_;
    bool any_start_ = false;
    bool watching_ = false;
    bool flush_posted_ = false;
    bool ended_ = false;
    bool backlog_ = false;
    std::unique_ptr<Loop::FdWatch> watch_;
    std::function<void(shell_channel::ToShell)> on_message_;
    std::function<void()> on_end_;
    std::function<void(bool)> on_backlog_;
};

} // namespace flux::shell
