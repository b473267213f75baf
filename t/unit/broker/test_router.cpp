#include <gtest/gtest.h>

#include "broker/router.hpp"

using namespace flux;

namespace {

// A tree of routers whose links deliver at once, and clients that note what they get.
struct RouterTree {
    explicit RouterTree(uint32_t size, uint32_t fanout)
    {
        for (uint32_t rank = 0; rank < size; rank++)
            routers.push_back(std::make_unique<Router>(Topology(rank, size, fanout)));
        for (uint32_t rank = 1; rank < size; rank++)
            join(rank, *routers[rank]->topology().parent());
    }
    static RouteId name(uint32_t rank) { return RouteId("broker-" + std::to_string(rank)); }
    void join(uint32_t child, uint32_t parent)
    {
        routers[parent]->add_peer(
            {name(child), PeerKind::child,
             [this, child, parent](Message m) { routers[child]->receive(name(parent), std::move(m)); },
             child});
        routers[child]->add_peer(
            {name(parent), PeerKind::parent,
             [this, child, parent](Message m) { routers[parent]->receive(name(child), std::move(m)); },
             parent});
    }
    // A client on a rank that keeps what it receives.
    std::vector<Message> &client(uint32_t rank, const std::string &id, PeerKind kind = PeerKind::client)
    {
        auto &inbox = inboxes[id];
        routers[rank]->add_peer({RouteId(id), kind, [&inbox](Message m) {
                                     inbox.push_back(std::move(m));
                                 }});
        return inbox;
    }
    // A module that answers every request with its own rank.
    void echo(uint32_t rank, const std::string &service)
    {
        RouteId id(service + std::to_string(rank));
        routers[rank]->add_peer(
            {id, PeerKind::module, [this, rank, id](Message m) {
                 if (m.wants_response())
                     routers[rank]->receive(id, Message::response_to(m, Json {{"rank", rank}}));
             }});
        routers[rank]->add_service(service, id);
    }
    void ask(uint32_t rank, const std::string &id, const std::string &topic, uint32_t nodeid = nodeid_any,
             uint8_t flags = 0)
    {
        auto request = Message::request(topic, Json::object(), nodeid);
        request.matchtag = 7;
        request.flags = flags;
        routers[rank]->receive(RouteId(id), std::move(request));
    }
    std::vector<std::unique_ptr<Router>> routers;
    std::map<std::string, std::vector<Message>> inboxes;
};

int answering_rank(const std::vector<Message> &inbox)
{
    return inbox.size() == 1 && inbox[0].errnum == 0 ? inbox[0].json().get<int>("rank") : -1;
}

} // namespace

TEST(Topology, AKaryTreeKnowsParentsChildrenAndTheWayDown)
{
    Topology root(0, 8, 2), inner(1, 8, 2);
    EXPECT_EQ(std::vector(root.children().begin(), root.children().end()), (std::vector<uint32_t> {1, 2}));
    EXPECT_EQ(inner.parent(), 0u);
    EXPECT_EQ(root.child_toward(7), 1u);
    EXPECT_EQ(inner.child_toward(7), 3u);
    EXPECT_EQ(inner.child_toward(6), std::nullopt);
    EXPECT_EQ(root.level_of(7), 3u);
    EXPECT_EQ(root.subtree(1).format(), "1,3-4,7");
    EXPECT_EQ(root.routers().format(), "0-3");
    for (auto bad : {"", "kary:", "kary:x", "binomial:", "mincrit:", "2"})
        EXPECT_FALSE(Topology::parse(bad, 0, 8)) << bad;
}

TEST(Topology, EveryNameOfATreeGivesThatTree)
{
    auto shape = [](std::string_view topo, uint32_t size) {
        auto tree = value_or_throw(Topology::parse(topo, 0, size));
        std::string parents;
        for (uint32_t rank = 1; rank < size; rank++)
            parents += fmt::format("{} ", *tree.parent_of(rank));
        return parents;
    };
    EXPECT_EQ(shape("kary:0", 5), "0 0 0 0 ");
    EXPECT_EQ(shape("kary:1", 5), "0 1 2 3 ");
    EXPECT_EQ(shape("binomial", 8), "0 0 2 0 4 4 6 ");
    EXPECT_EQ(shape("mincrit:2", 7), "0 0 1 1 2 2 ");
    EXPECT_EQ(shape("mincrit", 7), "0 0 0 0 0 0 ");
    EXPECT_EQ(value_or_throw(Topology::parse("mincrit", 0, 4000)).max_level(), 2u);
    auto custom = value_or_throw(Topology::from_parents(0, {0, 1, 1}));
    EXPECT_EQ(custom.at(1).child_toward(3), 3u);
    EXPECT_FALSE(Topology::from_parents(0, {2, 1})) << "a circle is no tree";
}

TEST(Router, ARequestToAnyNodeIsAnsweredByTheNearestProviderUpstream)
{
    RouterTree tree(7, 2);
    tree.echo(0, "s");
    tree.echo(1, "s");
    auto &near = tree.client(3, "near");
    auto &far = tree.client(6, "far");
    tree.ask(3, "near", "s.ask");
    tree.ask(6, "far", "s.ask");
    EXPECT_EQ(answering_rank(near), 1);
    EXPECT_EQ(answering_rank(far), 0);
    EXPECT_TRUE(near[0].route.empty());
    EXPECT_EQ(near[0].matchtag, 7u);
}

TEST(Router, ARequestToARankGoesThereAndNowhereElse)
{
    RouterTree tree(7, 2);
    for (uint32_t rank = 0; rank < 7; rank++)
        tree.echo(rank, "s");
    for (uint32_t from = 0; from < 7; from++)
        for (uint32_t to = 0; to < 7; to++) {
            auto id = fmt::format("c{}-{}", from, to);
            auto &inbox = tree.client(from, id);
            tree.ask(from, id, "s.ask", to);
            EXPECT_EQ(answering_rank(inbox), int(to)) << from;
        }
}

TEST(Router, AnUpstreamRequestSkipsTheSendersOwnRank)
{
    RouterTree tree(3, 1);
    tree.echo(0, "s");
    tree.echo(2, "s");
    auto &inbox = tree.client(2, "c");
    tree.ask(2, "c", "s.ask", 2, message_flag::upstream);
    EXPECT_EQ(answering_rank(inbox), 0);
}

TEST(Router, WhatNobodyServesOrCannotBeReachedIsRefusedWithAReason)
{
    RouterTree tree(3, 2);
    auto &inbox = tree.client(2, "c");
    tree.ask(2, "c", "nope.x");
    tree.ask(2, "c", "nope.x", 1);
    tree.ask(2, "c", "nope.x", 99);
    ASSERT_EQ(inbox.size(), 3u);
    EXPECT_EQ(inbox[0].errnum, uint32_t(ENOSYS));
    EXPECT_EQ(inbox[0].to_error().text(), "No service matching nope.x is registered");
    EXPECT_EQ(inbox[1].errnum, uint32_t(ENOSYS));
    EXPECT_EQ(inbox[2].errnum, uint32_t(EHOSTUNREACH));
}

TEST(Router, ALostPeerAnswersForWhatWasUnderWayToIt)
{
    RouterTree tree(7, 2);
    auto &silent = tree.client(3, "silent", PeerKind::module);
    tree.routers[3]->add_service("s", RouteId("silent"));
    auto &inbox = tree.client(0, "c");
    tree.ask(0, "c", "s.ask", 3);
    EXPECT_EQ(silent.size(), 1u);
    EXPECT_TRUE(inbox.empty());
    tree.routers[0]->remove_peer(RouterTree::name(1));
    ASSERT_EQ(inbox.size(), 1u);
    EXPECT_EQ(inbox[0].errnum, uint32_t(EHOSTUNREACH));
    tree.ask(0, "c", "s.ask", 3);
    ASSERT_EQ(inbox.size(), 2u);
    EXPECT_EQ(inbox[1].errnum, uint32_t(EHOSTUNREACH));
}

TEST(Router, AnUnloadedModuleLeavesNoRequestWithoutAnAnswer)
{
    RouterTree tree(1, 1);
    tree.client(0, "silent", PeerKind::module);
    tree.routers[0]->add_service("s", RouteId("silent"));
    auto &inbox = tree.client(0, "c");
    tree.ask(0, "c", "s.ask");
    tree.routers[0]->remove_peer(RouteId("silent"));
    ASSERT_EQ(inbox.size(), 1u);
    EXPECT_EQ(inbox[0].errnum, uint32_t(ENOSYS));
}

TEST(Router, AClientThatGoesAwayDisconnectsFromTheServicesItUsed)
{
    RouterTree tree(3, 2);
    auto &service = tree.client(0, "m", PeerKind::module);
    tree.routers[0]->add_service("s", RouteId("m"));
    tree.client(2, "c");
    tree.ask(2, "c", "s.watch");
    tree.routers[2]->remove_peer(RouteId("c"));
    ASSERT_EQ(service.size(), 2u);
    EXPECT_EQ(service[1].topic, "s.disconnect");
    EXPECT_TRUE(service[1].has(message_flag::noresponse));
    EXPECT_EQ(service[1].sender().text(), "c");
}

TEST(Router, AnEventReachesEveryListenerOnceInOneOrder)
{
    RouterTree tree(7, 2);
    std::vector<std::vector<Message> *> inboxes;
    for (uint32_t rank = 0; rank < 7; rank++) {
        auto id = "c" + std::to_string(rank);
        inboxes.push_back(&tree.client(rank, id));
        tree.routers[rank]->subscribe(RouteId(id), "a");
        tree.routers[rank]->subscribe(RouteId(id), "a.b");
    }
    tree.routers[5]->publish(Message::event("a.b"));
    tree.routers[0]->publish(Message::event("x"));
    tree.routers[3]->publish(Message::event("a.c"));
    for (auto *inbox : inboxes) {
        ASSERT_EQ(inbox->size(), 2u);
        EXPECT_EQ((*inbox)[0].topic, "a.b");
        EXPECT_EQ((*inbox)[0].sequence, 1u);
        EXPECT_EQ((*inbox)[1].sequence, 3u);
    }
    tree.routers[4]->unsubscribe(RouteId("c4"), "a");
    tree.routers[4]->unsubscribe(RouteId("c4"), "a.b");
    EXPECT_THROW(tree.routers[4]->unsubscribe(RouteId("c4"), "a"), Error);
}

TEST(Router, TheRoleLocalIsLostWhenAMessageCrossesALink)
{
    RouterTree tree(2, 1);
    auto &service = tree.client(0, "m", PeerKind::module);
    tree.routers[0]->add_service("s", RouteId("m"));
    tree.client(1, "c");
    auto request = Message::request("s.x");
    request.credentials = {0, role::owner | role::local};
    tree.routers[1]->receive(RouteId("c"), std::move(request));
    ASSERT_EQ(service.size(), 1u);
    EXPECT_EQ(service[0].credentials.rolemask, role::owner);
}

namespace {

Message answer_to(const Message &request)
{
    return Message::response_to(request, Json {{"rank", 0}});
}

} // namespace

TEST(Router, OnlyWhoWasAskedAnswersAndOnlyOnce)
{
    RouterTree tree(3, 1);
    auto &service = tree.client(0, "m", PeerKind::module);
    tree.routers[0]->add_service("s", RouteId("m"));
    auto &inbox = tree.client(2, "c");
    for (uint32_t rank = 0; rank < 3; rank++)
        tree.client(rank, fmt::format("forger{}", rank));
    tree.ask(2, "c", "s.ask");
    ASSERT_EQ(service.size(), 1u);
    auto forged = answer_to(service[0]);
    tree.routers[0]->receive(RouteId("forger0"), forged);
    forged.route.pop_back(); // as the brokers on the way would see it
    tree.routers[1]->receive(RouteId("forger1"), forged);
    forged.route.pop_back();
    tree.routers[2]->receive(RouteId("forger2"), forged);
    EXPECT_TRUE(inbox.empty()) << "a client that nobody asked has answered";

    auto elsewhere = answer_to(service[0]); // right sender and tag, another way
    elsewhere.route.insert(elsewhere.route.begin() + 1, RouteId("forger0"));
    tree.routers[0]->receive(RouteId("m"), elsewhere);
    EXPECT_TRUE(inbox.empty()) << "an answer went another way than its request came";

    tree.routers[0]->receive(RouteId("m"), answer_to(service[0]));
    EXPECT_EQ(answering_rank(inbox), 0);
    tree.routers[0]->receive(RouteId("m"), answer_to(service[0]));
    EXPECT_EQ(inbox.size(), 1u) << "a request was answered twice";
}

TEST(Router, AStreamIsAnsweredUntilItsErrorAndARequestWithoutATagOnce)
{
    RouterTree tree(2, 1);
    auto &service = tree.client(0, "m", PeerKind::module);
    tree.routers[0]->add_service("s", RouteId("m"));
    auto &inbox = tree.client(1, "c");
    tree.ask(1, "c", "s.watch", nodeid_any, message_flag::streaming);
    ASSERT_EQ(service.size(), 1u);
    for (int i = 0; i < 3; i++)
        tree.routers[0]->receive(RouteId("m"), answer_to(service[0]));
    for (int i = 0; i < 2; i++)
        tree.routers[0]->receive(RouteId("m"), Message::error_response_to(service[0], Error(ENODATA)));
    EXPECT_EQ(inbox.size(), 4u);
    tree.routers[1]->receive(RouteId("c"), Message::request("s.ask"));
    tree.routers[0]->receive(RouteId("m"), answer_to(service.back()));
    EXPECT_EQ(inbox.size(), 5u);
}

TEST(Router, ARequestWithTooManyHopsOrTooLongAServiceNameGoesNowhere)
{
    RouterTree tree(2, 1);
    auto &service = tree.client(0, "m", PeerKind::module);
    tree.routers[0]->add_service("s", RouteId("m"));
    auto &inbox = tree.client(1, "c");
    auto request = Message::request("s.ask");
    request.matchtag = 1;
    request.route.assign(64, RouteId("hop"));
    tree.routers[1]->receive(RouteId("c"), request);
    EXPECT_TRUE(service.empty());
    ASSERT_EQ(inbox.size(), 1u);
    EXPECT_EQ(inbox[0].errnum, uint32_t(ELOOP));
    // What the client would be disconnected from has ".disconnect" at its end: no longer a topic.
    tree.ask(1, "c", std::string(4090, 'x'));
    ASSERT_EQ(inbox.size(), 2u);
    EXPECT_EQ(inbox[1].errnum, uint32_t(ENOSYS));
    size_t said = 0;
    tree.routers[1]->remove_peer(RouterTree::name(0));
    tree.routers[1]->add_peer({RouterTree::name(0), PeerKind::parent, [&](Message) { said++; }, 0});
    tree.routers[1]->remove_peer(RouteId("c"));
    EXPECT_EQ(said, 0u);
}

TEST(Router, AnEventThatNoBrokerCouldReadIsNotSent)
{
    RouterTree tree(2, 1);
    auto &inbox = tree.client(1, "c");
    tree.routers[1]->subscribe(RouteId("c"), "");
    for (std::string topic : {std::string(), std::string(4097, 'x'), std::string("a\0b", 3)}) {
        EXPECT_THROW(tree.routers[0]->publish_at_root(Message::event(topic)), Error);
        tree.routers[1]->receive(RouteId("c"), Message::event(topic));
    }
    EXPECT_TRUE(inbox.empty());
    EXPECT_EQ(tree.routers[0]->publish_at_root(Message::event(std::string(4096, 'x'))), 1u);
    EXPECT_EQ(inbox.size(), 1u);
}

TEST(Router, AClientsServicesAndSubscriptionsHaveLimits)
{
    RouterTree tree(1, 1);
    auto &service = tree.client(0, "m", PeerKind::module);
    tree.routers[0]->add_service("s", RouteId("m"));
    tree.client(0, "c");
    for (size_t i = 0; i < Router::max_subscriptions; i++)
        tree.routers[0]->subscribe(RouteId("c"), std::to_string(i));
    tree.routers[0]->subscribe(RouteId("c"), "0");
    EXPECT_THROW(tree.routers[0]->subscribe(RouteId("c"), "one more"), Error);
    // What nobody serves is not remembered.
    for (size_t i = 0; i < 2 * Router::max_used_services; i++)
        tree.ask(0, "c", fmt::format("none{}.x", i));
    tree.ask(0, "c", "s.ask");
    EXPECT_EQ(service.size(), 1u);
    EXPECT_THROW(tree.routers[0]->add_service(std::string(300, 's'), RouteId("m")), Error);
}

TEST(Router, AClientHasOnlySoManyRequestsUnderWay)
{
    RouterTree tree(1, 1);
    auto &router = *tree.routers[0];
    auto &service = tree.client(0, "m", PeerKind::module);
    router.add_service("s", RouteId("m"));
    auto &inbox = tree.client(0, "c");
    auto ask = [&](uint32_t tag) {
        auto request = Message::request("s.ask", {}, nodeid_any);
        request.matchtag = tag;
        router.receive(RouteId("c"), std::move(request));
    };
    for (uint32_t tag = 1; tag <= Router::max_under_way; tag++)
        ask(tag);
    EXPECT_EQ(service.size(), Router::max_under_way);
    ask(Router::max_under_way + 1);
    EXPECT_EQ(service.size(), Router::max_under_way);
    ASSERT_EQ(inbox.size(), 1u);
    EXPECT_EQ(inbox[0].errnum, EAGAIN);
    router.receive(RouteId("m"), answer_to(service[0])); // one is answered: there is room again
    ask(Router::max_under_way + 2);
    EXPECT_EQ(service.size(), Router::max_under_way + 1);
    router.remove_peer(RouteId("m")); // answers all of them
    EXPECT_EQ(inbox.size(), Router::max_under_way + 2);
    auto &other = tree.client(0, "n", PeerKind::module);
    router.add_service("s", RouteId("n"));
    for (uint32_t tag = 1; tag <= Router::max_under_way; tag++)
        ask(tag);
    EXPECT_EQ(other.size(), Router::max_under_way);
}

TEST(Router, TellsOfServicesThatComeAndGoAfterWhatWaitedIsAnswered)
{
    RouterTree tree(1, 2);
    auto &client = tree.client(0, "client");
    auto &provider = tree.client(0, "provider", PeerKind::module);
    std::vector<std::string> told;
    tree.routers[0]->on_service([&](const std::string &name, bool there) {
        told.push_back(fmt::format("{} {} {}", name, there ? "there" : "gone", client.size()));
    });
    tree.routers[0]->add_service("a", RouteId("provider"));
    tree.ask(0, "client", "a.something");
    EXPECT_EQ(provider.size(), 1u);
    tree.routers[0]->add_service("b", RouteId("provider"));
    tree.routers[0]->remove_service("b", RouteId("provider"));
    tree.routers[0]->remove_peer(RouteId("provider"));
    EXPECT_EQ(told, (std::vector<std::string> {"a there 0", "b there 0", "b gone 0", "a gone 1"}));
}
