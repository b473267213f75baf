// Coprocesses: what the option coprocess has run beside a node's tasks, from before they start until they
// have ended. What one writes goes into a file. That one cannot be started, or ends early, is said in the
// job's log and no more.
#pragma once
#include <functional>
#include <list>
#include <memory>

#include "common/runtime/loop.hpp"
#include "common/runtime/spawner.hpp"
#include "shell/channel.hpp"
#include "shell/job.hpp"

namespace flux::shell {

class Coprocesses {
public:
    Coprocesses(Loop &loop, Spawner &spawner, ShellChannel &channel, const Job &job,
                std::function<void()> all_ended)
        : loop_(loop), spawner_(spawner), channel_(channel), job_(job), all_ended_(std::move(all_ended))
    {
    }
    ~Coprocesses();
    Coprocesses(const Coprocesses &) = delete;

    void start();
    std::vector<int> pids() const;
    bool running() const { return running_ > 0; }
    void end();  // SIGTERM, SIGKILL after coprocess-kill-timeout; then all_ended is called
    void kill(); // SIGKILL

private:
    struct One {
        const Coprocess *what;
        std::unique_ptr<Process> process;
        int fd = -1;
        bool exited = false;
        bool write_failed = false;
    };
    void start(const Coprocess &what);
    void wrote(One &one, std::string_view bytes);
    void exited(One &one, int wait_status);
    void signal(int signum);
    void log(int level, std::string text);

    Loop &loop_;
    Spawner &spawner_;
    ShellChannel &channel_;
    const Job &job_;
    std::function<void()> all_ended_;
    std::list<One> all_;
    size_t running_ = 0;
    bool ending_ = false;
    Timer kill_timer_;
};

} // namespace flux::shell
