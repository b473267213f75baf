// Node: one life of one broker, from its start to its end or death: the real Broker, its modules and its life
// cycle over simulated links, processes and disks. Client: a command's or a person's connection to it.
#pragma once
#include <list>
#include <memory>
#include <optional>

#include "broker/broker.hpp"
#include "broker/life_cycle.hpp"
#include "broker/overlay.hpp"
#include "sim/links.hpp"
#include "sim/spawner.hpp"

namespace flux::sim {

constexpr uint32_t instance_owner = 1000; // user id
constexpr Credentials owner_credentials {instance_owner, role::owner | role::local};
constexpr Credentials guest_credentials {instance_owner + 1, role::user | role::local};

class World;
class Node;

class Client {
public:
    ~Client();
    Client(const Client &) = delete;
    Handle &handle() { return *handle_; }
    uint32_t rank() const { return rank_; }
    // The broker is gone: every request fails (ECONNRESET).
    bool lost() const { return node_ == nullptr; }

private:
    friend class Node;
    friend class World;
    Client(World &world, Node &node, Credentials who);
    World &world_;
    Node *node_;
    uint32_t rank_;
    uint64_t connection_ = 0;
    std::unique_ptr<Handle> handle_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};
using ClientPtr = std::shared_ptr<Client>;

class Node {
public:
    Node(World &world, uint32_t rank, uint32_t life);
    ~Node(); // kill -9
    Node(const Node &) = delete;

    void start();
    uint32_t rank() const { return rank_; }
    Broker &broker() { return *broker_; }
    LifeCycle &life_cycle() { return *life_cycle_; }
    // The broker's exit status, once its life cycle has ended.
    const std::optional<int> &exit_status() const { return exit_status_; }

private:
    friend class Client;
    friend class World;
    struct Connection {
        Client *client = nullptr; // null once it has closed its end
        RouteId id;
        std::unique_ptr<Pipe> up, down;
    };
    uint64_t accept(Client &client, Credentials who);
    void hung_up(uint64_t connection);
    Task<> live();
    BrokerSetup setup(const std::string &uuid);

    World &world_;
    uint32_t rank_;
    Random random_;
    SimSpawner spawner_;
    std::unique_ptr<Broker> broker_;
    std::unique_ptr<Overlay> overlay_;
    std::unique_ptr<LifeCycle> life_cycle_;
    std::optional<int> exit_status_;
    std::map<uint64_t, std::unique_ptr<Connection>> connections_;
    uint64_t next_connection_ = 1;
    std::unique_ptr<Gate> gate_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

} // namespace flux::sim
