#include "common/subprocess/posix_spawner.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <termios.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <list>
#include <utility>

#include "common/base/error.hpp"
#include "common/subprocess/program_path.hpp"

namespace flux {

namespace {

constexpr size_t read_size = 64 * 1024; // bytes per read(2): a Linux pipe's capacity
constexpr std::string_view end_of_input = "\x04"; // ^D, as it is typed
constexpr int last_reads = 16;          // of a stream that somebody keeps open when its process has ended

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

// The child inherits its copies by dup2 (which drops close-on-exec) onto numbers from here on.
constexpr int first_channel_fd = 3;
// The originals are kept away from the numbers they are copied to.
constexpr int lowest_original_fd = 32;

[[noreturn]] void cannot_create(const char *what)
{
    throw Error(errno, "cannot create {} for a new process: {}", what, errno_text(errno));
}

// For the child's side: a number that no dup2 overwrites.
Fd moved_up(Fd fd)
{
    int higher = fcntl(fd.get(), F_DUPFD_CLOEXEC, lowest_original_fd);
    if (higher < 0)
        cannot_create("a file descriptor");
    return Fd(higher);
}

void set_nonblocking(const Fd &fd)
{
    fcntl(fd.get(), F_SETFL, fcntl(fd.get(), F_GETFL) | O_NONBLOCK);
}

void set_size(const Fd &terminal, TerminalSize size)
{
    winsize size_of_window {.ws_row = size.rows, .ws_col = size.columns, .ws_xpixel = 0, .ws_ypixel = 0};
    ioctl(terminal.get(), TIOCSWINSZ, &size_of_window);
}

// posix_spawn's two argument objects, destroyed together.
struct SpawnArguments {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;

    SpawnArguments(bool new_group, bool new_session)
    {
        posix_spawn_file_actions_init(&actions);
        posix_spawnattr_init(&attributes);
        sigset_t set;
        sigemptyset(&set);
        posix_spawnattr_setsigmask(&attributes, &set);
        // exec(2) resets what is caught; only these may be ignored here, and each costs the child a system
        // call.
        for (int signum : {SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGTERM, SIGCHLD, SIGTSTP, SIGTTIN, SIGTTOU,
                           SIGUSR1, SIGUSR2})
            sigaddset(&set, signum);
        posix_spawnattr_setsigdefault(&attributes, &set);
        short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
        if (new_session) { // which brings a group of its own
            flags |= POSIX_SPAWN_SETSID;
        } else if (new_group) {
            posix_spawnattr_setpgroup(&attributes, 0);
            flags |= POSIX_SPAWN_SETPGROUP;
        }
        posix_spawnattr_setflags(&attributes, flags);
    }
    SpawnArguments(const SpawnArguments &) = delete;
    ~SpawnArguments()
    {
        posix_spawn_file_actions_destroy(&actions);
        posix_spawnattr_destroy(&attributes);
    }
    void dup(int from, int to) { posix_spawn_file_actions_adddup2(&actions, from, to); }
};

std::vector<char *> pointers(std::vector<std::string> &strings)
{
    std::vector<char *> out;
    out.reserve(strings.size() + 1);
    for (auto &string : strings)
        out.push_back(string.data());
    out.push_back(nullptr);
    return out;
}

void add_own_environment(std::vector<std::string> &environment)
{
    size_t given = environment.size();
    for (char **entry = environ; entry && *entry; ++entry) {
        std::string_view text(*entry);
        auto name = text.substr(0, text.find('=') + 1);
        bool overridden = std::any_of(environment.begin(), environment.begin() + ptrdiff_t(given),
                                      [&](const std::string &mine) { return mine.starts_with(name); });
        if (!overridden)
            environment.emplace_back(text);
    }
}

struct Stream {
    std::string name;
    bool reads = false;
    bool writes = false;
    bool socket = false;
    bool close_when_written = false;
    bool paused = false; // not read for now
    bool terminal = false;
    Fd other_end; // of a terminal: while we hold it, output ends with the process and not when it closes its own
    Fd fd;
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
                set_size(stream.fd, size);
    }
    void set_reading(std::string_view name, bool reading) override { state_->set_reading(name, reading); }

private:
    std::shared_ptr<State> state_;
};

// Everything between "these descriptors exist" and "the child has them".
class Launch {
public:
    Launch(State &state, ProcessSpec &spec) : state_(state), spec_(spec), arguments_(spec.new_process_group, spec.terminal.has_value())
    {
    }

    void add_streams()
    {
        if (spec_.terminal)
            add_terminal();
        else if (spec_.with_stdin)
            add_pipe("stdin", 0);
        else if (!spec_.inherit_stdin)
            posix_spawn_file_actions_addopen(&arguments_.actions, 0, "/dev/null", O_RDONLY, 0);
        if (spec_.capture_output && !spec_.terminal) {
            add_pipe("stdout", 1);
            add_pipe("stderr", 2);
        }
        int number = first_channel_fd;
        for (const auto &channel : spec_.channels)
            add_channel(channel, number++);
        posix_spawn_file_actions_addclosefrom_np(&arguments_.actions, number);
    }

    pid_t start()
    {
        auto path = find_program(spec_.argv.empty() ? "" : spec_.argv[0], spec_.environment, spec_.cwd);
        if (!spec_.cwd.empty()) {
            if (access(spec_.cwd.c_str(), X_OK) < 0)
                throw Error(errno, "cannot run {} in directory {}: {}", spec_.argv[0], spec_.cwd,
                            errno_text(errno));
            posix_spawn_file_actions_addchdir_np(&arguments_.actions, spec_.cwd.c_str());
        }
        auto argv = pointers(spec_.argv);
        auto environment = pointers(spec_.environment);
        pid_t pid = -1;
        int errnum = posix_spawn(&pid, path.c_str(), &arguments_.actions, &arguments_.attributes, argv.data(),
                                 environment.data());
        if (errnum == ENOEXEC) // a script without "#!": the shell's, as for execvp(3)
            errnum = start_script(pid, path, argv, environment);
        if (errnum)
            throw Error(errnum, "cannot run {}: {}", spec_.argv[0], errno_text(errnum));
        return pid;
    }

private:
    int start_script(pid_t &pid, std::string &path, std::vector<char *> argv,
                     std::vector<char *> &environment)
    {
        std::string shell = "/bin/sh";
        argv[0] = path.data();
        argv.insert(argv.begin(), shell.data());
        return posix_spawn(&pid, shell.c_str(), &arguments_.actions, &arguments_.attributes, argv.data(),
                           environment.data());
    }

    void add_pipe(const char *name, int number)
    {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) < 0)
            cannot_create("a pipe");
        Fd read_end(ends[0]), write_end(ends[1]);
        bool to_child = number == 0;
        auto &stream = state_.streams.emplace_back();
        stream.name = name;
        stream.reads = !to_child;
        stream.writes = to_child;
        stream.fd = std::move(to_child ? write_end : read_end);
        give(std::move(to_child ? read_end : write_end), number);
    }

    // The leader of a session gets the first terminal that it opens (tty_ioctl(4)): the child opens it by its name.
    void add_terminal()
    {
        char name[64];
        Fd ours(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
        if (!ours || grantpt(ours.get()) < 0 || unlockpt(ours.get()) < 0 ||
            ptsname_r(ours.get(), name, sizeof name) != 0)
            cannot_create("a pseudo-terminal");
        set_size(ours, *spec_.terminal);
        Fd childs(open(name, O_RDWR | O_NOCTTY | O_CLOEXEC));
        if (!childs)
            cannot_create("a pseudo-terminal");
        posix_spawn_file_actions_addopen(&arguments_.actions, 0, name, O_RDWR, 0);
        arguments_.dup(0, 1);
        arguments_.dup(0, 2);
        auto &stream = state_.streams.emplace_back();
        stream.name = "terminal";
        stream.reads = stream.writes = stream.terminal = true;
        stream.fd = std::move(ours);
        stream.other_end = std::move(childs);
    }

    void add_channel(const std::string &name, int number)
    {
        int ends[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
            cannot_create("a socket pair");
        Fd ours(ends[0]), childs(ends[1]);
        auto &stream = state_.streams.emplace_back();
        stream.name = name;
        stream.reads = stream.writes = stream.socket = true;
        stream.fd = std::move(ours);
        give(std::move(childs), number);
        std::erase_if(spec_.environment, [&](const auto &entry) { return entry.starts_with(name + "="); });
        spec_.environment.push_back(fmt::format("{}={}", name, number));
    }

    void give(Fd fd, int number)
    {
        if (fd.get() < lowest_original_fd)
            fd = moved_up(std::move(fd));
        arguments_.dup(fd.get(), number);
        childs_.push_back(std::move(fd));
    }

    State &state_;
    ProcessSpec &spec_;
    SpawnArguments arguments_;
    std::vector<Fd> childs_;
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
    if (spec.inherit_environment)
        add_own_environment(spec.environment);
    auto state = std::make_shared<State>(loop_, stream_grace_, std::move(callbacks));
    state->own_group = spec.new_process_group || spec.terminal;
    {
        Launch launch(*state, spec);
        launch.add_streams();
        state->pid = launch.start();
    }
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
