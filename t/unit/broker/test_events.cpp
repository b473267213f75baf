// Events that clients publish, on their way to rank 0.
#include <gtest/gtest.h>

#include "broker/broker.hpp"
#include "common/runtime/sim_loop.hpp"

using namespace flux;

TEST(Events, WhatAGuestPublishesBelowTheRootReachesTheRootAsTheGuests)
{
    SimClock clock;
    SimLoop loop(clock);
    Random random(1);
    BrokerSetup setup;
    setup.platform.loop = &loop;
    setup.platform.random = &random;
    setup.topology = Topology(1, 2, 1);
    Broker broker(std::move(setup));
    std::vector<Message> up;
    broker.router().add_peer({RouteId("parent"), PeerKind::parent, [&](Message message) {
                                  up.push_back(message);
                              }});
    broker.router().add_peer({RouteId("guest"), PeerKind::client, [](Message) {
                              }});
    auto publish = Message::request("event.publish", Json {{"topic", "config.changed"}, {"flags", 0}});
    publish.matchtag = 1;
    publish.credentials = {4711, role::user | role::local};
    broker.router().receive(RouteId("guest"), publish);
    loop.run_until_time(loop.now());
    ASSERT_EQ(up.size(), 1u);
    EXPECT_EQ(up[0].topic, "event.publish");
    EXPECT_EQ(up[0].credentials, (Credentials {4711, role::user})) << "not the broker's own";
}
