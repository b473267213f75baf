#include "broker/local_server.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/message/codec.hpp"

namespace flux {

namespace {

constexpr int listen_backlog = 512;
// Bytes per read(2). What they lead to is done before others have their turn: who sends much that costs much is
// read in small pieces.
constexpr size_t most_read = 64 << 10;
constexpr size_t least_read = 4 << 10;
constexpr Duration longest_turn = std::chrono::milliseconds(3);
constexpr const char *log_name = "connector-local";

sockaddr_un address_of(const std::string &path)
{
    sockaddr_un address {};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        throw Error(ENAMETOOLONG,
                    "the socket path {} has {} bytes, at most {} are possible: choose a shorter rundir", path,
                    path.size(), sizeof address.sun_path - 1);
    std::copy(path.begin(), path.end(), address.sun_path);
    return address;
}

// A socket that nobody listens on any more is removed; a broker that lives keeps its own.
void make_room(const std::string &path, const sockaddr_un &address)
{
    struct stat info {};
    if (lstat(path.c_str(), &info) != 0)
        return; // bind() says what is wrong with the path
    if (!S_ISSOCK(info.st_mode))
        throw Error(EEXIST,
                    "{} is no socket, and in the way of the broker's: move it away, or choose another rundir",
                    path);
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int result =
        probe < 0 ? -1 : connect(probe, reinterpret_cast<const sockaddr *>(&address), sizeof address);
    int errnum = result < 0 ? errno : 0;
    if (probe >= 0)
        close(probe);
    if (errnum == 0 || errnum == EAGAIN) // its backlog is full
        throw Error(
            EADDRINUSE,
            "a broker answers at {} already: end it first (flux shutdown local://{}), or choose another "
            "rundir with -Srundir=PATH",
            path, path);
    if (errnum != ECONNREFUSED)
        throw Error(errnum, "cannot see whether a broker answers at {}: {}: remove it if none does", path,
                    errno_text(errnum));
    unlink(path.c_str());
}

bool out_of_descriptors(int errnum)
{
    return errnum == EMFILE || errnum == ENFILE || errnum == ENOBUFS || errnum == ENOMEM;
}

} // namespace

class LocalServer::Client {
public:
    Client(LocalServer &server, uint64_t number, int fd, Credentials credentials)
        : server_(server), number_(number), fd_(fd), credentials_(credentials),
          id_(server.broker_.platform().random->uuid()),
          max_kept_(is_guest() ? server.limits_.guest_buffer : server.limits_.owner_buffer),
          reader_(max_kept_)
    {
        server.broker_.router().add_peer({id_, PeerKind::client, [this](Message message) {
                                              send(message);
                                          }});
        watch_ =
            server.broker_.platform().loop->watch_fd(fd_, true, false, [this](bool readable, bool writable) {
                if (writable)
                    flush();
                if (readable)
                    read_some();
            });
    }
    ~Client()
    {
        watch_.reset();
        close(fd_);
        closed_ = true;
        server_.broker_.router().remove_peer(id_);
    }
    bool is_guest() const { return !credentials_.is_owner(); }

private:
    void send(const Message &message)
    {
        if (closed_)
            return;
        if (message.is_event() && message.has(message_flag::private_) && is_guest() &&
            message.credentials.userid != credentials_.userid)
            return;
        bool idle = unsent_.empty();
        encode_message(message, unsent_, true);
        if (unsent_.size() > max_kept_)
            return give_up(fmt::format("it does not read what it is sent: {} bytes wait, at most {} may",
                                       unsent_.size(), max_kept_));
        // Written at the end of this turn: answers to pipelined requests share one write.
        if (idle)
            server_.broker_.platform().loop->post([this, alive = alive_] {
                if (*alive)
                    flush();
            });
    }
    void flush()
    {
        size_t sent = 0;
        while (sent < unsent_.size()) {
            ssize_t n =
                ::send(fd_, unsent_.data() + sent, unsent_.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
                break;
            if (n < 0)
                return give_up({});
            sent += size_t(n);
        }
        unsent_.erase(0, sent);
        watch_->set(true, !unsent_.empty());
    }
    void read_some()
    {
        char buffer[most_read];
        choose_chunk();
        ssize_t n = recv(fd_, buffer, chunk_, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0)
            return give_up({});
        more_waits_ = size_t(n) == chunk_;
        reader_.append({buffer, size_t(n)});
        for (;;) {
            auto message = reader_.next();
            if (!message)
                return give_up(message.error().text());
            if (!*message)
                return;
            receive(std::move(**message));
            if (closed_)
                return;
        }
    }
    // By how long it took to come here again, when there was more to read all the time.
    void choose_chunk()
    {
        auto before = std::exchange(last_read_, server_.broker_.platform().loop->now());
        if (more_waits_ && last_read_ - before > longest_turn)
            chunk_ = std::max(chunk_ / 2, least_read);
        else if (last_read_ - before < longest_turn / 2)
            chunk_ = std::min(chunk_ * 2, most_read);
    }
    void receive(Message message)
    {
        // Only the owner may speak for somebody else; everybody else is who the kernel says.
        bool asserts = message.credentials.userid != userid_unknown;
        uint32_t asserted_roles = message.credentials.rolemask;
        if (is_guest() || !asserts)
            message.credentials = {credentials_.userid, credentials_.rolemask};
        else
            message.credentials.rolemask = asserted_roles ? asserted_roles : credentials_.rolemask;
        // Nor from behind somebody else: the first hop is who a request or event is from. (An owner's proxy
        // has hops.)
        if (is_guest() && !message.is_response())
            message.route.clear();
        server_.broker_.router().receive(id_, std::move(message));
    }
    // Ends the connection from the top of the loop, saying why if it was the client's fault.
    void give_up(std::string why)
    {
        if (std::exchange(closed_, true))
            return;
        if (!why.empty())
            server_.broker_.log(LogLevel::warning, log_name,
                                fmt::format("client of uid {} dropped: {}", credentials_.userid, why));
        watch_->set(false, false);
        server_.broker_.platform().loop->post([&server = server_, number = number_, alive = alive_] {
            if (*alive)
                server.drop(number);
        });
    }

    struct Alive {
        std::shared_ptr<bool> flag = std::make_shared<bool>(true);
        ~Alive() { *flag = false; }
    } owner_of_alive_;
    LocalServer &server_;
    uint64_t number_;
    int fd_;
    Credentials credentials_;
    RouteId id_;
    size_t max_kept_; // bytes, each way
    FrameReader reader_;
    std::string unsent_;
    size_t chunk_ = most_read;
    bool more_waits_ = false;
    Duration last_read_ {};
    bool closed_ = false;
    std::shared_ptr<bool> alive_ = owner_of_alive_.flag;
    std::unique_ptr<Loop::FdWatch> watch_;
};

LocalServer::LocalServer(Broker &broker, std::string path, Limits limits)
    : broker_(broker), path_(std::move(path)), limits_(limits)
{
    auto address = address_of(path_);
    make_room(path_, address);
    fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd_ < 0 || bind(fd_, reinterpret_cast<sockaddr *>(&address), sizeof address) < 0 ||
        listen(fd_, listen_backlog) < 0) {
        int errnum = errno;
        if (fd_ >= 0)
            close(fd_);
        throw Error(errnum, "cannot listen on {}: {}: choose another rundir with -Srundir=PATH", path_,
                    errno_text(errnum));
    }
    chmod(path_.c_str(), 0777); // who may talk is decided by who connects, not by the file
    watch_ = broker.platform().loop->watch_fd(fd_, true, false, [this](bool, bool) { accept_one(); });
}

LocalServer::~LocalServer()
{
    watch_.reset();
    clients_.clear();
    close(fd_);
    unlink(path_.c_str());
}

void LocalServer::accept_one()
{
    int fd = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        if (out_of_descriptors(errno))
            pause_accepting(errno);
        return;
    }
    said_paused_ = false;
    Credentials credentials;
    auto verdict = uint8_t(refusal(fd, credentials));
    if (::send(fd, &verdict, 1, MSG_NOSIGNAL) != 1 || verdict != 0) {
        close(fd);
        return;
    }
    auto number = next_client_++;
    auto client = std::make_unique<Client>(*this, number, fd, credentials);
    guests_ += client->is_guest();
    clients_.emplace(number, std::move(client));
}

int LocalServer::refusal(int fd, Credentials &credentials)
{
    ucred peer {};
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        return EPERM;
    auto access = broker_.config()["access"];
    if (peer.uid == broker_.owner() || (peer.uid == 0 && access["allow-root-owner"] == Json(true)))
        credentials = {peer.uid, role::owner | role::local};
    else if (access["allow-guest-user"] == Json(true))
        credentials = {peer.uid, role::user | role::local};
    else
        return EPERM;
    if (clients_.size() >= limits_.connections)
        return refuse_full("", limits_.connections);
    if (!credentials.is_owner() && guests_ >= limits_.guest_connections)
        return refuse_full("of guests ", limits_.guest_connections);
    return 0;
}

int LocalServer::refuse_full(std::string_view whose, size_t limit)
{
    if (!std::exchange(said_full_, true))
        broker_.log(LogLevel::err, log_name,
                    fmt::format("{} connections {}are all that {} takes: others are refused until one ends",
                                limit, whose, path_));
    return EUSERS;
}

// The connection that cannot be accepted stays readable: it is not looked at until there may be a descriptor.
void LocalServer::pause_accepting(int errnum)
{
    if (!std::exchange(said_paused_, true))
        broker_.log(LogLevel::err, log_name,
                    fmt::format("{} has no descriptors for more connections ({}): they wait until one ends; "
                                "ulimit -n raises the limit",
                                path_, errno_text(errnum)));
    paused_ = true;
    watch_->set(false, false);
    pause_ = Timer(*broker_.platform().loop, limits_.accept_pause, [this] { resume_accepting(); });
}

void LocalServer::resume_accepting()
{
    if (!std::exchange(paused_, false))
        return;
    pause_.cancel();
    watch_->set(true, false);
}

void LocalServer::drop(uint64_t id)
{
    auto client = clients_.extract(id);
    if (!client)
        return;
    guests_ -= client.mapped()->is_guest();
    client.mapped().reset();
    said_full_ = false;
    resume_accepting();
}

} // namespace flux
