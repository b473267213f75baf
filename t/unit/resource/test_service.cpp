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

    explicit WithResource(uint32_t size, const char *R)
    {
        run.boot("state", size);
        auto &rank = *run.ranks[0];
        if (R)
            rank.attributes["resource.R"] = R;
        rank.attributes["hostlist"] = "a[0-1]";
        party = std::make_unique<Party>(rank, "resource", PeerKind::module);
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

} // namespace

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
