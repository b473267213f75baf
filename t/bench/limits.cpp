#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include <thread>

#include "bench/bench.hpp"
#include "common/base/error.hpp"

extern char **environ;

namespace flux::bench {

namespace {

constexpr size_t small = 64; // bytes of a message in a round trip

pid_t spawn_true()
{
    char program[] = "/bin/true";
    char *argv[] = {program, nullptr};
    pid_t pid = 0;
    if (int errnum = posix_spawn(&pid, program, nullptr, nullptr, argv, environ))
        throw Error(errnum, "cannot spawn {}", program);
    return pid;
}

void read_all(int fd, char *buffer, size_t size)
{
    while (size > 0) {
        ssize_t n = read(fd, buffer, size);
        if (n <= 0)
            throw Error(EIO, "a socket pair ended early");
        buffer += n;
        size -= size_t(n);
    }
}

void write_all(int fd, const char *buffer, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, buffer, size);
        if (n <= 0)
            throw Error(errno, "writing to a socket pair: {}", errno_text(errno));
        buffer += n;
        size -= size_t(n);
    }
}

struct SocketPair {
    SocketPair()
    {
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
            throw Error(errno, "socketpair: {}", errno_text(errno));
    }
    ~SocketPair()
    {
        close(fds[0]);
        close(fds[1]);
    }
    int fds[2];
};

} // namespace

double spawn_serial_ms(int count)
{
    double start = now();
    for (int i = 0; i < count; i++)
        waitpid(spawn_true(), nullptr, 0);
    return (now() - start) / count * 1e3;
}

double spawn_rate(int count, int at_once)
{
    double start = now();
    std::vector<pid_t> running;
    for (int i = 0; i < count; i++) {
        if (int(running.size()) == at_once) {
            waitpid(running.front(), nullptr, 0);
            running.erase(running.begin());
        }
        running.push_back(spawn_true());
    }
    for (pid_t pid : running)
        waitpid(pid, nullptr, 0);
    return count / (now() - start);
}

double xargs_rate(int count)
{
    auto done =
        run_program({"/bin/sh", "-c", "seq " + std::to_string(count) + " | xargs -P2 -n1 /bin/true"}, 60);
    return done.status == 0 ? count / done.seconds : 0;
}

double unix_round_trips(int count)
{
    SocketPair pair;
    std::thread echo([&] {
        char buffer[small];
        for (int i = 0; i < count; i++) {
            read_all(pair.fds[1], buffer, small);
            write_all(pair.fds[1], buffer, small);
        }
    });
    char buffer[small] = {};
    double start = now();
    for (int i = 0; i < count; i++) {
        write_all(pair.fds[0], buffer, small);
        read_all(pair.fds[0], buffer, small);
    }
    double rate = count / (now() - start);
    echo.join();
    return rate;
}

double unix_messages(int count)
{
    constexpr size_t message = 256, at_once = 256;
    SocketPair pair;
    int batches = count / int(at_once) + 1;
    std::thread reader([&] {
        std::vector<char> buffer(message * at_once);
        for (int i = 0; i < batches; i++)
            read_all(pair.fds[1], buffer.data(), buffer.size());
    });
    std::vector<char> buffer(message * at_once);
    double start = now();
    for (int i = 0; i < batches; i++)
        write_all(pair.fds[0], buffer.data(), buffer.size());
    reader.join();
    return double(batches) * at_once / (now() - start);
}

double zmq_round_trips(int count)
{
    void *context = zmq_ctx_new();
    std::string endpoint = "ipc://@flux-bench-" + std::to_string(getpid());
    void *server = zmq_socket(context, ZMQ_PAIR);
    zmq_bind(server, endpoint.c_str());
    std::thread echo([&] {
        char buffer[small];
        for (int i = 0; i < count; i++) {
            zmq_recv(server, buffer, small, 0);
            zmq_send(server, buffer, small, 0);
        }
    });
    void *client = zmq_socket(context, ZMQ_PAIR);
    zmq_connect(client, endpoint.c_str());
    char buffer[small] = {};
    double start = now();
    for (int i = 0; i < count; i++) {
        zmq_send(client, buffer, small, 0);
        zmq_recv(client, buffer, small, 0);
    }
    double rate = count / (now() - start);
    echo.join();
    zmq_close(client);
    zmq_close(server);
    zmq_ctx_term(context);
    return rate;
}

double fdatasyncs(const std::string &directory, int count)
{
    auto path = directory + "/fdatasync";
    int fd = open(path.c_str(), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        throw Error(errno, "cannot write {}: {}", path, errno_text(errno));
    char buffer[256] = {};
    double start = now();
    for (int i = 0; i < count; i++) {
        write_all(fd, buffer, sizeof buffer);
        fdatasync(fd);
    }
    double rate = count / (now() - start);
    close(fd);
    unlink(path.c_str());
    return rate;
}

} // namespace flux::bench
