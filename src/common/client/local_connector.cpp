#include "common/client/local_connector.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace flux {

namespace {

constexpr std::string_view scheme = "local://";
constexpr size_t read_chunk = 64u << 10;   // bytes asked of the kernel at once
constexpr size_t reads_per_wakeup = 16;    // so that a busy peer does not starve the loop
constexpr size_t compact_above = 1u << 20; // written bytes kept in front of the queue before it is moved down

std::string path_of(std::string_view uri)
{
    if (!uri.starts_with(scheme) || uri.size() == scheme.size())
        throw Error(EINVAL, "cannot connect to '{}': an instance's URI here has the form local:///PATH", uri);
    std::string path(uri.substr(scheme.size()));
    if (path.size() >= sizeof(sockaddr_un::sun_path))
        throw Error(ENAMETOOLONG, "cannot connect to {}: a socket's path has at most {} bytes, this one {}",
                    uri, sizeof(sockaddr_un::sun_path) - 1, path.size());
    return path;
}

[[noreturn]] void throw_connect_error(int errnum, std::string_view path)
{
    switch (errnum) {
    case ENOENT:
        throw Error(
            errnum,
            "cannot connect to {}{}: there is no such socket: the instance has ended or never was; start one "
            "with flux start, or set FLUX_URI to another's",
            scheme, path);
    case ECONNREFUSED:
        throw Error(
            errnum,
            "cannot connect to {}{}: no broker listens there: the instance has died; start one with flux "
            "start, or set FLUX_URI to another's",
            scheme, path);
    default:
        throw Error(errnum, "cannot connect to {}{}: {}: is FLUX_URI the one that was meant?", scheme, path,
                    errno_text(errnum));
    }
}

// What the broker's first byte says, and what can be done.
[[noreturn]] void throw_refusal(int errnum, std::string_view path)
{
    std::string_view remedy = "the log of that broker says more (flux dmesg)";
    switch (errnum) {
    case EPERM:
        remedy = "it belongs to another user, who may let you in with access.allow-guest-user = true in its "
                 "configuration";
        break;
    case EUSERS:
        remedy = "it has as many connections as it takes; try again when some have ended";
        break;
    case ECONNRESET:
        remedy =
            "it hung up before it answered, and may be about to end; try again, or look whether the instance "
            "still runs";
        break;
    }
    throw Error(errnum, "the broker at {}{} refuses this connection: {}: {}", scheme, path,
                errno_text(errnum), remedy);
}

int connect_to(const std::string &path)
{
    int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        throw Error(errno, "cannot make a socket: {}", errno_text(errno));
    sockaddr_un address {};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    while (::connect(fd, reinterpret_cast<sockaddr *>(&address), sizeof(address)) < 0) {
        int errnum = errno;
        if (errnum == EINTR)
            continue;
        ::close(fd);
        throw_connect_error(errnum, path);
    }
    return fd;
}

// The broker's first byte: 0, or an errno with which it refuses us.
int read_accept_byte(int fd)
{
    unsigned char answer = 0;
    ssize_t n;
    do
        n = ::read(fd, &answer, 1);
    while (n < 0 && errno == EINTR);
    if (n == 0)
        return ECONNRESET;
    return n < 0 ? errno : answer;
}

} // namespace

LocalConnector::LocalConnector(Loop &loop, std::string_view uri) : loop_(loop), path_(path_of(uri))
{
    int fd = connect_to(path_);
    if (int refusal = read_accept_byte(fd)) {
        ::close(fd);
        throw_refusal(refusal, path_);
    }
    ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
    fd_ = fd;
}

LocalConnector::~LocalConnector()
{
    *alive_ = false;
    watch_.reset();
    if (fd_ >= 0)
        ::close(fd_);
}

void LocalConnector::start(MessageFn on_message, LostFn on_lost)
{
    on_message_ = std::move(on_message);
    on_lost_ = std::move(on_lost);
    watch_ = loop_.watch_fd(fd_, true, watching_write_,
                            [this](bool readable, bool writable) { ready(readable, writable); });
}

void LocalConnector::send(const Message &message)
{
    if (lost_)
        return;
    encode_message(message, out_, true);
    if (!watching_write_)
        write_some();
}

bool LocalConnector::flush(Duration timeout)
{
    Duration deadline = loop_.now() + timeout;
    while (!lost_ && written_ < out_.size()) {
        Duration left = deadline - loop_.now();
        if (left <= Duration::zero())
            return false;
        pollfd poll_fd {fd_, POLLOUT, 0};
        ::poll(&poll_fd, 1, int(std::chrono::ceil<std::chrono::milliseconds>(left).count()));
        write_some();
    }
    return !lost_;
}

void LocalConnector::ready(bool readable, bool writable)
{
    auto alive = alive_;
    if (writable)
        write_some();
    if (readable && *alive && !lost_)
        read_some();
}

void LocalConnector::read_some()
{
    auto alive = alive_;
    char chunk[read_chunk];
    for (size_t i = 0; i < reads_per_wakeup; i++) {
        ssize_t n = ::read(fd_, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0)
            return lose(Error(ECONNRESET, "lost the connection to the broker at {}", path_));
        reader_.append({chunk, size_t(n)});
        while (true) {
            auto message = reader_.next();
            if (!message)
                return lose(Error(EPROTO, "the peer at {} does not speak the protocol of a broker: {}", path_,
                                  message.error().what()));
            if (!*message)
                break;
            on_message_(std::move(**message));
            if (!*alive || lost_)
                return;
        }
        if (size_t(n) < sizeof(chunk))
            return;
    }
}

void LocalConnector::write_some()
{
    while (written_ < out_.size()) {
        ssize_t n = ::send(fd_, out_.data() + written_, out_.size() - written_, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0)
            return lose(
                Error(ECONNRESET, "lost the connection to the broker at {}: {}", path_, errno_text(errno)));
        written_ += size_t(n);
    }
    if (written_ == out_.size()) {
        out_.clear();
        written_ = 0;
    } else if (written_ > compact_above) {
        out_.erase(0, written_);
        written_ = 0;
    }
    bool want = !out_.empty();
    if (want != watching_write_) {
        watching_write_ = want;
        if (watch_)
            watch_->set(true, want);
    }
}

void LocalConnector::lose(Error error)
{
    if (lost_)
        return;
    lost_ = true;
    if (watch_)
        watch_->set(false, false);
    out_.clear();
    written_ = 0;
    // From the top of the loop: whoever is sending just now must not find its RPCs failed under its feet.
    loop_.post([this, alive = alive_, error = std::move(error)] {
        if (*alive && on_lost_)
            on_lost_(error);
    });
}

} // namespace flux
