// ZmqLinks: the links of a real broker. A ROUTER socket for the children, a DEALER to the parent, both with
// CURVE.
//
// One ZeroMQ frame carries one message, encoded as on a local socket (RFC 3 parts with lengths) without its
// frame header. Who may connect is decided by key, in a ZAP handler of our own on the broker's loop. A
// connection that closes is told by the sockets' monitors; the file descriptor that a child's messages came
// from says which child it was.
//
// Nothing here waits for a peer. What ZeroMQ does not take, because its queue for the peer is full, stands in
// an outbox. A child that takes nothing of its outbox for `child_patience` is lost, and so is any peer whose
// outbox is full. (One that takes what it is sent and says nothing is torpid: the overlay sees to that.)
#pragma once
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "broker/curve.hpp"
#include "common/message/codec.hpp"
#include "common/runtime/link.hpp"
#include "common/runtime/loop.hpp"

namespace flux {

class ZmqLinks : public Links {
public:
    // Bytes of one message: what a client may send, and the hops that are added on the way.
    static constexpr size_t max_link_message = max_message_size + max_route_hops * (RouteId::max_length + 1);

    struct Setup {
        std::string uuid; // the identity that the parent sees
        CurveKeys keys;
        int io_threads = 1;
        int child_rcvhwm = 0;                           // messages of one child; 0: no limit
        Duration tcp_user_timeout = std::chrono::seconds(20); // zero: the system's own
        Duration connect_timeout = std::chrono::seconds(30);  // of one attempt; zero: the system's own
        bool ipv6 = false;
        int sndhwm = 16384;                                 // messages in ZeroMQ's queue for one peer
        size_t max_message = max_link_message;              // bytes; who sends more loses its connection
        size_t max_outbox = 2 * max_link_message;           // bytes that wait beyond that, for one peer
        Duration child_patience = std::chrono::seconds(60); // with a child that takes nothing
    };
    ZmqLinks(Loop &loop, Setup setup);
    ~ZmqLinks() override;

    // Takes in children at uri. The value is the uri with its port, when that was "*". Throws why it cannot.
    std::string bind(const std::string &uri);
    // Children with these public keys may connect.
    void allow(const std::string &public_key);
    // Connects to the parent, for as long as it takes.
    void connect(const LinkAddress &parent);

    void set_receiver(Receiver *receiver) override { receiver_ = receiver; }
    void send_to_parent(const Message &message) override;
    void send_to_child(const RouteId &child, const Message &message) override;
    void drop_child(const RouteId &child) override;
    void close() override;

private:
    class Socket;
    enum class Sent { yes, full, gone };
    struct Outbox {
        std::deque<std::string> messages;
        size_t bytes = 0;
        Duration since {}; // nothing has been taken
    };
    struct Child {
        int fd = -1; // of the connection, as the monitor names it
        bool dropped = false;
        Outbox outbox;
    };
    void read_children();
    void read_parent();
    struct Event {
        uint16_t number = 0;
        uint32_t value = 0;
    };
    std::optional<Event> next_event(Socket &monitor);
    void read_parent_monitor();
    void authenticate();
    Child &find_child(const RouteId &id, int fd);
    void collect_losses();
    void tell_lost_children();
    void child_gone(int fd);
    void lose_child(const RouteId &id, const std::string &why);
    void lose_parent(const std::string &why);
    std::string encode(const Message &message, std::optional<RouteId> child);
    bool send_or_keep(Socket &socket, std::string_view to, Outbox &outbox, std::string bytes);
    bool send_kept(Socket &socket, std::string_view to, Outbox &outbox);
    void send_kept_to_children();
    void try_later();
    std::unique_ptr<Socket> make_socket(int type);

    Loop &loop_;
    Setup setup_;
    void *context_ = nullptr;
    Receiver *receiver_ = nullptr;
    std::set<std::string> allowed_;
    std::map<RouteId, Child> children_;
    std::set<int> lost_fds_; // connections that are gone, not told yet
    std::string socket_path_; // of an ipc:// endpoint
    bool parent_gone_ = false;
    std::set<RouteId> waiting_; // children with something in their outbox
    Outbox parent_outbox_;
    Timer retry_;
    bool retrying_ = false;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
    std::unique_ptr<Socket> zap_, router_, router_monitor_, dealer_, dealer_monitor_;
};

} // namespace flux
