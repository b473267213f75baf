#include "sim/node.hpp"

#include "common/job/resource_set.hpp"
#include "sim/world.hpp"

namespace flux::sim {

namespace {

uint64_t place_of_client(uint32_t rank, uint64_t connection, bool up)
{
    return uint64_t(1) << 63 | uint64_t(rank) << 40 | connection << 1 | uint64_t(up);
}

} // namespace

// ---- Client

Client::Client(World &world, Node &node, Credentials who) : world_(world), node_(&node), rank_(node.rank())
{
    handle_ = std::make_unique<Handle>(world.loop(), [this](Message message) {
        if (node_)
            node_->connections_.at(connection_)->up->send(message);
    });
    connection_ = node.accept(*this, who);
}

Client::~Client()
{
    *alive_ = false;
    handle_.reset();
    if (node_)
        node_->hung_up(connection_);
}

// ---- Node

Node::Node(World &world, uint32_t rank, uint32_t life)
    : world_(world), rank_(rank), random_(world.seed() * 0x9e3779b97f4a7c15 + (uint64_t(rank) << 20) + life),
      spawner_(world.processes())
{
    auto uuid = random_.uuid();
    broker_ = std::make_unique<Broker>(setup(uuid));
    std::unique_ptr<Links> links;
    if (world.size() > 1)
        links = std::make_unique<SimLinks>(world.network(), rank, RouteId(uuid),
                                           broker_->router().topology().parent());
    overlay_ = std::make_unique<Overlay>(*broker_, std::move(links),
                                         OverlayLimits::from(broker_->attributes(), broker_->config()));
    LifeCycle::Plan plan;
    plan.modules = world.setup().modules;
    life_cycle_ = std::make_unique<LifeCycle>(*broker_, *overlay_, std::move(plan));
    gate_ = std::make_unique<Gate>(world.loop());
}

Node::~Node()
{
    *alive_ = false;
    gate_.reset();
    for (auto &[number, connection] : connections_) {
        if (auto *client = connection->client) {
            client->node_ = nullptr;
            world_.loop().post([client, alive = client->alive_, rank = rank_] {
                if (*alive)
                    client->handle_->fail_all(
                        Error(ECONNRESET, "the connection to broker {} was lost", rank));
            });
        }
        connection->up->cut();
        connection->down->cut();
    }
    life_cycle_.reset();
    overlay_.reset();
    broker_.reset();
}

BrokerSetup Node::setup(const std::string &uuid)
{
    BrokerSetup out;
    auto &world = world_.setup();
    out.platform = {&world_.loop(), &random_, &spawner_, &world_.stores()};
    out.topology = Topology(rank_, world_.size(), world.fanout);
    out.config = world.config;
    out.owner = instance_owner;
    auto &attributes = out.attributes;
    attributes.set("hostlist", world_.hosts(), Attributes::immutable);
    attributes.set("broker.uuid", uuid, Attributes::immutable);
    attributes.set("hostname", world_.host(rank_), Attributes::immutable);
    attributes.set("resource.R", world_.resources(), Attributes::immutable);
    attributes.set("instance-level", "0", Attributes::immutable);
    attributes.set("broker.boot-method", "simulation", Attributes::immutable);
    attributes.set("version", "simulated", Attributes::immutable);
    attributes.set("rundir", fmt::format("/run/{}", rank_));
    attributes.set("local-uri", fmt::format("local:///run/{}/local", rank_));
    attributes.set("content.hash", "sha1");
    attributes.set("tbon.topo", fmt::format("kary:{}", world.fanout));
    if (world.durable && rank_ == 0)
        attributes.set("statedir", "/state");
    return out;
}

void Node::start()
{
    gate_->spawn(live());
}

Task<> Node::live()
{
    exit_status_ = co_await life_cycle_->run();
}

uint64_t Node::accept(Client &client, Credentials who)
{
    auto number = next_connection_++;
    auto &connection = *(connections_[number] = std::make_unique<Connection>());
    connection.client = &client;
    connection.id = RouteId(random_.uuid());
    connection.up = std::make_unique<Pipe>(world_.physics(), place_of_client(rank_, number, true),
                                           world_.setup().socket_delay, [this, &connection, who](Message message) {
                                               message.credentials = who;
                                               broker_->router().receive(connection.id, std::move(message));
                                           });
    connection.down = std::make_unique<Pipe>(world_.physics(), place_of_client(rank_, number, false),
                                             world_.setup().socket_delay, [&connection](Message message) {
                                                 if (connection.client)
                                                     connection.client->handle().receive(std::move(message));
                                             });
    broker_->router().add_peer({connection.id, PeerKind::client, [&connection](Message message) {
                                    connection.down->send(message);
                                }});
    return number;
}

void Node::hung_up(uint64_t number)
{
    auto &connection = *connections_.at(number);
    connection.client = nullptr;
    connection.down->cut();
    connection.up->drain([this, alive = alive_, number] {
        if (!*alive)
            return;
        auto gone = connections_.extract(number);
        broker_->router().remove_peer(gone.mapped()->id);
    });
}

} // namespace flux::sim
