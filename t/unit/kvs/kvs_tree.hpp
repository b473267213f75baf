// A tree of ranks with the real router, content and kvs modules and a client each, in virtual time. Links
// between ranks take a moment and keep their order.
#pragma once
#include <gtest/gtest.h>

#include "broker/router.hpp"
#include "common/kvs/lookup.hpp"
#include "common/runtime/sim_loop.hpp"
#include "common/store/memory_store.hpp"
#include "modules/content/content.hpp"
#include "modules/kvs/kvs.hpp"

namespace flux::test {

class Rank;

// One module or client of a rank, on a handle of its own.
class Party : public Context {
public:
    Party(Rank &owner, std::string name, PeerKind kind);
    Handle &handle() override { return handle_; }
    RouteId id() const; // of its own, as UUIDs are
    const Platform &platform() const override;
    const std::string &name() const override { return name_; }
    const std::vector<std::string> &arguments() const override { return arguments_; }
    uint32_t rank() const override;
    uint32_t size() const override;
    std::optional<std::string> attribute(std::string_view name) const override;
    const Json &config() const override { return config_; }
    void log(LogLevel, std::string text) override { logged.push_back(std::move(text)); }

    std::vector<std::string> logged;
    Credentials credentials {1000, role::owner};
    void set_config(Json config) { config_ = std::move(config); }

private:
    Rank &owner_;
    std::string name_;
    std::vector<std::string> arguments_;
    Json config_ = Json::object();
    Handle handle_;
};

class Rank {
public:
    Rank(Platform platform, Topology topology, std::map<std::string, std::string, std::less<>> attributes)
        : platform(platform), attributes(std::move(attributes)), router(topology)
    {
        for (auto *name : {"broker", "service"})
            router.add_service(name, broker.id());
        for (auto *name : {"content", "kvs"})
            router.add_service(name, std::string_view(name) == "kvs" ? kvs_party.id() : content_party.id());
        content = std::make_unique<Content>(content_party);
        kvs = std::make_unique<kvs::Kvs>(kvs_party);
        broker.handle().serve("service.add", role::any, Handle::PlainHandler([this](Request &request) {
                                  router.add_service(request.get<std::string>("service"), request.sender());
                                  return Json();
                              }));
    }
    Task<> start()
    {
        co_await content->start();
        co_await kvs->start();
    }

    Platform platform;
    std::map<std::string, std::string, std::less<>> attributes;
    Router router;
    Party broker {*this, "broker", PeerKind::module};
    Party content_party {*this, "content", PeerKind::module};
    Party kvs_party {*this, "kvs", PeerKind::module};
    Party client {*this, "client", PeerKind::client};
    std::unique_ptr<Content> content;
    std::unique_ptr<kvs::Kvs> kvs;
};

inline Party::Party(Rank &owner, std::string name, PeerKind kind)
    : owner_(owner), name_(std::move(name)), handle_(*owner.platform.loop, [this](Message message) {
          if (message.credentials.rolemask == role::none)
              message.credentials = credentials;
          owner_.router.receive(id(), std::move(message));
      })
{
    owner_.router.add_peer({id(), kind, [this](Message message) {
                                owner_.platform.loop->post([this, message = std::move(message)]() mutable {
                                    handle_.receive(std::move(message));
                                });
                            }});
}
inline const Platform &Party::platform() const
{
    return owner_.platform;
}
inline RouteId Party::id() const
{
    return RouteId(fmt::format("{}-{}", name_, rank()));
}
inline uint32_t Party::rank() const
{
    return owner_.router.topology().rank();
}
inline uint32_t Party::size() const
{
    return owner_.router.topology().size();
}
inline std::optional<std::string> Party::attribute(std::string_view name) const
{
    auto found = owner_.attributes.find(name);
    return found == owner_.attributes.end() ? std::nullopt : std::optional(found->second);
}

struct Instance {
    SimClock clock;
    SimLoop loop {clock};
    Random random {1};
    MemoryStoreFactory stores {loop, std::chrono::milliseconds(1)};
    Duration link_delay = std::chrono::microseconds(100);
    size_t between_ranks = 0; // messages
    std::vector<std::unique_ptr<Rank>> ranks;

    void boot(std::string statedir = "state", uint32_t size = 1, uint32_t fanout = 2)
    {
        ranks.clear();
        Platform platform {.loop = &loop, .random = &random, .stores = &stores};
        std::map<std::string, std::string, std::less<>> attributes;
        if (!statedir.empty())
            attributes["statedir"] = statedir;
        for (uint32_t rank = 0; rank < size; rank++)
            ranks.push_back(std::make_unique<Rank>(platform, Topology(rank, size, fanout), attributes));
        for (uint32_t rank = 1; rank < size; rank++)
            join(rank, *ranks[rank]->router.topology().parent());
        for (auto &rank : ranks)
            run(rank->start());
    }
    static RouteId broker_id(uint32_t rank) { return RouteId("rank-" + std::to_string(rank)); }
    void join(uint32_t child, uint32_t parent)
    {
        auto link = [this](uint32_t to, uint32_t from) {
            return [this, to, from](Message message) {
                between_ranks++;
                loop.after(link_delay, [this, to, from, message = std::move(message)]() mutable {
                    ranks[to]->router.receive(broker_id(from), std::move(message));
                });
            };
        };
        ranks[parent]->router.add_peer({broker_id(child), PeerKind::child, link(child, parent), child});
        ranks[child]->router.add_peer({broker_id(parent), PeerKind::parent, link(parent, child), parent});
    }
    // Until nothing is left to happen.
    void run(Task<> task)
    {
        std::string failure;
        {
            Gate gate(loop, [&](const Error &error) { failure = error.text(); });
            gate.spawn(std::move(task));
            loop.run();
            EXPECT_EQ(gate.size(), 0u) << "the task never ended";
        }
        EXPECT_EQ(failure, "");
    }
    void crash()
    {
        ranks.clear();
        stores.crash();
    }
    Handle &client(uint32_t rank = 0) { return ranks[rank]->client.handle(); }
};

inline Task<> put(Handle &handle, std::string key, std::string value, std::string space = "primary")
{
    kvs::Txn txn;
    txn.put(key, value);
    co_await kvs::commit(handle, std::move(txn), space);
}

} // namespace flux::test
