// The links of a real broker, over ipc sockets: with peers that behave, and with some that do not.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

#include <filesystem>

#include "broker/broker.hpp"
#include "broker/overlay.hpp"
#include "broker/zmq_links.hpp"
#include "common/runtime/ev_loop.hpp"

using namespace flux;

namespace {

constexpr auto patience = std::chrono::seconds(60); // a test that hangs fails then

struct Directory {
    Directory() { EXPECT_TRUE(mkdtemp(path.data())); }
    ~Directory() { std::filesystem::remove_all(path); }
    std::string path = std::filesystem::temp_directory_path() / "flux-test-XXXXXX";
};

struct Notes : Links::Receiver {
    void from_parent(Message message) override { down.push_back(std::move(message)); }
    void parent_lost(const std::string &why) override { parent_losses.push_back(why); }
    void from_child(const RouteId &child, Message message) override
    {
        up.emplace_back(std::string(child.text()), std::move(message));
    }
    void child_lost(const RouteId &child, const std::string &why) override
    {
        child_losses.emplace_back(std::string(child.text()), why);
    }
    bool heard_of(std::string_view child) const
    {
        return std::ranges::any_of(up, [&](auto &entry) { return entry.first == child; });
    }
    std::vector<Message> down;
    std::vector<std::string> parent_losses;
    std::vector<std::pair<std::string, Message>> up;
    std::vector<std::pair<std::string, std::string>> child_losses;
};

Message said(const std::string &topic, size_t bytes = 0)
{
    return Message::event(topic, Json {{"pad", std::string(bytes, 'x')}});
}

// A parent that takes in whoever has the instance's key.
struct Tree {
    explicit Tree(ZmqLinks::Setup setup = {})
    {
        setup.uuid = "parent";
        setup.keys = keys;
        parent = std::make_unique<ZmqLinks>(loop, setup);
        address = {parent->bind("ipc://" + directory.path + "/parent"), keys.public_key};
        parent->allow(keys.public_key);
        parent->set_receiver(&notes);
    }
    bool run_until(const std::function<bool()> &done, bool wait = true)
    {
        bool late = false;
        Timer too_late(loop, patience, [&] { late = true; });
        while (!done() && !late)
            loop.step(wait);
        return !late;
    }
    // The same for what raw peers see: their sockets do not wake the loop.
    bool poll_until(const std::function<bool()> &done) { return run_until(done, false); }
    std::unique_ptr<ZmqLinks> child(const std::string &uuid, Notes &child_notes, CurveKeys own,
                                    ZmqLinks::Setup setup)
    {
        setup.uuid = uuid;
        setup.keys = own;
        auto links = std::make_unique<ZmqLinks>(loop, setup);
        links->set_receiver(&child_notes);
        links->connect(address);
        return links;
    }
    std::unique_ptr<ZmqLinks> child(const std::string &uuid, Notes &child_notes)
    {
        return child(uuid, child_notes, keys, {});
    }

    Directory directory;
    EvLoop loop;
    CurveKeys keys = make_curve_keys();
    LinkAddress address;
    Notes notes;
    std::unique_ptr<ZmqLinks> parent;
};

// A peer that has the key and does not keep to anything else.
class RawChild {
public:
    RawChild(const Tree &tree, const std::string &uuid)
        : context_(zmq_ctx_new()), socket_(zmq_socket(context_, ZMQ_DEALER))
    {
        set(ZMQ_ROUTING_ID, uuid);
        set(ZMQ_CURVE_PUBLICKEY, tree.keys.public_key);
        set(ZMQ_CURVE_SECRETKEY, tree.keys.secret_key);
        set(ZMQ_CURVE_SERVERKEY, tree.keys.public_key);
        int none = 0, one = 1;
        zmq_setsockopt(socket_, ZMQ_LINGER, &none, sizeof none);
        zmq_setsockopt(socket_, ZMQ_RCVHWM, &one, sizeof one);
        EXPECT_EQ(zmq_connect(socket_, tree.address.uri.c_str()), 0);
    }
    ~RawChild()
    {
        zmq_close(socket_);
        zmq_ctx_term(context_);
    }
    void send_bytes(std::string_view bytes, bool more = false)
    {
        EXPECT_GE(zmq_send(socket_, bytes.data(), bytes.size(), more ? ZMQ_SNDMORE : 0), 0);
    }
    void send(const Message &message)
    {
        std::string bytes;
        encode_message(message, bytes, false);
        send_bytes(bytes);
    }
    std::optional<Message> receive()
    {
        std::string bytes(1 << 20, '\0');
        int size = zmq_recv(socket_, bytes.data(), bytes.size(), ZMQ_DONTWAIT);
        if (size < 0)
            return std::nullopt;
        return value_or_throw(decode_message({bytes.data(), size_t(size)}));
    }

private:
    void set(int option, const std::string &value)
    {
        EXPECT_EQ(zmq_setsockopt(socket_, option, value.data(), value.size()), 0);
    }
    void *context_, *socket_;
};

} // namespace

TEST(ZmqLinks, MessagesGoBothWaysInOrder)
{
    Tree tree;
    Notes notes;
    auto child = tree.child("child", notes);
    for (int i = 0; i < 1000; i++)
        child->send_to_parent(said(std::to_string(i)));
    ASSERT_TRUE(tree.run_until([&] { return tree.notes.up.size() == 1000; }));
    for (int i = 0; i < 1000; i++)
        tree.parent->send_to_child(RouteId("child"), said(std::to_string(i)));
    ASSERT_TRUE(tree.run_until([&] { return notes.down.size() == 1000; }));
    for (size_t i = 0; i < 1000; i++) {
        EXPECT_EQ(tree.notes.up[i].second.topic, std::to_string(i));
        EXPECT_EQ(notes.down[i].topic, std::to_string(i));
    }
}

TEST(ZmqLinks, AStrangersKeyIsNotLetIn)
{
    Tree tree;
    Notes notes;
    auto stranger = tree.child("stranger", notes, make_curve_keys(), {});
    stranger->send_to_parent(said("hello"));
    ASSERT_TRUE(tree.run_until([&] { return !notes.parent_losses.empty(); }));
    EXPECT_TRUE(notes.parent_losses[0].contains("key")) << notes.parent_losses[0];
    EXPECT_TRUE(tree.notes.up.empty());
}

TEST(ZmqLinks, BytesThatAreNoMessageCostAChildItsLinkAndNobodyElse)
{
    struct Case {
        const char *what;
        std::vector<std::string> frames;
    };
    std::string random_bytes;
    Random random(7);
    for (int i = 0; i < 5000; i++)
        random_bytes += char(random.below(256));
    std::string good;
    encode_message(said("a"), good, false);
    for (auto &[what, frames] :
         {Case {"text", {"GET / HTTP/1.1"}}, Case {"nothing", {""}}, Case {"zeros", {std::string(64, '\0')}},
          Case {"random", {random_bytes}}, Case {"cut off", {good.substr(0, good.size() - 3)}},
          Case {"several frames", {good, good}}}) {
        Tree tree;
        Notes notes;
        auto other = tree.child("other", notes);
        RawChild bad(tree, "bad");
        bad.send(said("hello"));
        for (auto &frame : frames)
            bad.send_bytes(frame, &frame != &frames.back());
        bad.send(said("afterwards"));
        ASSERT_TRUE(tree.run_until([&] { return !tree.notes.child_losses.empty(); })) << what;
        EXPECT_EQ(tree.notes.child_losses[0].first, "bad") << what;
        EXPECT_TRUE(tree.notes.child_losses[0].second.contains("message"))
            << tree.notes.child_losses[0].second;
        other->send_to_parent(said("hello"));
        ASSERT_TRUE(tree.run_until([&] { return tree.notes.heard_of("other"); })) << what;
        for (auto &[child, message] : tree.notes.up)
            EXPECT_NE(message.topic, "afterwards") << what;
        EXPECT_EQ(tree.notes.child_losses.size(), 1u) << what;
    }
}

TEST(ZmqLinks, BytesThatAreNotEvenZeroMqsEndNothingElse)
{
    Tree tree;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address {};
    address.sun_family = AF_UNIX;
    tree.address.uri.substr(strlen("ipc://")).copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(connect(fd, reinterpret_cast<sockaddr *>(&address), sizeof address), 0);
    std::string garbage(1000, '\xee');
    ASSERT_EQ(write(fd, garbage.data(), garbage.size()), ssize_t(garbage.size()));
    Notes notes;
    auto child = tree.child("child", notes);
    child->send_to_parent(said("hello"));
    ASSERT_TRUE(tree.run_until([&] { return tree.notes.heard_of("child"); }));
    close(fd);
}

// --- too large

TEST(ZmqLinks, AMessageBeyondTheLimitCostsItsSenderTheConnection)
{
    Tree tree({.max_message = 10000});
    RawChild bad(tree, "bad");
    bad.send(said("hello"));
    ASSERT_TRUE(tree.run_until([&] { return tree.notes.heard_of("bad"); }));
    bad.send(said("large", 20000));
    ASSERT_TRUE(tree.run_until([&] { return !tree.notes.child_losses.empty(); }));
    EXPECT_EQ(tree.notes.up.size(), 1u);
}

TEST(ZmqLinks, AMessageAtTheLimitGoesThrough)
{
    std::string bytes;
    encode_message(said("large", 20000), bytes, false);
    Tree tree({.max_message = bytes.size()});
    Notes notes;
    auto child = tree.child("child", notes);
    child->send_to_parent(said("large", 20000));
    ASSERT_TRUE(tree.run_until([&] { return tree.notes.heard_of("child"); }));
}

TEST(ZmqLinks, WhatIsTooLargeToSendIsAnsweredWithAnErrorAndTheLinkStays)
{
    Tree tree({.max_message = 10000});
    Notes notes;
    auto child = tree.child("child", notes, tree.keys, {.max_message = 10000});
    RouteId id("child");
    child->send_to_parent(said("hello"));
    ASSERT_TRUE(tree.run_until([&] { return tree.notes.heard_of("child"); }));

    auto request = Message::request("a.b", Json {{"pad", std::string(20000, 'x')}});
    request.matchtag = 7;
    request.route.push_back(RouteId("somebody"));
    child->send_to_parent(request);
    ASSERT_TRUE(tree.run_until([&] { return !notes.down.empty(); }));
    auto answer = notes.down[0];
    ASSERT_TRUE(answer.is_response());
    EXPECT_EQ(answer.errnum, uint32_t(EMSGSIZE));
    EXPECT_EQ(answer.matchtag, 7u);
    EXPECT_EQ(answer.route, request.route);
    EXPECT_TRUE(answer.to_error().text().contains("10000")) << answer.to_error().text();

    tree.parent->send_to_child(id, Message::response_to(request, Json {{"pad", std::string(20000, 'x')}}));
    ASSERT_TRUE(tree.run_until([&] { return notes.down.size() == 2; }));
    EXPECT_EQ(notes.down[1].errnum, uint32_t(EMSGSIZE));
    EXPECT_TRUE(tree.notes.child_losses.empty() && notes.parent_losses.empty());
}

// --- who does not read

namespace {

constexpr size_t large = 16 << 10; // bytes; a hundred of them are more than an ipc socket takes

void send_many(Tree &tree, const char *child, int count)
{
    for (int i = 0; i < count; i++)
        tree.parent->send_to_child(RouteId(child), said(std::to_string(i), large));
}

} // namespace

TEST(ZmqLinks, AChildThatTakesNothingIsLostAfterAWhileAndHoldsUpNobody)
{
    Tree tree({.sndhwm = 4, .child_patience = std::chrono::milliseconds(1)});
    Notes notes;
    auto other = tree.child("other", notes);
    RawChild silent(tree, "silent");
    silent.send(said("hello"));
    other->send_to_parent(said("hello"));
    ASSERT_TRUE(tree.run_until([&] { return tree.notes.up.size() == 2; }));
    send_many(tree, "silent", 1000);
    tree.parent->send_to_child(RouteId("other"), said("news"));
    ASSERT_TRUE(tree.run_until([&] { return !notes.down.empty(); })) << "the other one gets its messages";
    ASSERT_TRUE(tree.run_until([&] { return !tree.notes.child_losses.empty(); }));
    EXPECT_EQ(tree.notes.child_losses[0].first, "silent");
    EXPECT_TRUE(tree.notes.child_losses[0].second.contains("taken no message"))
        << tree.notes.child_losses[0].second;
}

TEST(ZmqLinks, AChildForWhichTooMuchWaitsIsLost)
{
    Tree tree({.sndhwm = 4, .max_outbox = 1 << 20, .child_patience = std::chrono::hours(1)});
    RawChild silent(tree, "silent");
    silent.send(said("hello"));
    ASSERT_TRUE(tree.run_until([&] { return tree.notes.heard_of("silent"); }));
    send_many(tree, "silent", 1000);
    ASSERT_TRUE(tree.run_until([&] { return !tree.notes.child_losses.empty(); }));
    EXPECT_TRUE(tree.notes.child_losses[0].second.contains("bytes wait"))
        << tree.notes.child_losses[0].second;
    EXPECT_EQ(tree.notes.child_losses.size(), 1u) << "told once";
}

TEST(ZmqLinks, AChildThatReadsAgainGetsAllInOrder)
{
    Tree tree({.sndhwm = 4, .child_patience = std::chrono::hours(1)});
    RawChild slow(tree, "slow");
    slow.send(said("hello"));
    ASSERT_TRUE(tree.run_until([&] { return tree.notes.heard_of("slow"); }));
    constexpr int count = 300;
    send_many(tree, "slow", count);
    std::vector<std::string> got;
    ASSERT_TRUE(tree.poll_until([&] {
        while (auto message = slow.receive())
            got.push_back(message->topic);
        return got.size() == count;
    }));
    for (int i = 0; i < count; i++)
        EXPECT_EQ(got[size_t(i)], std::to_string(i));
    EXPECT_TRUE(tree.notes.child_losses.empty());
}

TEST(ZmqLinks, AParentThatTakesNothingIsLostWhenTooMuchWaits)
{
    Tree tree;
    tree.parent.reset(); // nobody is there, and will not be
    Notes notes;
    auto child = tree.child("child", notes, tree.keys, {.sndhwm = 4, .max_outbox = 1 << 20});
    for (int i = 0; i < 100; i++)
        child->send_to_parent(said("news", large));
    ASSERT_TRUE(tree.run_until([&] { return !notes.parent_losses.empty(); }));
    EXPECT_TRUE(notes.parent_losses[0].contains("bytes wait")) << notes.parent_losses[0];
}

// --- the overlay above

TEST(ZmqLinks, ABrokerLivesWhenAChildSendsGarbageAndTellsIt)
{
    Tree tree;
    Random random(1);
    BrokerSetup setup;
    setup.platform.loop = &tree.loop;
    setup.platform.random = &random;
    setup.topology = Topology(0, 3, 2);
    Broker broker(std::move(setup));
    Overlay overlay(broker, std::move(tree.parent));
    overlay.admit_children();
    auto hello_of = [](uint32_t rank) {
        auto hello = Message::request("overlay.hello", Json {{"rank", rank}, {"version", ""}});
        hello.matchtag = 1;
        return hello;
    };
    RawChild bad(tree, "bad"), good(tree, "good");
    bad.send(hello_of(1));
    std::optional<Message> answer;
    ASSERT_TRUE(tree.poll_until([&] { return (answer = bad.receive()).has_value(); }));
    EXPECT_EQ(answer->errnum, 0u);
    bad.send_bytes("garbage");
    ASSERT_TRUE(tree.poll_until([&] { return (answer = bad.receive()).has_value(); }));
    EXPECT_EQ(answer->type, MessageType::control) << "it hears that it is on its own";
    EXPECT_EQ(overlay.status(), SubtreeStatus::degraded);
    good.send(hello_of(2));
    ASSERT_TRUE(tree.poll_until([&] { return (answer = good.receive()).has_value(); }));
    EXPECT_EQ(answer->errnum, 0u);
}
