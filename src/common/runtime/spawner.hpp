// Spawner: how processes come into being. The real one is posix_spawn (never fork: forking a big broker costs
// 25 ms), the simulated one runs an actor that takes the time it is told.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace flux {

struct TerminalSize {
    uint16_t rows = 24;
    uint16_t columns = 80;
};

struct ProcessSpec {
    std::vector<std::string> argv; // argv[0] is looked up in PATH of `environment` unless it has a slash
    std::vector<std::string> environment; // "NAME=value"
    bool inherit_environment = false; // the spawner's own too, where `environment` does not name the variable
    std::string cwd;                      // empty: the spawner's own
    bool new_process_group = true;
    bool capture_output = true; // stdout and stderr as pipes to on_output; false: inherited
    bool with_stdin = false;    // a pipe; false: /dev/null
    bool inherit_stdin = false; // the spawner's own instead
    // A pseudo-terminal of this size instead of standard input, output and error: the stream "terminal". The process
    // leads a session whose terminal it is.
    std::optional<TerminalSize> terminal;
    // Each channel is a socketpair; the child finds its end's number in the environment variable of that
    // name.
    std::vector<std::string> channels;
};

struct ProcessCallbacks {
    // stream is "stdout", "stderr", "terminal" or a channel's name; empty bytes mean that it ended.
    std::function<void(std::string_view stream, std::string_view bytes)> on_output;
    // wait_status as of waitpid(2). Called once, after every stream that nobody else holds open has ended.
    std::function<void(int wait_status)> on_exit;
    // So many bytes of what was written to the stream are no longer queued: the process took them, or nobody
    // reads that stream any more: what is written to one that has ended counts at once. For flow control; may be
    // called from inside Process::write.
    std::function<void(std::string_view stream, size_t bytes)> on_written;
};

// A running process. Destroying it forgets the callbacks and, if it still runs, kills its process group.
class Process {
public:
    virtual ~Process() = default;
    virtual int pid() const = 0;
    // The whole process group when it has its own. ESRCH once it exited.
    virtual void signal(int signum) = 0;
    // stream is "stdin", "terminal" or a channel's name. Queued without limit; the caller bounds what it sends.
    virtual void write(std::string_view stream, std::string_view bytes) = 0;
    // The end of what is written; on a terminal, where it is typed, the process may read on after it.
    virtual void close(std::string_view stream) = 0;
    virtual void resize_terminal(TerminalSize) {}
    // Whether on_output is told what comes from that stream: at first it is. While not, the process blocks when its
    // pipe is full, and nothing is lost: neither the stream nor the process is reported as ended before the rest.
    virtual void set_reading(std::string_view stream, bool reading) = 0;
};

class Spawner {
public:
    virtual ~Spawner() = default;
    // Throws Error (ENOENT, EACCES, ...) naming the program when it cannot be started.
    virtual std::unique_ptr<Process> spawn(ProcessSpec spec, ProcessCallbacks callbacks) = 0;
    // SIGKILL to process groups whose leaders are these: what a process left behind that died before it could
    // clean up. Groups that are gone are ignored.
    virtual void kill_groups(const std::vector<int> &) {}
};

} // namespace flux
