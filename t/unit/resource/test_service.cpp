// The resource module on ranks with the real KVS.
#include <gtest/gtest.h>

#include "common/kvs/lookup.hpp"
#include "modules/resource/resource.hpp"
#include "unit/kvs/kvs_tree.hpp"

using namespace flux;
using flux::test::Instance;
using flux::test::Party;

namespace {

constexpr const char *two_nodes =
    R"({"version":1,"execution":{"R_lite":[{"rank":"0-1","children":{"core":"0-3"}}],"starttime":0,)"
    R"("expiration":0,"nodelist":["a[0-1]"]}})";

struct WithResource {
    Instance run;
    std::unique_ptr<Party> party;
    std::unique_ptr<Resource> module;

    explicit WithResource(uint32_t size, const char *R, Json config = Json::object())
    {
        run.boot("state", size);
        auto &rank = *run.ranks[0];
        if (R)
            rank.attributes["resource.R"] = R;
        rank.attributes["hostlist"] = "a[0-1]";
        party = std::make_unique<Party>(rank, "resource", PeerKind::module);
        party->set_config(config);
        rank.router.add_service("resource", party->id());
        module = std::make_unique<Resource>(*party);
        run.run(module->start());
    }
};

struct Answers {
    std::vector<int> errnums; // 0: success
};

Task<> drain(Handle &handle, std::string rank, Answers *answers)
{
    Json args {{"targets", rank}, {"reason", "test"}};
    int errnum = 0;
    try {
        co_await handle.rpc("resource.drain", args);
    } catch (const Error &error) {
        errnum = error.errnum();
    }
    answers->errnums.push_back(errnum);
}

// The second comes while the first is being written.
Task<> drains_on_a_full_disk(Instance &run, Answers *answers)
{
    run.stores.set_full(true);
    Gate gate(run.loop);
    gate.spawn(drain(run.client(), "0", answers));
    co_await sleep_for(run.loop, std::chrono::microseconds(500));
    gate.spawn(drain(run.client(), "1", answers));
    co_await sleep_for(run.loop, std::chrono::milliseconds(500));
    EXPECT_EQ(answers->errnums, std::vector<int> {ENOSPC}) << "the other one is tried with the next commit";
    run.stores.set_full(false);
    co_await sleep_for(run.loop, std::chrono::seconds(10));
    EXPECT_EQ(answers->errnums, (std::vector<int> {ENOSPC, 0}));
    auto log = co_await kvs::get(run.client(), "resource.eventlog");
    EXPECT_NE(log.find(R"("idset":"0")"), log.npos) << log;
    EXPECT_NE(log.find(R"("idset":"1")"), log.npos) << log;
}

// While they wait to be stored they are in memory.
Task<> many_drains_on_a_full_disk(Instance &run)
{
    run.stores.set_full(true);
    int errnum = 0;
    for (int tries = 0; tries < 100 && errnum != ENOBUFS; tries++) {
        Json args {{"targets", "0"}, {"mode", "overwrite"}, {"reason", std::string(max_unsaved / 4, 'x')}};
        try {
            co_await run.client().rpc("resource.drain", args);
        } catch (const Error &error) {
            errnum = error.errnum();
        }
    }
    EXPECT_EQ(errnum, ENOBUFS);
    run.stores.set_full(false);
    co_await sleep_for(run.loop, std::chrono::seconds(10));
    Answers answers;
    co_await drain(run.client(), "1", &answers);
    EXPECT_EQ(answers.errnums, std::vector<int> {0});
}

Task<> acquire_twice(Instance &run)
{
    auto acquire = [&] {
        return run.client().stream("resource.acquire", {}, {}, "resource.acquire-cancel");
    };
    auto waits = std::make_unique<Stream>(acquire());
    co_await sleep_for(run.loop, std::chrono::seconds(1));
    waits.reset(); // it leaves before the other rank has told what it has
    co_await sleep_for(run.loop, std::chrono::seconds(1));
    auto second = acquire();
    Json node {{"rank", 1}, {"host", "a1"}, {"cores", 4}, {"gpus", 0}};
    Json nodes {{"nodes", Json::array().append(node)}};
    co_await run.client().rpc("resource.topo-reduce", nodes);
    auto first = co_await second.next();
    EXPECT_TRUE(first && first->json().contains("resources"));
    int errnum = 0;
    try {
        auto third = acquire();
        co_await third.next();
    } catch (const Error &error) {
        errnum = error.errnum();
    }
    EXPECT_EQ(errnum, EBUSY);
}

// What it hears when the configuration is each of these in turn.
Task<> acquire_under(WithResource &world, Json request, std::vector<Json> configurations,
                     std::vector<std::string> *heard)
{
    auto acquired = world.run.client().stream("resource.acquire", request, {}, "resource.acquire-cancel");
    auto first = co_await acquired.next();
    heard->push_back(
        first->json().at("resources", "execution", "R_lite")[size_t(0)].get<std::string>("rank"));
    for (const auto &config : configurations) {
        world.party->set_config(config);
        world.module->config_changed();
        auto next = co_await acquired.next();
        Json change = next->json();
        if (Json more = change["expand"])
            change = change.shallow_copy().set("expand", more["execution"]);
        heard->push_back(change.dump());
    }
}

// Two nodes that are always up.
Json fake_nodes(const char *more = "{}")
{
    Json out = Json::parse_or_throw(more);
    return out.set("fake-resources", Json {{"R", Json::parse_or_throw(two_nodes)}});
}

constexpr const char *one_excluded = R"({"resource":{"exclude":"1"}})";

} // namespace

TEST(ResourceService, ranks_that_are_no_longer_excluded_are_told_to_who_takes_them)
{
    WithResource world(2, nullptr, fake_nodes(one_excluded));
    Json queue = fake_nodes(R"({"queues":{"q":{"hosts":"a1"}}})");
    Json wider = fake_nodes(R"({"queues":{"q":{"hosts":"all"}}})");
    std::vector<std::string> heard;
    std::vector<Json> configurations {queue, fake_nodes(one_excluded), wider};
    world.run.run(acquire_under(world, Json {{"expand", true}}, configurations, &heard));
    ASSERT_EQ(heard.size(), 4u);
    EXPECT_EQ(heard[0], "0");
    EXPECT_EQ(
        heard[1],
        R"({"expand":{"R_lite":[{"rank":"1","children":{"core":"0-3"}}],"starttime":0.0,"expiration":0.0,)"
        R"("nodelist":["a1"],"properties":{"+q":"1"}},"up":"1"})");
    EXPECT_EQ(heard[2], R"({"property-remove":{"+q":"1"},"down":"1"})") << "it is known now";
    EXPECT_EQ(heard[3], R"({"property-add":{"+q":"0-1"},"up":"1"})");
}

TEST(ResourceService, others_hear_what_they_always_did)
{
    WithResource world(2, nullptr, fake_nodes(one_excluded));
    std::vector<std::string> heard;
    std::vector<Json> configurations {fake_nodes(R"({"resource":{"exclude":"0-1"}})"), fake_nodes()};
    world.run.run(acquire_under(world, {}, configurations, &heard));
    EXPECT_EQ(heard, (std::vector<std::string> {"0", R"({"down":"0"})", R"({"up":"0"})"}));
    ASSERT_FALSE(world.party->logged.empty());
    EXPECT_NE(world.party->logged.back().find("rank 1 can be used now"), std::string::npos);
}

TEST(ResourceService, a_drain_that_is_not_stored_is_an_error_and_stored_later)
{
    WithResource world(2, two_nodes);
    Answers answers;
    world.run.run(drains_on_a_full_disk(world.run, &answers));
}

TEST(ResourceService, drains_that_cannot_be_stored_have_a_limit)
{
    WithResource world(2, two_nodes);
    world.run.run(many_drains_on_a_full_disk(world.run));
}

TEST(ResourceService, an_acquire_that_waits_for_the_inventory_goes_with_its_sender)
{
    WithResource world(2, nullptr);
    world.run.run(acquire_twice(world.run));
}
