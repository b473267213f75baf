// Network: the connections between simulated brokers. SimLinks is one broker's end of them
// (common/runtime/link.hpp).
//
// A child connects to its parent's rank; until somebody listens there, what it sends waits. A link that
// breaks is noticed by each end after a while of its own; there is no second life for it: a broker that comes
// back connects anew.
#pragma once
#include <list>
#include <map>
#include <memory>
#include <optional>

#include "common/runtime/link.hpp"
#include "sim/pipe.hpp"

namespace flux::sim {

class SimLinks;

class Network {
public:
    explicit Network(Physics physics) : physics_(physics) {}
    ~Network();

    // Of links made from now on.
    Delay delay {std::chrono::microseconds(20), std::chrono::microseconds(200)};
    // Until an end that was cut off notices.
    Delay detection {std::chrono::milliseconds(1), std::chrono::milliseconds(100)};

    // The link of a broker with its parent; false when it has none.
    bool break_link(uint32_t child_rank);
    bool stall_link(uint32_t child_rank, Duration how_long);
    bool set_link_delay(uint32_t child_rank, Delay delay);
    bool is_linked(uint32_t child_rank) const;

private:
    friend class SimLinks;
    struct Link {
        SimLinks *child = nullptr; // null once that end is gone
        SimLinks *parent = nullptr;
        uint32_t child_rank = 0;
        uint32_t parent_rank = 0;
        RouteId child_id;
        uint64_t serial = 0;
        bool made = false;
        bool lost = false;
        std::unique_ptr<Pipe> up, down;
    };
    Link *connect(SimLinks &child, uint32_t parent_rank);
    void listen(SimLinks &parent);
    void leave(SimLinks &end, bool gracefully);
    // Both pipes are cut; the ends that are still there are told, each in its time.
    void lose(Link &link, const std::string &why);
    // Once what one end sent has arrived at the other.
    void lose_when_drained(Link &link, Pipe &out, std::string why);
    Link *find(uint32_t child_rank) const;
    void sweep();

    Physics physics_;
    std::list<std::unique_ptr<Link>> links_;
    uint64_t next_serial_ = 1;
    std::map<uint32_t, SimLinks *> listening_;
};

class SimLinks : public Links {
public:
    // `parent`: the rank to connect to, nullopt for the root.
    SimLinks(Network &network, uint32_t rank, RouteId id, std::optional<uint32_t> parent);
    ~SimLinks() override; // as if the process was killed

    void set_receiver(Receiver *receiver) override { receiver_ = receiver; }
    void send_to_parent(const Message &message) override;
    void send_to_child(const RouteId &child, const Message &message) override;
    void drop_child(const RouteId &child) override;
    void close() override;

private:
    friend class Network;
    Network &network_;
    uint32_t rank_;
    RouteId id_;
    Receiver *receiver_ = nullptr;
    Network::Link *up_ = nullptr;
    std::map<RouteId, Network::Link *> down_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

} // namespace flux::sim
