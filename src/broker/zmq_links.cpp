#include "broker/zmq_links.hpp"

#include <unistd.h>
#include <zmq.h>

#include <array>
#include <cstring>

#include "common/message/codec.hpp"

namespace flux {

namespace {

constexpr int linger_ms = 500;          // how long close() waits for the last messages to leave
constexpr int reconnect_ms = 20;        // between attempts to reach a parent that is not there yet, at first
constexpr int max_reconnect_ms = 2000;  // and in the end
constexpr int max_messages_a_turn = 256; // of one socket, before others get their turn
// For outboxes, if ZeroMQ does not wake us before.
constexpr Duration retry_interval = std::chrono::milliseconds(100);
constexpr int64_t curve_overhead = 64; // bytes at most that encryption adds to a message
constexpr const char *zap_domain = "flux";

// One frame that is being received.
class Frame {
public:
    Frame() { zmq_msg_init(&message_); }
    ~Frame() { zmq_msg_close(&message_); }
    Frame(const Frame &) = delete;
    bool receive(void *socket) { return zmq_msg_recv(&message_, socket, ZMQ_DONTWAIT) >= 0; }
    bool more() const { return zmq_msg_more(&message_); }
    std::string_view bytes() { return {static_cast<char *>(zmq_msg_data(&message_)), zmq_msg_size(&message_)}; }
    int source_fd() { return zmq_msg_get(&message_, ZMQ_SRCFD); }

private:
    zmq_msg_t message_;
};

int milliseconds(Duration duration)
{
    return int(std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
}

} // namespace

// A ZeroMQ socket and its place in the loop. ZeroMQ's descriptor is edge triggered, and sending may take an edge away: so
// after every send and every read the socket is looked at once more, from the top of the loop.
class ZmqLinks::Socket {
public:
    Socket(Loop &loop, void *context, int type)
        : loop_(loop), context_(context), socket_(zmq_socket(context, type))
    {
        if (!socket_)
            throw Error(errno, "a ZeroMQ socket cannot be made: {}", zmq_strerror(errno));
        set(ZMQ_LINGER, linger_ms);
    }
    ~Socket()
    {
        *alive_ = false;
        watch_.reset();
        if (monitored_) // or ZeroMQ leaks an event for which there is no reader any more
            zmq_socket_monitor(socket_, nullptr, 0);
        zmq_close(socket_);
    }
    void *get() const { return socket_; }
    // A socket that reads what happens to the connections of this one.
    std::unique_ptr<Socket> monitor(const char *uri, int events)
    {
        zmq_socket_monitor(socket_, uri, events);
        monitored_ = true;
        auto reader = std::make_unique<Socket>(loop_, context_, ZMQ_PAIR);
        zmq_connect(reader->get(), uri);
        return reader;
    }
    void set(int option, int value) { set(option, &value, sizeof value); }
    void set(int option, int64_t value) { set(option, &value, sizeof value); }
    void set(int option, const std::string &value) { set(option, value.data(), value.size()); }
    void set(int option, const void *value, size_t size)
    {
        if (zmq_setsockopt(socket_, option, value, size) != 0)
            throw Error(errno, "ZeroMQ option {}: {}", option, zmq_strerror(errno));
    }
    bool readable() const
    {
        int events = 0;
        size_t size = sizeof events;
        return zmq_getsockopt(socket_, ZMQ_EVENTS, &events, &size) == 0 && (events & ZMQ_POLLIN);
    }
    // At every look, `send` has its turn first.
    void watch(std::function<void()> read, std::function<void()> send = {})
    {
        read_ = std::move(read);
        send_ = std::move(send);
        int fd = -1;
        size_t size = sizeof fd;
        zmq_getsockopt(socket_, ZMQ_FD, &fd, &size);
        watch_ = loop_.watch_fd(fd, true, false, [this](bool, bool) { look(); });
        look_again();
    }
    void look_again()
    {
        if (std::exchange(scheduled_, true))
            return;
        loop_.post([this, alive = alive_] {
            if (!*alive)
                return;
            scheduled_ = false;
            look();
        });
    }
    // Whole or not at all, and at once: full when its queue is, gone when the peer is not there.
    Sent send(std::string_view first, std::string_view rest)
    {
        auto sent = send_unlooked(first, rest);
        if (watch_)
            look_again();
        return sent;
    }
    // The same from inside a look.
    Sent send_unlooked(std::string_view first, std::string_view rest)
    {
        bool sent =
            first.empty() || zmq_send(socket_, first.data(), first.size(), ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0;
        sent = sent && zmq_send(socket_, rest.data(), rest.size(), ZMQ_DONTWAIT) >= 0;
        return sent ? Sent::yes : zmq_errno() == EAGAIN ? Sent::full : Sent::gone;
    }

private:
    void look()
    {
        auto alive = alive_;
        if (send_)
            send_();
        if (!*alive || !readable())
            return;
        read_();
        if (*alive)
            look_again();
    }
    Loop &loop_;
    void *context_;
    void *socket_;
    bool monitored_ = false;
    std::function<void()> read_, send_;
    std::unique_ptr<Loop::FdWatch> watch_;
    bool scheduled_ = false;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

ZmqLinks::ZmqLinks(Loop &loop, Setup setup) : loop_(loop), setup_(std::move(setup)), context_(zmq_ctx_new())
{
    FLUX_ASSERT(context_);
    zmq_ctx_set(context_, ZMQ_IO_THREADS, setup_.io_threads);
}

ZmqLinks::~ZmqLinks()
{
    *alive_ = false;
    close();
    zmq_ctx_term(context_);
    if (!socket_path_.empty())
        unlink(socket_path_.c_str());
}

std::unique_ptr<ZmqLinks::Socket> ZmqLinks::make_socket(int type)
{
    auto socket = std::make_unique<Socket>(loop_, context_, type);
    socket->set(ZMQ_SNDHWM, setup_.sndhwm);
    socket->set(ZMQ_MAXMSGSIZE, int64_t(setup_.max_message) + curve_overhead);
    socket->set(ZMQ_RCVHWM, type == ZMQ_ROUTER ? setup_.child_rcvhwm : 0);
    socket->set(ZMQ_IPV6, setup_.ipv6);
    socket->set(ZMQ_CURVE_SECRETKEY, setup_.keys.secret_key);
    if (setup_.tcp_user_timeout > Duration::zero())
        socket->set(ZMQ_TCP_MAXRT, milliseconds(setup_.tcp_user_timeout));
    return socket;
}

// --- children

std::string ZmqLinks::bind(const std::string &uri)
{
    zap_ = std::make_unique<Socket>(loop_, context_, ZMQ_REP);
    if (zmq_bind(zap_->get(), "inproc://zeromq.zap.01") != 0)
        throw Error(errno, "the handler of CURVE authentication cannot be bound: {}", zmq_strerror(errno));
    zap_->watch([this] { authenticate(); });
    router_ = make_socket(ZMQ_ROUTER);
    router_->set(ZMQ_CURVE_SERVER, 1);
    router_->set(ZMQ_ZAP_DOMAIN, std::string(zap_domain));
    router_->set(ZMQ_ROUTER_MANDATORY, 1);
    router_monitor_ = router_->monitor("inproc://children.monitor", ZMQ_EVENT_DISCONNECTED);
    if (zmq_bind(router_->get(), uri.c_str()) != 0)
        throw Error(errno, "cannot take in children at {}: {}", uri, zmq_strerror(errno));
    router_monitor_->watch([this] { tell_lost_children(); });
    router_->watch([this] { read_children(); }, [this] { send_kept_to_children(); });
    std::array<char, 512> endpoint {};
    size_t size = endpoint.size();
    zmq_getsockopt(router_->get(), ZMQ_LAST_ENDPOINT, endpoint.data(), &size);
    if (constexpr std::string_view ipc = "ipc://"; uri.starts_with(ipc))
        socket_path_ = uri.substr(ipc.size());
    return endpoint.data();
}

void ZmqLinks::allow(const std::string &public_key)
{
    uint8_t key[curve_key_bytes];
    if (public_key.size() != 40 || !zmq_z85_decode(key, public_key.c_str()))
        throw Error(EINVAL, "\"{}\" is not a CURVE public key (Z85, 40 characters)", public_key);
    allowed_.emplace(reinterpret_cast<char *>(key), curve_key_bytes);
}

// ZAP (ZeroMQ RFC 27): version, request id, domain, address, identity, mechanism, credentials.
void ZmqLinks::authenticate()
{
    std::vector<std::string> request;
    for (bool more = true; more;) {
        Frame frame;
        if (!frame.receive(zap_->get()))
            return;
        request.emplace_back(frame.bytes());
        more = frame.more();
    }
    bool accepted = request.size() == 7 && request[2] == zap_domain && request[5] == "CURVE" &&
                    allowed_.contains(request[6]);
    std::string_view reply[] = {"1.0",
                                request.size() > 1 ? std::string_view(request[1]) : std::string_view(),
                                accepted ? "200" : "400",
                                accepted ? "OK" : "the key is not one of this instance",
                                "",
                                ""};
    for (auto &part : reply)
        zmq_send(zap_->get(), part.data(), part.size(), &part == std::end(reply) - 1 ? 0 : ZMQ_SNDMORE);
}

void ZmqLinks::read_children()
{
    for (int count = 0; router_ && count < max_messages_a_turn; count++) {
        Frame identity, body;
        if (!identity.receive(router_->get()))
            break;
        bool whole = identity.more() && body.receive(router_->get());
        for (bool more = whole && body.more(); more;) {
            Frame rest;
            more = rest.receive(router_->get()) && rest.more();
            whole = false;
        }
        auto name = identity.bytes();
        if (name.empty() || name.size() > RouteId::max_length)
            continue;
        RouteId id(name);
        if (find_child(id, body.source_fd()).dropped || !receiver_)
            continue;
        auto message = whole ? decode_message(body.bytes()) : fail(EPROTO, "a message of several frames");
        if (message)
            receiver_->from_child(id, std::move(*message));
        else
            lose_child(id, message.error().text());
    }
    tell_lost_children();
}

// Descriptors are used again: the first message of a new connection ends whatever had its descriptor before, and the
// monitor, which is told of a loss before the descriptor is free, is asked first.
ZmqLinks::Child &ZmqLinks::find_child(const RouteId &id, int fd)
{
    auto &child = children_[id];
    if (child.fd == fd)
        return child;
    collect_losses();
    if (lost_fds_.erase(fd))
        child_gone(fd);
    child.fd = fd;
    return child;
}

void ZmqLinks::collect_losses()
{
    while (auto event = next_event(*router_monitor_))
        lost_fds_.insert(int(event->value));
}

// What a child sent before it was lost is delivered before its loss is told.
void ZmqLinks::tell_lost_children()
{
    if (!router_)
        return;
    collect_losses();
    if (!lost_fds_.empty() && router_->readable())
        return router_->look_again();
    for (int fd : std::exchange(lost_fds_, {}))
        child_gone(fd);
}

void ZmqLinks::child_gone(int fd)
{
    for (auto at = children_.begin(); at != children_.end(); ++at)
        if (at->second.fd == fd) {
            auto id = at->first;
            bool tell = !at->second.dropped && receiver_;
            children_.erase(at);
            waiting_.erase(id);
            if (tell)
                receiver_->child_lost(id, "the connection was closed");
            return;
        }
}

void ZmqLinks::lose_child(const RouteId &id, const std::string &why)
{
    auto found = children_.find(id);
    if (found == children_.end() || std::exchange(found->second.dropped, true))
        return;
    found->second.outbox = {};
    waiting_.erase(id);
    if (receiver_)
        receiver_->child_lost(id, why);
}

void ZmqLinks::send_to_child(const RouteId &child, const Message &message)
{
    if (!router_)
        return;
    auto bytes = encode(message, child);
    auto found = children_.find(child);
    if (bytes.empty() || found == children_.end())
        return;
    auto &outbox = found->second.outbox;
    bool room = send_or_keep(*router_, child.text(), outbox, std::move(bytes));
    if (!outbox.messages.empty())
        waiting_.insert(child);
    if (!room)
        loop_.post([this, alive = alive_, child, waiting = outbox.bytes] {
            if (*alive)
                lose_child(child, fmt::format("it does not take its messages: {} bytes wait", waiting));
        });
}

void ZmqLinks::send_kept_to_children()
{
    if (waiting_.empty())
        return;
    std::vector<RouteId> stuck;
    std::erase_if(waiting_, [&](const RouteId &id) {
        auto &child = children_.at(id);
        if (send_kept(*router_, id.text(), child.outbox))
            return true;
        if (loop_.now() - child.outbox.since <= setup_.child_patience)
            return false;
        if (child.dropped)
            child.outbox = {};
        else
            stuck.push_back(id);
        return child.dropped;
    });
    for (auto &id : stuck)
        lose_child(id, fmt::format("it has taken no message for {} s", to_seconds(setup_.child_patience)));
}

void ZmqLinks::drop_child(const RouteId &child)
{
    if (auto found = children_.find(child); found != children_.end())
        found->second.dropped = true;
}

// --- the parent

void ZmqLinks::connect(const LinkAddress &parent)
{
    dealer_ = make_socket(ZMQ_DEALER);
    dealer_->set(ZMQ_ROUTING_ID, setup_.uuid);
    dealer_->set(ZMQ_CURVE_PUBLICKEY, setup_.keys.public_key);
    dealer_->set(ZMQ_CURVE_SERVERKEY, parent.public_key);
    dealer_->set(ZMQ_RECONNECT_IVL, reconnect_ms);
    dealer_->set(ZMQ_RECONNECT_IVL_MAX, max_reconnect_ms);
    if (setup_.connect_timeout > Duration::zero())
        dealer_->set(ZMQ_CONNECT_TIMEOUT, milliseconds(setup_.connect_timeout));
    dealer_monitor_ = dealer_->monitor("inproc://parent.monitor",
                                       ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                                           ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                                           ZMQ_EVENT_HANDSHAKE_FAILED_AUTH);
    if (zmq_connect(dealer_->get(), parent.uri.c_str()) != 0)
        throw Error(errno, "cannot connect to the parent at {}: {}", parent.uri, zmq_strerror(errno));
    dealer_monitor_->watch([this] { read_parent_monitor(); });
    dealer_->watch([this] { read_parent(); }, [this] { send_kept(*dealer_, {}, parent_outbox_); });
}

void ZmqLinks::read_parent()
{
    for (int count = 0; dealer_ && count < max_messages_a_turn; count++) {
        Frame body;
        if (!body.receive(dealer_->get()))
            return;
        if (parent_gone_ || !receiver_)
            continue;
        auto message = decode_message(body.bytes());
        if (message)
            receiver_->from_parent(std::move(*message));
        else
            lose_parent(message.error().text());
    }
}

void ZmqLinks::lose_parent(const std::string &why)
{
    parent_outbox_ = {};
    if (!std::exchange(parent_gone_, true) && receiver_)
        receiver_->parent_lost(why);
}

void ZmqLinks::send_to_parent(const Message &message)
{
    if (!dealer_ || parent_gone_)
        return;
    auto bytes = encode(message, std::nullopt);
    if (bytes.empty() || send_or_keep(*dealer_, {}, parent_outbox_, std::move(bytes)))
        return;
    loop_.post([this, alive = alive_] {
        if (*alive)
            lose_parent(fmt::format("it does not take its messages: {} bytes wait", parent_outbox_.bytes));
    });
}

// --- what goes out

// Empty when nothing is to be sent. A message that is too large would cost the link, and with it the subtree:
// whoever waits for it, or for an answer to it, gets an error instead.
std::string ZmqLinks::encode(const Message &message, std::optional<RouteId> child)
{
    std::string bytes;
    encode_message(message, bytes, false);
    if (bytes.size() <= setup_.max_message)
        return bytes;
    auto refusal = Message::error_response_to(
        message, Error(EMSGSIZE,
                       "{}: a message of {} bytes, and at most {} go from one broker to the next: ask for "
                       "less, or in parts",
                       message.topic, bytes.size(), setup_.max_message));
    refusal.credentials = {userid_unknown, role::owner};
    bytes.clear();
    if (message.is_response())
        encode_message(refusal, bytes, false);
    else if (message.wants_response())
        loop_.post([this, alive = alive_, child, refusal = std::move(refusal)]() mutable {
            if (!*alive || !receiver_)
                return;
            if (child)
                receiver_->from_child(*child, std::move(refusal));
            else
                receiver_->from_parent(std::move(refusal));
        });
    return bytes;
}

// False when more waits than may.
bool ZmqLinks::send_or_keep(Socket &socket, std::string_view to, Outbox &outbox, std::string bytes)
{
    if (outbox.messages.empty()) {
        if (socket.send(to, bytes) != Sent::full)
            return true; // or gone: the monitor tells
        outbox.since = loop_.now();
    }
    outbox.bytes += bytes.size();
    outbox.messages.push_back(std::move(bytes));
    try_later();
    return outbox.bytes <= setup_.max_outbox;
}

// From inside a look. True when nothing waits any more.
bool ZmqLinks::send_kept(Socket &socket, std::string_view to, Outbox &outbox)
{
    if (!outbox.messages.empty())
        socket.readable(); // lets ZeroMQ see which queues have room again
    while (!outbox.messages.empty()) {
        if (socket.send_unlooked(to, outbox.messages.front()) == Sent::full)
            return false;
        outbox.bytes -= outbox.messages.front().size();
        outbox.messages.pop_front();
        outbox.since = loop_.now();
    }
    return true;
}

void ZmqLinks::try_later()
{
    if (std::exchange(retrying_, true))
        return;
    retry_ = Timer(loop_, retry_interval, [this] {
        retrying_ = false;
        if (router_)
            router_->look_again();
        if (dealer_)
            dealer_->look_again();
        if (!waiting_.empty() || !parent_outbox_.messages.empty())
            try_later();
    });
}

// --- what is lost

// An event is two frames: u16 number and u32 value (the descriptor, or a reason), then the endpoint.
std::optional<ZmqLinks::Event> ZmqLinks::next_event(Socket &monitor)
{
    Frame frame, endpoint;
    if (!frame.receive(monitor.get()) || !frame.more() || !endpoint.receive(monitor.get()))
        return std::nullopt;
    Event event;
    FLUX_ASSERT(frame.bytes().size() == sizeof event.number + sizeof event.value);
    std::memcpy(&event.number, frame.bytes().data(), sizeof event.number);
    std::memcpy(&event.value, frame.bytes().data() + sizeof event.number, sizeof event.value);
    return event;
}

void ZmqLinks::read_parent_monitor()
{
    while (auto event = next_event(*dealer_monitor_)) {
        while (dealer_->readable()) // what came before
            read_parent();
        lose_parent(event->number == ZMQ_EVENT_DISCONNECTED ? "the connection was closed"
                                                            : "the parent does not accept this broker's key");
    }
}

void ZmqLinks::close()
{
    receiver_ = nullptr;
    retry_.cancel();
    if (router_)
        send_kept_to_children();
    if (dealer_)
        send_kept(*dealer_, {}, parent_outbox_);
    dealer_.reset();
    dealer_monitor_.reset();
    router_.reset();
    router_monitor_.reset();
    zap_.reset();
}

} // namespace flux
