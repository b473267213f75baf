// Groups as they travel along the tree, and what is left of them when a link is lost.
#include <gtest/gtest.h>

#include "broker/broker.hpp"
#include "broker/overlay.hpp"
#include "common/runtime/sim_loop.hpp"

using namespace flux;

namespace {

// Keeps what is sent; the test is the network.
struct TestLinks : Links {
    void set_receiver(Receiver *) override {}
    void send_to_parent(const Message &message) override { up.push_back(message); }
    void send_to_child(const RouteId &, const Message &) override {}
    void drop_child(const RouteId &) override {}
    void close() override {}
    std::vector<Message> up;
};

Message hello_of(uint32_t rank)
{
    auto hello = Message::request("overlay.hello", Json {{"rank", rank}, {"version", ""}});
    hello.matchtag = 1;
    hello.credentials = {0, role::owner};
    return hello;
}

// One broker of a tree; the loop runs what is ready and no timer.
struct Member {
    explicit Member(uint32_t rank, uint32_t size = 3, uint32_t fanout = 1)
    {
        BrokerSetup setup;
        setup.platform.loop = &loop;
        setup.platform.random = &random;
        setup.topology = Topology(rank, size, fanout);
        broker = std::make_unique<Broker>(std::move(setup));
        auto own_links = std::make_unique<TestLinks>();
        links = own_links.get();
        overlay = std::make_unique<Overlay>(*broker, std::move(own_links));
        overlay->admit_children();
    }
    void settle() { loop.run_until_time(loop.now()); }
    // The parent answers hello.
    void take_in()
    {
        Json answer {{"uuid", "parent"}, {"attributes", Json::object()}};
        overlay->from_parent(Message::response_to(hello_of(broker->rank()), answer));
    }
    std::string online() const { return broker->groups().members("broker.online").format(); }
    // The updates that the parent was sent, as JSON.
    std::vector<std::string> told() const
    {
        std::vector<std::string> updates;
        for (auto &message : links->up)
            if (message.topic == "groups.update")
                updates.push_back(message.json()["update"].dump());
        return updates;
    }

    SimClock clock;
    SimLoop loop {clock};
    Random random {1};
    std::unique_ptr<Broker> broker;
    std::unique_ptr<Overlay> overlay;
    TestLinks *links = nullptr;
};

Message update_of(const RouteId &child, const std::string &join, const std::string &leave = "")
{
    Json change {{"join", join}, {"leave", leave}};
    auto message = Message::request("groups.update", Json {{"update", Json {{"broker.online", change}}}}, 1);
    message.flags = message_flag::noresponse | message_flag::upstream;
    message.credentials = {0, role::owner};
    message.route.push_back(child);
    return message;
}

const RouteId first_life("child-in-its-first-life"), second_life("child-in-its-second-life");

} // namespace

TEST(Groups, AChildsUpdateIsTakenWhileItIsConnected)
{
    Member root(0);
    root.overlay->from_child(first_life, hello_of(1));
    root.overlay->from_child(first_life, update_of(first_life, "1-2"));
    root.settle();
    EXPECT_EQ(root.online(), "1-2");
    root.overlay->from_child(first_life, update_of(first_life, "", "2"));
    root.settle();
    EXPECT_EQ(root.online(), "1");
}

TEST(Groups, AnUpdateThatIsReadTogetherWithItsSendersLossIsIgnored)
{
    Member root(0);
    root.overlay->from_child(first_life, hello_of(1));
    root.settle();
    root.overlay->from_child(first_life, update_of(first_life, "1-2"));
    root.overlay->child_lost(first_life, "the connection was closed");
    root.settle();
    EXPECT_EQ(root.online(), "") << "the dead are not online";
}

TEST(Groups, AnUpdateOfAnEarlierLifeSaysNothingOfTheNext)
{
    Member root(0);
    root.overlay->from_child(first_life, hello_of(1));
    root.settle();
    root.overlay->from_child(first_life, update_of(first_life, "1-2"));
    root.overlay->from_child(second_life, hello_of(1));
    root.overlay->from_child(second_life, update_of(second_life, "1"));
    root.settle();
    EXPECT_EQ(root.online(), "1");
}

TEST(Groups, WhatWasJoinedBeforeTheBrokerIsToldToTheParentOnceItHas)
{
    Member broker(1, 2);
    broker.broker->groups().join("early");
    broker.settle();
    EXPECT_EQ(broker.told(), std::vector<std::string>()) << "there is no parent yet";
    Gate gate(broker.loop);
    gate.spawn(broker.overlay->join());
    broker.settle();
    broker.take_in();
    broker.settle();
    EXPECT_EQ(broker.told(), std::vector<std::string> {R"({"early":{"join":"1","leave":""}})"});
    broker.broker->groups().join("late");
    broker.settle();
    EXPECT_EQ(broker.told().back(), R"({"late":{"join":"1","leave":""}})")
        << "and only what is new after that";
}

TEST(Groups, WhatCameAndWentBeforeTheBrokerJoinedIsNobodysBusiness)
{
    Member broker(1, 2);
    broker.broker->groups().join("brief");
    broker.settle();
    broker.broker->groups().leave("brief");
    Gate gate(broker.loop);
    gate.spawn(broker.overlay->join());
    broker.settle();
    broker.take_in();
    broker.settle();
    EXPECT_EQ(broker.told(), std::vector<std::string>());
}
