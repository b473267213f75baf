// The broker's socket, from outside: who may say what, how much, and how many at once.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "broker/local_server.hpp"
#include "common/message/codec.hpp"
#include "common/runtime/ev_loop.hpp"

using namespace flux;

namespace {

constexpr auto patience = std::chrono::seconds(60); // a test that hangs fails then

// Counts how often descriptors have woken the loop.
class CountingLoop : public EvLoop {
public:
    std::unique_ptr<FdWatch> watch_fd(int fd, bool read, bool write, FdCallback fn) override
    {
        return EvLoop::watch_fd(fd, read, write,
                                [this, fn = std::move(fn)](bool readable, bool writable) mutable {
                                    wakes++;
                                    fn(readable, writable);
                                });
    }
    bool run_until(const std::function<bool()> &done)
    {
        Timer too_late(*this, patience, [this] { late_ = true; });
        while (!done() && !late_)
            step(true);
        return !late_;
    }
    size_t wakes = 0;

private:
    bool late_ = false;
};

struct Directory {
    Directory() { EXPECT_TRUE(mkdtemp(path.data())); }
    ~Directory() { std::filesystem::remove_all(path); }
    std::string path = std::filesystem::temp_directory_path() / "flux-test-XXXXXX";
};

enum class As { owner, guest };

// A broker of one, which takes this user for its owner or for a guest.
struct World {
    explicit World(As who, LocalServer::Limits limits = {}) : World(who, limits, true) {}
    World(As who, LocalServer::Limits limits, bool with_server)
    {
        BrokerSetup setup;
        setup.platform.loop = &loop;
        setup.platform.random = &random;
        setup.owner = who == As::owner ? getuid() : getuid() + 1;
        setup.config = Json {{"access", Json {{"allow-guest-user", true}}}};
        broker = std::make_unique<Broker>(std::move(setup));
        if (with_server)
            server = std::make_unique<LocalServer>(*broker, path, limits);
    }
    // How many lines of the log hold the text.
    size_t logged(std::string_view text) const
    {
        auto &lines = broker->logger().ring().lines();
        return size_t(std::ranges::count_if(lines, [&](auto &line) { return line.contains(text); }));
    }

    Directory directory;
    std::string path = directory.path + "/local";
    CountingLoop loop;
    Random random {1};
    std::unique_ptr<Broker> broker;
    std::unique_ptr<LocalServer> server;
};

// A program at the socket, which may do what no client library does.
class Program {
public:
    explicit Program(World &world) : loop_(world.loop), fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0))
    {
        sockaddr_un address {};
        address.sun_family = AF_UNIX;
        world.path.copy(address.sun_path, sizeof address.sun_path - 1);
        EXPECT_EQ(connect(fd_, reinterpret_cast<sockaddr *>(&address), sizeof address), 0)
            << errno_text(errno);
        watch_ = loop_.watch_fd(fd_, true, false, [this](bool, bool) { read_some(); });
    }
    ~Program() { hang_up(); }
    void hang_up()
    {
        watch_.reset();
        if (fd_ >= 0)
            close(std::exchange(fd_, -1));
    }
    void stop_reading() { watch_->set(false, false); }
    // As much as the socket takes; false when it is closed at the other end.
    bool write(std::string_view bytes)
    {
        while (!bytes.empty()) {
            ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
            if (n < 0 && errno != EAGAIN)
                return false;
            if (n > 0)
                bytes.remove_prefix(size_t(n));
            loop_.step(false);
        }
        return true;
    }
    bool send(const Message &message)
    {
        std::string bytes;
        encode_message(message, bytes, true);
        return write(bytes);
    }
    bool accepted() const { return verdict == 0; }

    std::optional<int> verdict; // the first byte
    bool closed = false;
    std::vector<Message> inbox;

private:
    void read_some()
    {
        char buffer[1 << 16];
        ssize_t n = recv(fd_, buffer, sizeof buffer, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            closed = true;
            watch_->set(false, false);
            return;
        }
        std::string_view bytes(buffer, size_t(n));
        if (!verdict) {
            verdict = uint8_t(bytes[0]);
            bytes.remove_prefix(1);
        }
        reader_.append(bytes);
        while (auto message = value_or_throw(reader_.next()))
            inbox.push_back(std::move(*message));
    }
    CountingLoop &loop_;
    int fd_;
    std::unique_ptr<Loop::FdWatch> watch_;
    FrameReader reader_;
};

Message ping(uint32_t matchtag = 1)
{
    auto request = Message::request("broker.ping", Json::object());
    request.matchtag = matchtag;
    return request;
}

} // namespace

TEST(LocalServer, AGuestIsWhoTheKernelSaysWhateverItsMessageSays)
{
    World world(As::guest);
    Program guest(world);
    auto forged = ping();
    forged.credentials = {world.broker->owner(), role::owner | role::admin};
    forged.route = {RouteId("somebody"), RouteId("else")};
    ASSERT_TRUE(guest.send(forged));
    ASSERT_TRUE(world.loop.run_until([&] { return !guest.inbox.empty(); }));
    auto &answer = guest.inbox[0];
    EXPECT_EQ(answer.errnum, 0u);
    EXPECT_TRUE(answer.route.empty()) << "its hops are dropped";
    EXPECT_EQ(answer.json().get<uint32_t>("userid"), getuid());
    EXPECT_EQ(answer.json().get<uint32_t>("rolemask"), role::user | role::local);
    EXPECT_FALSE(answer.json().get<std::string>("route").contains("somebody"));
}

TEST(LocalServer, AGuestThatCallsItselfTheOwnerMayNotMoreThanAGuest)
{
    World world(As::guest);
    Program guest(world);
    auto forged = Message::request("attr.set", Json {{"name", "a"}, {"value", "b"}});
    forged.matchtag = 1;
    forged.credentials = {world.broker->owner(), role::owner};
    ASSERT_TRUE(guest.send(forged));
    ASSERT_TRUE(world.loop.run_until([&] { return !guest.inbox.empty(); }));
    EXPECT_EQ(guest.inbox[0].errnum, uint32_t(EPERM));
    EXPECT_FALSE(world.broker->attributes().get("a"));
}

TEST(LocalServer, AGuestsEventIsFromTheGuest)
{
    World world(As::guest);
    Program guest(world);
    auto subscribe = Message::request("event.subscribe", Json {{"topic", "news"}});
    subscribe.matchtag = 1;
    ASSERT_TRUE(guest.send(subscribe));
    ASSERT_TRUE(world.loop.run_until([&] { return !guest.inbox.empty(); }));
    auto forged = Message::event("news", Json::object());
    forged.credentials = {world.broker->owner(), role::owner};
    forged.route = {RouteId("somebody")};
    ASSERT_TRUE(guest.send(forged));
    ASSERT_TRUE(world.loop.run_until([&] { return guest.inbox.size() == 2; }));
    auto &event = guest.inbox[1];
    ASSERT_TRUE(event.is_event());
    EXPECT_EQ(event.credentials, (Credentials {getuid(), role::user | role::local}));
    ASSERT_EQ(event.route.size(), 1u);
    EXPECT_NE(event.route[0].text(), "somebody");
}

TEST(LocalServer, ANobodysAnswerGoesNowhere)
{
    World world(As::guest);
    Program guest(world), other(world);
    ASSERT_TRUE(other.send(ping()));
    ASSERT_TRUE(world.loop.run_until([&] { return !other.inbox.empty(); }));
    auto forged = Message::response_to(ping(), Json {{"forged", true}});
    forged.route = {RouteId(other.inbox[0].json().get<std::string>("route"))};
    ASSERT_TRUE(guest.send(forged));
    ASSERT_TRUE(guest.send(ping())); // what came before is dealt with when this is answered
    ASSERT_TRUE(world.loop.run_until([&] { return !guest.inbox.empty(); }));
    EXPECT_EQ(other.inbox.size(), 1u);
}

TEST(LocalServer, TheOwnerMaySpeakForSomebodyElse)
{
    World world(As::owner);
    Program owner(world);
    auto request = ping();
    request.credentials = {4711, role::user};
    ASSERT_TRUE(owner.send(request));
    ASSERT_TRUE(world.loop.run_until([&] { return !owner.inbox.empty(); }));
    EXPECT_EQ(owner.inbox[0].json().get<uint32_t>("userid"), 4711u);
    EXPECT_EQ(owner.inbox[0].json().get<uint32_t>("rolemask"), role::user);
}

TEST(LocalServer, BytesThatAreNoMessageEndTheirConnectionOnly)
{
    World world(As::owner);
    Program stranger(world), client(world);
    stranger.write("GET / HTTP/1.1\r\n\r\n");
    ASSERT_TRUE(world.loop.run_until([&] { return stranger.closed; }));
    ASSERT_TRUE(client.send(ping()));
    ASSERT_TRUE(world.loop.run_until([&] { return !client.inbox.empty(); }));
}

// --- limits

TEST(LocalServer, MoreConnectionsThanTheLimitAreRefusedUntilOneEnds)
{
    World world(As::owner, {.connections = 2});
    Program first(world), second(world), third(world), fourth(world);
    ASSERT_TRUE(world.loop.run_until([&] { return third.closed && fourth.closed; }));
    EXPECT_TRUE(first.accepted() && second.accepted());
    EXPECT_EQ(third.verdict, EUSERS);
    EXPECT_EQ(world.logged("connections"), 1u) << "said once";
    first.hang_up();
    bool taken = false;
    for (bool in_time = true;
         in_time && !taken;) { // the server may hear of the next before it hears of the end
        Program next(world);
        in_time = world.loop.run_until([&] { return next.verdict.has_value(); });
        taken = next.accepted();
    }
    EXPECT_TRUE(taken);
}

TEST(LocalServer, GuestsLeaveRoomForTheOwner)
{
    World world(As::guest, {.connections = 8, .guest_connections = 1});
    Program first(world), second(world);
    ASSERT_TRUE(world.loop.run_until([&] { return second.closed; }));
    EXPECT_TRUE(first.accepted());
    EXPECT_EQ(second.verdict, EUSERS);
}

TEST(LocalServer, AGuestThatAnnouncesMoreThanItMayKeepHereIsDropped)
{
    World world(As::guest, {.guest_buffer = 10000});
    Program guest(world), modest(world);
    auto big = ping();
    big.payload = Json {{"pad", std::string(20000, 'x')}};
    guest.send(big);
    ASSERT_TRUE(world.loop.run_until([&] { return guest.closed; }));
    EXPECT_EQ(world.logged(fmt::format("uid {} dropped", getuid())), 1u);
    EXPECT_EQ(world.logged("10000"), 1u) << "the limit is named";
    auto small = ping();
    small.payload = Json {{"pad", std::string(8000, 'x')}};
    ASSERT_TRUE(modest.send(small));
    ASSERT_TRUE(world.loop.run_until([&] { return !modest.inbox.empty(); }));
}

TEST(LocalServer, AGuestThatDoesNotReadItsAnswersIsDropped)
{
    World world(As::guest, {.guest_buffer = 1 << 20});
    Program guest(world);
    ASSERT_TRUE(world.loop.run_until([&] { return guest.verdict.has_value(); }));
    guest.stop_reading();
    auto request = ping();
    request.payload = Json {{"pad", std::string(10000, 'x')}};
    for (int i = 0; i < 1000 && guest.send(request); i++) {
    }
    ASSERT_TRUE(world.loop.run_until([&] { return world.logged("does not read") > 0; }));
}

TEST(LocalServer, AnOwnerMayKeepMore)
{
    World world(As::owner, {.guest_buffer = 10000});
    Program owner(world);
    auto big = ping();
    big.payload = Json {{"pad", std::string(20000, 'x')}};
    ASSERT_TRUE(owner.send(big));
    ASSERT_TRUE(world.loop.run_until([&] { return !owner.inbox.empty(); }));
}

// --- descriptors

namespace {

// While it lives, this process can open no further descriptor.
struct NoDescriptors {
    NoDescriptors()
    {
        getrlimit(RLIMIT_NOFILE, &before);
        int next = dup(0);
        close(next);
        rlimit none = before;
        none.rlim_cur = rlim_t(next);
        setrlimit(RLIMIT_NOFILE, &none);
    }
    ~NoDescriptors() { setrlimit(RLIMIT_NOFILE, &before); }
    rlimit before {};
};

// Lets the loop turn `turns` times for something else.
void turn(CountingLoop &loop, size_t turns)
{
    for (size_t i = 0; i < turns; i++) {
        loop.post([] {});
        loop.step(true);
    }
}

} // namespace

TEST(LocalServer, WithoutDescriptorsItStopsAcceptingUntilAConnectionEnds)
{
    World world(As::owner, {.accept_pause = std::chrono::hours(1)});
    Program first(world);
    ASSERT_TRUE(world.loop.run_until([&] { return first.verdict.has_value(); }));
    Program waiting(world), more(world);
    NoDescriptors none;
    ASSERT_TRUE(world.loop.run_until([&] { return world.logged("descriptors") > 0; }));
    auto before = world.loop.wakes;
    turn(world.loop, 100);
    EXPECT_LT(world.loop.wakes - before, 10u) << "it does not spin";
    EXPECT_EQ(world.logged("descriptors"), 1u);
    first.hang_up();
    ASSERT_TRUE(world.loop.run_until([&] { return waiting.verdict.has_value(); }));
    EXPECT_TRUE(waiting.accepted());
}

TEST(LocalServer, WithoutDescriptorsItTriesAgainAfterAWhile)
{
    World world(As::owner, {.accept_pause = std::chrono::milliseconds(1)});
    Program waiting(world);
    {
        NoDescriptors none;
        ASSERT_TRUE(world.loop.run_until([&] { return world.logged("descriptors") > 0; }));
    }
    ASSERT_TRUE(world.loop.run_until([&] { return waiting.verdict.has_value(); }));
    EXPECT_EQ(world.logged("descriptors"), 1u) << "said once";
}

// --- the path

TEST(LocalServer, AnotherBrokersSocketIsNotTaken)
{
    World living(As::owner);
    try {
        LocalServer second(*living.broker, living.path);
        ADD_FAILURE() << "it took the socket of a broker that lives";
    } catch (const Error &error) {
        EXPECT_EQ(error.errnum(), EADDRINUSE);
        EXPECT_TRUE(error.text().contains(living.path)) << error.text();
        EXPECT_TRUE(error.text().contains("rundir")) << error.text();
    }
    Program client(living);
    ASSERT_TRUE(living.loop.run_until([&] { return client.verdict.has_value(); }));
    EXPECT_TRUE(client.accepted());
}

TEST(LocalServer, TheSocketOfADeadBrokerIsReplaced)
{
    World world(As::owner, {}, false);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address {};
    address.sun_family = AF_UNIX;
    world.path.copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr *>(&address), sizeof address), 0);
    close(fd);
    world.server = std::make_unique<LocalServer>(*world.broker, world.path);
    Program client(world);
    ASSERT_TRUE(world.loop.run_until([&] { return client.verdict.has_value(); }));
    EXPECT_TRUE(client.accepted());
}

TEST(LocalServer, WhatIsNoSocketIsNotRemoved)
{
    World world(As::owner, {}, false);
    std::ofstream(world.path) << "precious";
    try {
        LocalServer server(*world.broker, world.path);
        ADD_FAILURE() << "a file was replaced by a socket";
    } catch (const Error &error) {
        EXPECT_EQ(error.errnum(), EEXIST);
        EXPECT_TRUE(error.text().contains(world.path)) << error.text();
    }
    EXPECT_TRUE(std::filesystem::is_regular_file(world.path));
}
