// Router (RFC 3): where each message goes next. Pure: it knows peers by identity and hands messages to their
// `send`; who they are (a module, a local client, a child or the parent broker) only decides what is asked of
// them.
//
// A request remembers the peers that it came through; the router remembers the requests that it handed to a
// peer and answers them itself (EHOSTUNREACH, or ENOSYS for a module) when that peer goes away. Nobody waits
// forever.
#pragma once
#include <cstring>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "broker/topology.hpp"
#include "common/message/message.hpp"

namespace flux {

enum class PeerKind { module, client, child, parent };

struct Peer {
    RouteId id;
    PeerKind kind = PeerKind::client;
    std::function<void(Message)> send;
    uint32_t rank = 0; // of a child or parent
};

class Router {
public:
    // What one client may make a broker remember. More is refused.
    static constexpr size_t max_service_length = 256;    // bytes of a service's name
    static constexpr size_t max_used_services = 1 << 16; // services, each on each rank
    static constexpr size_t max_subscriptions = 1024;    // different prefixes
    static constexpr size_t max_under_way = 1 << 18;     // requests that are not answered yet

    explicit Router(Topology topology) : topology_(topology) {}

    const Topology &topology() const { return topology_; }

    void add_peer(Peer peer); // EEXIST when the identity is taken
    // Forgets the peer, answers what waits for it, tells the services that it used (SERVICE.disconnect) and
    // drops its services and subscriptions. An unknown id does nothing.
    void remove_peer(const RouteId &id);
    const Peer *parent() const { return parent_; }
    const Peer *peer(const RouteId &id) const; // null when it is not (or no longer) connected

    // Requests to `name`.* on this broker go to the peer. EEXIST, ENOENT when there is no such peer.
    // EINVAL when the name is too long.
    void add_service(const std::string &name, const RouteId &owner);
    void remove_service(const std::string &name, const RouteId &owner); // ENOENT, EPERM when somebody else's
    bool has_service(std::string_view name) const { return services_.contains(name); }
    // Called when a service of this broker has come (true), or has gone and what waited for it is answered.
    void on_service(std::function<void(const std::string &name, bool there)> fn)
    {
        on_service_ = std::move(fn);
    }
    std::vector<std::string> services_of(const RouteId &owner) const;

    void subscribe(const RouteId &id, const std::string &prefix);   // EINVAL, ENOSPC: see the limits above
    void unsubscribe(const RouteId &id, const std::string &prefix); // ENOENT

    // A message that the peer sent. Credentials are already stamped. A response goes on only if the peer was
    // asked.
    void receive(const RouteId &from, Message message);
    // Publishes as this broker: to the root for its sequence number, then down. EINVAL for an event that
    // other brokers would not take for a message.
    void publish(Message event);
    uint32_t last_event_sequence() const { return event_sequence_; }
    // At the root, told of every event with its sequence number; event.publish answers with it.
    uint32_t publish_at_root(Message event);

private:
    struct HashRouteId { // identities are UUIDs: their beginning is as good as any hash
        size_t operator()(const RouteId &id) const
        {
            uint64_t head = 0;
            std::memcpy(&head, id.text().data(), std::min(sizeof head, id.text().size()));
            return head * 0x9e3779b97f4a7c15;
        }
    };
    struct Origin {
        RouteId sender;
        uint32_t matchtag;
        friend bool operator==(const Origin &, const Origin &) = default;
    };
    struct HashOrigin {
        size_t operator()(const Origin &origin) const
        {
            return HashRouteId()(origin.sender) + origin.matchtag * 0x9e3779b1u;
        }
    };
    struct Use {
        std::string service;
        uint32_t nodeid;
    };
    using UseView = std::pair<std::string_view, uint32_t>;
    static UseView view(const Use &use) { return {use.service, use.nodeid}; }
    static UseView view(const UseView &use) { return use; }
    struct HashUse {
        using is_transparent = void;
        size_t operator()(const auto &use) const
        {
            return std::hash<std::string_view>()(view(use).first) + view(use).second * 0x9e3779b1u;
        }
    };
    struct SameUse {
        using is_transparent = void;
        bool operator()(const auto &a, const auto &b) const { return view(a) == view(b); }
    };
    struct PeerState {
        Peer peer;
        std::map<std::string, int> subscriptions; // prefix -> how often
        // Requests under way to this peer: the request without its payload.
        std::unordered_map<Origin, Message, HashOrigin> expected;
        // What a module or client has sent requests to: it is told when the peer is gone.
        std::unordered_set<Use, HashUse, SameUse> used_services;
        size_t under_way = 0; // of a client: its requests in all peers' `expected`
    };

    void route_request(const RouteId &from, Message request);
    void route_response(const RouteId &from, Message response);
    void route_event(const RouteId &from, Message event);
    void distribute(const Message &event);
    void deliver_request(PeerState &to, Message request);
    void expect(PeerState &to, const Message &request);
    void note_answered(const Message &request); // one that was expected
    // Remembers that the peer uses the service. False when it uses too many.
    bool note_use(PeerState &peer, std::string_view service, uint32_t nodeid);
    void refuse(const Message &request, const Error &error);
    void pass_back(Message response);
    void send_disconnect(const RouteId &sender, const std::string &service, uint32_t nodeid);
    void disconnect_senders_beyond(const RouteId &child);
    PeerState *find(const RouteId &id);
    PeerState *find_rank(PeerKind kind, uint32_t rank);
    PeerState *local_service(std::string_view name);

    Topology topology_;
    std::unordered_map<RouteId, std::unique_ptr<PeerState>, HashRouteId> peers_;
    std::map<std::string, RouteId, std::less<>> services_;
    std::function<void(const std::string &, bool)> on_service_;
    std::map<uint32_t, PeerState *> children_; // by rank
    Peer *parent_ = nullptr;
    PeerState *parent_state_ = nullptr;
    std::vector<PeerState *>
        listeners_; // peers with subscriptions, in the order in which they first subscribed
    uint32_t event_sequence_ = 0;
};

} // namespace flux
