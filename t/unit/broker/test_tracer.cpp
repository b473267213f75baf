// What passes is told to those who ask, as they ask for it, and never more than they take.
#include <gtest/gtest.h>

#include "broker/tracer.hpp"
#include "common/runtime/sim_loop.hpp"

using namespace flux;

namespace {

struct Traced : testing::Test {
    SimClock clock;
    SimLoop loop {clock};
    Tracer tracer {"module", loop}; // outlives the service's tasks
    Handle client {loop, [this](Message message) {
                       message.route.push_back(RouteId("client"));
                       message.credentials = {0, role::owner};
                       if (tracer.active())
                           tracer.note("kvs", Tracer::Way::received, message);
                       loop.post([this, message = std::move(message)]() mutable {
                           service.receive(std::move(message));
                       });
                   }};
    Handle service {
        loop, [this](Message message) {
            if (tracer.active())
                tracer.note("kvs", Tracer::Way::sent, message);
            message.route.pop_back();
            loop.post([this, message = std::move(message)]() mutable { client.receive(std::move(message)); });
        }};
    Gate tasks {loop};
    std::vector<Json> heard;
    size_t dropped = 0, answers = 0;

    void SetUp() override { tracer.serve(service); }
    Task<> listen(Json request, bool take)
    {
        auto stream = client.stream("module.trace", request, {}, "module.trace-cancel");
        while (auto answer = co_await stream.next()) {
            const Json &json = answer->json();
            answers++;
            for (auto message : json["messages"].elements())
                heard.push_back(message);
            dropped += json.value<size_t>("dropped", 0);
            Json taken = Json::make("id", json["id"]);
            if (take)
                client.notify("module.trace-more", taken);
        }
    }
    Task<> try_listen(Json request, std::string *error)
    {
        try {
            co_await listen(request, true);
        } catch (const Error &caught) {
            *error = caught.text();
        }
    }
    void start(Json request, bool take = true)
    {
        tasks.spawn(listen(std::move(request), take));
        loop.run();
    }
    void note(std::string_view peer, Message message, Tracer::Way way = Tracer::Way::received)
    {
        if (tracer.active())
            tracer.note(peer, way, message);
        loop.run();
    }
    std::string topics() const
    {
        std::string out;
        for (const auto &message : heard)
            out += (out.empty() ? "" : " ") + message.get<std::string>("topic");
        return out;
    }
};

} // namespace

TEST_F(Traced, nobody_asks_nothing_is_kept)
{
    EXPECT_FALSE(tracer.active());
    auto id = tasks.spawn(listen(Json::object(), true));
    loop.run();
    EXPECT_TRUE(tracer.active());
    tasks.cancel(id);
    loop.run();
    EXPECT_FALSE(tracer.active()) << "who leaves is not told any more";
}

TEST_F(Traced, messages_are_told_in_order_with_what_is_asked_for)
{
    start(Json {{"full", true}});
    note("kvs", Message::request("kvs.get", Json {{"key", "a"}}));
    auto failed = Message::error_response_to(Message::request("kvs.get"), Error(ENOENT, "no"));
    note("kvs", failed, Tracer::Way::sent);
    note("sched", Message::event("heartbeat.pulse"));
    note("1", Message::control(1, 2));
    ASSERT_EQ(heard.size(), 4u);
    EXPECT_EQ(heard[0]["payload"].dump(), R"({"key":"a"})");
    EXPECT_EQ(heard[0].get<std::string>("way"), "rx");
    EXPECT_EQ(heard[0].get<size_t>("size"), std::string_view(R"({"key":"a"})").size() + 1);
    EXPECT_EQ(heard[1].get<int>("errnum"), ENOENT);
    EXPECT_FALSE(heard[1].contains("payload")) << "no JSON";
    EXPECT_EQ(heard[1].get<std::string>("way"), "tx");
    EXPECT_EQ(heard[2].get<std::string>("type"), "event");
    EXPECT_EQ(heard[3].get<uint32_t>("status"), 2u);
}

TEST_F(Traced, peers_types_and_topics_choose)
{
    Json request =
        Json::parse_or_throw(R"({"peers":["kvs","later"],"types":["request","event"],"topic":"*.g*"})");
    start(request);
    note("kvs", Message::request("kvs.get", Json {{"key", "a"}}));
    note("kvs", Message::request("kvs.put"));
    note("sched", Message::request("sched.get"));
    note("kvs", Message::response_to(Message::request("kvs.get")));
    note("later", Message::event("later.go"));
    EXPECT_EQ(topics(), "kvs.get later.go");
    EXPECT_FALSE(heard[0].contains("payload"));
}

TEST_F(Traced, traces_do_not_see_themselves_or_each_other)
{
    start(Json::object());
    start(Json::object());
    note("kvs", Message::request("kvs.get"));
    EXPECT_EQ(topics(), "kvs.get kvs.get");
    note("1", Message::request("overlay.trace-more"));
    EXPECT_EQ(heard.size(), 2u);
}

TEST_F(Traced, who_does_not_take_what_is_told_costs_no_more_than_the_limit)
{
    start(Json::object(), false);
    for (size_t i = 0; i < Tracer::max_waiting + 5000; i++)
        tracer.note("kvs", Tracer::Way::received, Message::request("kvs.get"));
    loop.run();
    EXPECT_EQ(answers, Tracer::max_answers);
    EXPECT_EQ(heard.size(), (Tracer::max_answers - 1) * Tracer::max_in_answer)
        << "the first says that it has begun";
    Json taken = Json::make("id", 1);
    for (size_t tries = 0; tries < 1000; tries++) {
        client.notify("module.trace-more", taken);
        loop.run();
    }
    EXPECT_EQ(heard.size(), Tracer::max_waiting);
    EXPECT_EQ(dropped, 5000u);
}

TEST_F(Traced, payloads_that_are_large_have_limits_too)
{
    start(Json {{"full", true}}, false);
    std::string large(Tracer::max_payload / 2, 'x');
    for (size_t i = 0; i < 100; i++)
        tracer.note("kvs", Tracer::Way::received, Message::request("kvs.put", Json {{"data", large}}));
    std::string too_large(Tracer::max_payload, 'x');
    tracer.note("kvs", Tracer::Way::received, Message::request("kvs.put", Json {{"data", too_large}}));
    loop.run();
    size_t in_answer = Tracer::max_answer_bytes / large.size() + 1;
    EXPECT_LE(heard.size(), (Tracer::max_answers - 1) * in_answer);
    Json taken = Json::make("id", 1);
    for (size_t tries = 0; tries < 100; tries++) {
        client.notify("module.trace-more", taken);
        loop.run();
    }
    EXPECT_EQ(heard.size() + dropped, 101u);
    EXPECT_GT(dropped, 0u);
    EXPECT_FALSE(heard.back().contains("payload")) << "a longer one is left out, the rest is told";
    EXPECT_GT(heard.back().get<size_t>("size"), Tracer::max_payload);
}

TEST_F(Traced, what_makes_no_sense_is_refused_with_a_sentence)
{
    std::string error;
    tasks.spawn(try_listen(Json::parse_or_throw(R"({"types":["letter"]})"), &error));
    loop.run();
    EXPECT_EQ(error, "types: \"letter\" is none of request, response, event, control");
    for (size_t n = 0; n < Tracer::max_traces; n++)
        start(Json::object());
    tasks.spawn(try_listen(Json::object(), &error));
    loop.run();
    EXPECT_EQ(error, "32 traces are under way on this broker, more are not possible");
}
