#include "common/subprocess/launch.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>

#include <algorithm>

#include "common/base/error.hpp"
#include "common/subprocess/program_path.hpp"

namespace flux {

namespace {

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

class Launch {
public:
    explicit Launch(ProcessSpec &spec)
        : spec_(spec), arguments_(spec.new_process_group, spec.terminal.has_value())
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

    std::vector<ChildStream> take_streams() { return std::move(streams_); }

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
        auto &stream = streams_.emplace_back();
        stream.name = name;
        stream.reads = !to_child;
        stream.writes = to_child;
        stream.fd = std::move(to_child ? write_end : read_end);
        give(std::move(to_child ? read_end : write_end), number);
    }

    // The leader of a session gets the first terminal that it opens (tty_ioctl(4)): the child opens it by its
    // name.
    void add_terminal()
    {
        char name[64];
        Fd ours(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
        if (!ours || grantpt(ours.get()) < 0 || unlockpt(ours.get()) < 0 ||
            ptsname_r(ours.get(), name, sizeof name) != 0)
            cannot_create("a pseudo-terminal");
        set_terminal_size(ours, *spec_.terminal);
        Fd childs(open(name, O_RDWR | O_NOCTTY | O_CLOEXEC));
        if (!childs)
            cannot_create("a pseudo-terminal");
        posix_spawn_file_actions_addopen(&arguments_.actions, 0, name, O_RDWR, 0);
        arguments_.dup(0, 1);
        arguments_.dup(0, 2);
        auto &stream = streams_.emplace_back();
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
        auto &stream = streams_.emplace_back();
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

    ProcessSpec &spec_;
    SpawnArguments arguments_;
    std::vector<ChildStream> streams_;
    std::vector<Fd> childs_;
};

} // namespace

void set_terminal_size(const Fd &terminal, TerminalSize size)
{
    winsize size_of_window {.ws_row = size.rows, .ws_col = size.columns, .ws_xpixel = 0, .ws_ypixel = 0};
    ioctl(terminal.get(), TIOCSWINSZ, &size_of_window);
}

Launched launch(ProcessSpec spec)
{
    if (spec.inherit_environment)
        add_own_environment(spec.environment);
    Launch launch(spec);
    launch.add_streams();
    pid_t pid = launch.start();
    return {pid, launch.take_streams()};
}

} // namespace flux
