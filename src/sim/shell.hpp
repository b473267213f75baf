// SimShell: flux-shell as an actor. It speaks the channel of doc/shell-channel.md; its tasks are told by
// their command how they behave:
//
//     true | false | exit N | sleep SECONDS
//     last SECONDS      like sleep on the job's last node, and true on the others
//     lines N           N lines of output per task, over some time
//     read              until the end of standard input
//     flood N           N lines of 8 KiB per task, as fast as they are read
//     barrier N         N PMI exchanges among the job's shells, each checked
//     deaf SECONDS      like sleep, but only SIGKILL ends it
//     crash SECONDS     the shell itself dies then, without a word
#pragma once
#include <optional>

#include "common/job/shell_channel.hpp"
#include "shell/job.hpp"
#include "sim/spawner.hpp"

namespace flux::sim {

class SimShell : public SimProcess {
public:
    SimShell(ProcessWorld &world, ProcessSpec spec, ProcessCallbacks callbacks, Duration start);
    ~SimShell() override { on_end(); }
    void write(std::string_view stream, std::string_view bytes) override;
    void close(std::string_view stream) override;

private:
    struct TaskState {
        bool running = true;
    };
    void read();
    void handle(shell_channel::ToShell message);
    void start_job(shell_channel::Start start);
    void start_tasks();
    void print_line(uint32_t task, int left);
    void flood(uint32_t task, int left);
    void enter_barrier();
    void end_task(uint32_t task, int wait_status);
    void finish();
    void say(const shell_channel::FromShell &message);
    void on_signal(int signum) override;
    void on_end() override;
    double argument() const;

    void forget_job();

    bool started_ = false;
    bool finished_ = false;  // the job; another may come
    bool signalled_ = false;
    LineBuffer input_ = shell_channel::line_buffer();
    std::optional<flux::shell::Job> job_;
    std::string command_;
    uint64_t inputs_ = 0; // messages of standard input
    std::map<uint32_t, TaskState> tasks_;
    size_t running_ = 0;
    uint64_t barrier_ = 0;
    int status_ = 0;
    bool any_exited_ = false;
    bool holds_cores_ = false;
};

} // namespace flux::sim
