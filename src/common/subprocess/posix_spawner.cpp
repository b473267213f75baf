#include "common/subprocess/posix_spawner.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <list>
#include <utility>

#include "common/base/error.hpp"
#include "common/subprocess/launch.hpp"

namespace flux {

namespace {

constexpr size_t read_size = 64 * 1024; // bytes per read(2): a Linux pipe's capacity
constexpr std::string_view end_of_input = "\x04"; // ^D, as it is typed
constexpr int last_reads = 16;          // of a stream that somebody keeps open when its process has ended

void set_nonblocking(const Fd &fd)
{
    fcntl(fd.get(), F_SETFL, fcntl(fd.get(), F_GETFL) | O_NONBLOCK);
}

struct Stream : ChildStream {
    explicit Stream(ChildStream stream) : ChildStream(std::move(stream)) {}
    bool close_when_written = false;
    bool paused = false; // not read for now
    std::string unwritten;
    std::unique_ptr<Loop::FdWatch> watch;
};

// What a Process and its watches share; lives until both are done, so that a callback may destroy the
// Process.
class State : public std::enable_shared_from_this<State> {
public:
    State(Loop &loop, Duration grace, ProcessCallbacks callbacks)
        : loop(loop), grace(grace), callbacks(std::move(callbacks))
    {
    }

    void watch_all()
    {
        for (auto &stream : streams) {
            set_nonblocking(stream.fd);
            stream.watch = loop.watch_fd(stream.fd.get(), stream.reads, false,
                                         [this, &stream](bool readable, bool writable) {
                                             auto self = shared_from_this();
                                             if (writable && stream.fd)
                                                 flush(stream);
                                             if (readable && stream.fd)
                                                 read(stream);
                                         });
        }
        pid_watch = loop.watch_fd(pidfd.get(), true, false, [this](bool, bool) {
            auto self = shared_from_this();
            reap();
        });
    }

    Stream *find(std::string_view name)
    {
        for (auto &stream : streams)
            if (stream.name == name && stream.fd && stream.writes)
                return &stream;
        return nullptr;
    }

    void flush(Stream &stream)
    {
        size_t queued = stream.unwritten.size();
        write_queued(stream);
        size_t taken = queued - stream.unwritten.size();
        if (stream.unwritten.empty() && (stream.close_when_written || !stream.writes))
            close_writing(stream);
        else
            set_watch(stream);
        if (taken && callbacks.on_written)
            callbacks.on_written(stream.name, taken);
    }

    void set_watch(Stream &stream)
    {
        stream.watch->set(stream.reads && !stream.paused, !stream.unwritten.empty());
    }

    void set_reading(std::string_view name, bool reading)
    {
        for (auto &stream : streams) {
            if (stream.name != name || !stream.fd || stream.paused == !reading)
                continue;
            stream.paused = !reading;
            set_watch(stream);
            if (reading && reaped) // the rest is read now, as if it had ended just now
                start_grace();
        }
    }

    void write_queued(Stream &stream)
    {
        while (!stream.unwritten.empty()) {
            auto n = stream.socket ? ::send(stream.fd.get(), stream.unwritten.data(), stream.unwritten.size(),
                                            MSG_NOSIGNAL)
                                   : write_no_signal(stream.fd.get(), stream.unwritten);
            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0 && errno == EAGAIN)
                break;
            if (n < 0) { // nobody reads any more: what is left has no reader
                stream.unwritten.clear();
                stream.writes = false;
                break;
            }
            stream.unwritten.erase(0, n);
        }
    }

    void close_writing(Stream &stream)
    {
        stream.writes = false;
        if ((stream.socket || stream.terminal) && stream.reads) {
            if (stream.socket)
                ::shutdown(stream.fd.get(), SHUT_WR);
            set_watch(stream);
            return;
        }
        drop(stream);
    }

    // The watch may be the one that runs now; its function must outlive the call.
    void end_watch(std::unique_ptr<Loop::FdWatch> watch)
    {
        if (!watch)
            return;
        watch->set(false, false);
        loop.post([watch = std::move(watch)] {});
    }

    void drop(Stream &stream)
    {
        end_watch(std::move(stream.watch));
        stream.fd.reset();
        stream.unwritten.clear();
        stream.reads = stream.writes = false;
    }

    void kill_group(int signum) const { ::kill(own_group ? -pid : pid, signum); }

    void forget()
    {
        forgotten = true;
        loop.post([running = std::move(callbacks)] {}); // one of them may be what runs now
        callbacks = {};
        for (auto &stream : streams)
            if (stream.fd)
                drop(stream);
        grace_timer.cancel();
        if (!reaped) {
            kill_group(SIGKILL);
            zombie = shared_from_this(); // until the kernel says it is gone
        }
    }

    Loop &loop;
    Duration grace;
    ProcessCallbacks callbacks;
    std::list<Stream> streams;
    Fd pidfd;
    std::unique_ptr<Loop::FdWatch> pid_watch;
    Timer grace_timer;
    pid_t pid = -1;
    int wait_status = 0;
    int last_signal = 0; // that was sent
    bool own_group = false;
    bool reaped = false;
    bool reported = false;
    bool forgotten = false;

private:
    // A pipe has no MSG_NOSIGNAL: block SIGPIPE for the call and take it back if it came of it.
    static ssize_t write_no_signal(int fd, const std::string &bytes)
    {
        sigset_t pipe_only, before;
        sigemptyset(&pipe_only);
        sigaddset(&pipe_only, SIGPIPE);
        pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
        auto n = ::write(fd, bytes.data(), bytes.size());
        int saved = errno;
        if (n < 0 && saved == EPIPE) {
            timespec none {};
            sigtimedwait(&pipe_only, nullptr, &none);
        }
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
        errno = saved;
        return n;
    }

    // Whether there was something.
    bool read(Stream &stream)
    {
        static thread_local std::vector<char> buffer(read_size);
        auto n = ::read(stream.fd.get(), buffer.data(), buffer.size());
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return false;
        if (n > 0) {
            if (callbacks.on_output)
                callbacks.on_output(stream.name, std::string_view(buffer.data(), n));
            return true;
        }
        end(stream);
        return false;
    }

    void end(Stream &stream)
    {
        drop(stream);
        if (callbacks.on_output)
            callbacks.on_output(stream.name, {});
        report_if_done();
    }

    void reap()
    {
        int status = 0;
        auto result = waitpid(pid, &status, WNOHANG);
        if (reaped || result == 0 || (result < 0 && errno == EINTR))
            return;
        wait_status = result < 0 ? 0 : status;
        reaped = true;
        // A shell blocks signals while it starts a program: that one has not got it.
        if (own_group && WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == last_signal)
            kill_group(last_signal);
        end_watch(std::move(pid_watch));
        pidfd.reset();
        for (auto &stream : streams)
            stream.other_end.reset();
        if (forgotten) {
            loop.post([self = std::move(zombie)] {});
            return;
        }
        start_grace();
        report_if_done();
    }

    void start_grace()
    {
        grace_timer = Timer(loop, grace, [this] { end_streams(); });
    }

    void end_streams()
    {
        auto self = shared_from_this();
        for (auto &stream : streams)
            if (stream.fd && stream.reads && !stream.paused) {
                int reads = last_reads; // of what is in its buffer
                while (stream.fd && !stream.paused && reads-- > 0 && read(stream))
                    ;
                if (stream.fd && !stream.paused)
                    end(stream);
            }
    }

    void report_if_done()
    {
        if (!reaped || reported || forgotten)
            return;
        for (auto &stream : streams)
            if (stream.fd && stream.reads)
                return;
        reported = true;
        grace_timer.cancel();
        for (auto &stream : streams)
            if (stream.fd)
                drop(stream);
        if (auto on_exit = std::move(callbacks.on_exit))
            on_exit(wait_status);
    }

    std::shared_ptr<State> zombie;
};

class PosixProcess : public Process {
public:
    explicit PosixProcess(std::shared_ptr<State> state) : state_(std::move(state)) {}
    ~PosixProcess() override { state_->forget(); }

    int pid() const override { return state_->pid; }
    void signal(int signum) override
    {
        if (state_->reaped)
            throw Error(ESRCH, "cannot send signal {} to process {}: it has exited", signum, state_->pid);
        state_->last_signal = signum;
        if (::kill(state_->own_group ? -state_->pid : state_->pid, signum) < 0)
            throw Error(errno, "cannot send signal {} to process {}: {}", signum, state_->pid,
                        errno_text(errno));
    }
    void write(std::string_view name, std::string_view bytes) override
    {
        auto *stream = state_->find(name);
        if (!stream || stream->close_when_written) { // it has ended: the process no longer reads
            if (state_->callbacks.on_written && !bytes.empty())
                state_->callbacks.on_written(name, bytes.size());
            return;
        }
        bool idle = stream->unwritten.empty();
        stream->unwritten += bytes;
        if (idle)
            state_->flush(*stream);
    }
    void close(std::string_view name) override
    {
        auto *stream = state_->find(name);
        if (!stream)
            return;
        if (stream->terminal)
            return write(name, end_of_input);
        stream->close_when_written = true;
        if (stream->unwritten.empty())
            state_->close_writing(*stream);
    }
    void resize_terminal(TerminalSize size) override
    {
        for (auto &stream : state_->streams)
            if (stream.terminal && stream.fd)
                set_terminal_size(stream.fd, size);
    }
    void set_reading(std::string_view name, bool reading) override { state_->set_reading(name, reading); }

private:
    std::shared_ptr<State> state_;
};

} // namespace

void PosixSpawner::kill_groups(const std::vector<int> &leaders)
{
    for (int leader : leaders)
        if (leader > 1)
            ::kill(-leader, SIGKILL);
}

std::unique_ptr<Process> PosixSpawner::spawn(ProcessSpec spec, ProcessCallbacks callbacks)
{
    auto state = std::make_shared<State>(loop_, stream_grace_, std::move(callbacks));
    state->own_group = spec.new_process_group || spec.terminal;
    auto launched = launch(std::move(spec));
    state->pid = launched.pid;
    for (auto &stream : launched.streams)
        state->streams.emplace_back(std::move(stream));
    // glibc 2.36 declares pidfd_open() without extern "C".
    state->pidfd = Fd(int(syscall(SYS_pidfd_open, state->pid, 0)));
    if (!state->pidfd) {
        int errnum = errno;
        state->kill_group(SIGKILL);
        waitpid(state->pid, nullptr, 0);
        throw Error(errnum, "cannot watch process {}: {}", state->pid, errno_text(errnum));
    }
    state->watch_all();
    return std::make_unique<PosixProcess>(std::move(state));
}

} // namespace flux
