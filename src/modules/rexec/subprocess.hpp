// Subprocess: one process of the subprocess server, and who listens to it: the client that started it, one
// that attached later, those that wait for its end. It knows the forms of RFC 42 and no table of others.
#pragma once
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/client/request.hpp"
#include "common/runtime/spawner.hpp"
#include "common/types/job_id.hpp"

namespace flux {

namespace rexec_flag { // of rexec.exec and rexec.attach
constexpr int stdout_ = 1;
constexpr int stderr_ = 2;
constexpr int channel = 4;
constexpr int write_credit = 8;
constexpr int waitable = 16;
} // namespace rexec_flag

namespace rexec_local_flag {
constexpr int stdio_fallthrough = 1;
constexpr int no_setpgrp = 2;
constexpr int fork_exec = 4; // accepted and without effect: processes are always spawned
} // namespace rexec_local_flag

class Subprocess {
public:
    static constexpr size_t default_input_buffer = 4u << 20; // bytes per channel: the first credit
    static constexpr size_t max_retained = 64u << 10;        // bytes of output kept for wait and attach

    struct Hooks {
        std::function<void(const Subprocess &, std::string_view stream, std::string_view line)> log;
        std::function<void(Subprocess &)> ended; // may be forgotten from the top of the loop
    };

    // Reads the command of an exec request. EPROTO or EINVAL says what is wrong with it.
    Subprocess(Request request, uint32_t rank, Hooks hooks);
    // Starts it and tells the client. Throws Error when it cannot be started.
    void start(Spawner &spawner, const std::string &local_uri);

    int pid() const { return pid_; }
    const std::string &label() const { return label_; }
    std::string command_line() const;
    Json listed() const; // for rexec.list

    // opts: {"jobid"}: the job beside whose tasks it runs, and no longer than they do.
    const std::optional<JobId> &job() const { return job_; }

    bool ended() const { return ended_; }
    bool in_background() const { return background_; }
    // Ended, and nobody will ask for its status any more.
    bool forgettable() const { return ended_ && (!waitable_ || reaped_); }
    bool is_clients(const RouteId &sender, uint32_t matchtag) const;

    // --- what requests do to it
    void write(const Json &io); // an I/O object; what it cannot take ends the exec with an error
    void signal(int signum);    // ESRCH once it ended
    void wait(Request request); // answered when it has ended; EINVAL unless it is waitable
    void attach(Request request);
    // The client is gone: a process in the foreground is killed, one in the background goes on without it.
    void disconnected(const RouteId &sender);

private:
    struct Output { // a stream of the process
        bool ended = false;
        std::string partial_line; // for the log
    };
    struct Listener { // who is sent output and the end
        Request request;
        int flags;
    };
    void on_output(std::string_view stream, std::string_view bytes);
    void on_written(std::string_view stream, size_t bytes);
    void on_exit(int wait_status);
    void tell(std::string_view stream, std::string_view bytes);
    void retain(std::string_view stream, std::string_view bytes);
    void log_lines(std::string_view stream, std::string_view bytes);
    Json io_object(std::string_view stream, std::string_view bytes) const;
    static int flag_of(std::string_view stream);
    void answer_waiters();
    void finish_listener();

    uint32_t rank_;
    Hooks hooks_;
    Json command_;
    std::string label_;
    std::optional<JobId> job_;
    std::vector<std::string> channels_;
    int flags_;
    int local_flags_;
    bool background_;
    bool waitable_;
    bool reaped_ = false;
    bool ended_ = false;
    int wait_status_ = 0;
    int pid_ = -1;
    std::map<std::string, Output, std::less<>> outputs_;
    std::map<std::string, size_t, std::less<>> room_;          // of each channel that takes input: bytes
    std::deque<std::pair<std::string, std::string>> retained_; // stream and bytes
    size_t retained_size_ = 0;
    std::optional<Listener> listener_;
    std::vector<Request> waiters_;
    std::unique_ptr<Process> process_;
};

} // namespace flux
