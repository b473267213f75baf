#include <gtest/gtest.h>

#include "common/client/handle.hpp"
#include "common/runtime/sim_loop.hpp"

using namespace flux;

namespace {

// A client and a service, back to back on one simulated loop; the wire stamps the sender's identity and credentials.
struct Pair : testing::Test {
    SimClock clock;
    SimLoop loop {clock};
    Credentials credentials {0, role::owner};
    Handle client {loop, [this](Message message) {
                       message.route.push_back(RouteId("client"));
                       message.credentials = credentials;
                       loop.post([this, message = std::move(message)]() mutable { service.receive(std::move(message)); });
                   }};
    Handle service {loop, [this](Message message) {
                        if (message.is_response())
                            message.route.pop_back();
                        loop.post([this, message = std::move(message)]() mutable { client.receive(std::move(message)); });
                    }};
    Gate tasks {loop};
    std::string log;

    // Runs one conversation and notes how it ended.
    void talk(Task<> (Pair::*conversation)())
    {
        tasks.spawn(note(conversation));
        loop.run();
    }
    Task<> note(Task<> (Pair::*conversation)())
    {
        try {
            co_await (this->*conversation)();
            log += "ok";
        } catch (const Error &error) {
            log += fmt::format("{}: {}", error.errnum(), error.text());
        }
    }
    Task<> ask()
    {
        Message answer = co_await client.rpc("s.ask", Json::make("n", 20));
        log += answer.json().dump();
    }
    Task<> watch()
    {
        auto stream = client.stream("s.watch", {}, {}, "s.cancel");
        while (auto item = co_await stream.next()) {
            log += item->json().dump();
            if (item->json().get<int>("n") == 2)
                stream.cancel();
        }
    }
};

Task<Json> double_it(Request request)
{
    int n = request.get<int>("n");
    co_return Json {{"n", 2 * n}};
}

} // namespace

TEST_F(Pair, AnRpcIsAnsweredByACoroutine)
{
    service.serve("s.ask", role::none, Handle::CoroutineHandler(double_it));
    talk(&Pair::ask);
    EXPECT_EQ(log, R"({"n":40}ok)");
}

TEST_F(Pair, AnErrorInAHandlerIsTheErrorOfTheRpc)
{
    service.serve("s.ask", role::none, Handle::PlainHandler([](Request &request) -> Json {
                      throw Error(EINVAL, "n must not be {}", request.get<int>("n"));
                  }));
    talk(&Pair::ask);
    EXPECT_EQ(log, fmt::format("{}: n must not be 20", EINVAL));
}

TEST_F(Pair, AMethodThatNobodyServesIsRefused)
{
    talk(&Pair::ask);
    EXPECT_EQ(log, fmt::format("{}: Unknown service method s.ask", ENOSYS));
}

TEST_F(Pair, AStrangerIsRefusedWhatOnlyTheOwnerMay)
{
    credentials = {1000, role::user};
    service.serve("s.ask", role::none, Handle::CoroutineHandler(double_it));
    talk(&Pair::ask);
    EXPECT_TRUE(log.starts_with(std::to_string(EPERM))) << log;
    log.clear();
    service.serve("s.ask", role::user, Handle::CoroutineHandler(double_it));
    talk(&Pair::ask);
    EXPECT_EQ(log, R"({"n":40}ok)");
}

TEST_F(Pair, ADroppedRequestAnswersByItself)
{
    service.serve("s.ask", role::none, Handle::KeepingHandler([](Request) {}));
    talk(&Pair::ask);
    EXPECT_TRUE(log.starts_with(std::to_string(ECANCELED))) << log;
}

namespace {

Task<> count(Loop &loop, Request request)
{
    for (int n = 1;; n++) {
        request.respond(Json {{"n", n}});
        co_await sleep_for(loop, seconds(1));
    }
}

} // namespace

TEST_F(Pair, ACancelledStreamEndsNormallyAndItsHandlerIsGone)
{
    service.serve("s.watch", role::none,
                  Handle::StreamHandler([this](Request request) { return count(loop, std::move(request)); }));
    talk(&Pair::watch);
    EXPECT_EQ(log, R"({"n":1}{"n":2}ok)");
    EXPECT_EQ(service.gate().size(), 0u);
}

TEST_F(Pair, ADisconnectedClientEndsItsHandlers)
{
    service.serve("s.watch", role::none,
                  Handle::StreamHandler([this](Request request) { return count(loop, std::move(request)); }));
    auto stream = client.stream("s.watch");
    loop.run_until_time(seconds(5));
    EXPECT_EQ(service.gate().size(), 1u);
    client.notify("s.disconnect");
    loop.run();
    EXPECT_EQ(service.gate().size(), 0u);
}

TEST_F(Pair, ALostConnectionFailsWhatIsUnderWay)
{
    service.serve("s.ask", role::none, Handle::KeepingHandler([this](Request) {
                      client.fail_all(Error(ECONNRESET, "the broker is gone"));
                  }));
    talk(&Pair::ask);
    talk(&Pair::ask);
    auto expected = fmt::format("{}: the broker is gone", ECONNRESET);
    EXPECT_EQ(log, expected + expected);
}
