// The KVS on a tree of brokers: what each rank sees, and what travels for it.
#include "common/kvs/lookup.hpp"
#include "unit/kvs/kvs_tree.hpp"

using namespace flux;
using flux::test::Instance;
using flux::test::put;

namespace {

constexpr auto a_while = std::chrono::seconds(1);

Task<> written_here_is_seen_here(Instance &run, uint32_t rank)
{
    auto &handle = run.client(rank);
    for (int i = 0; i < 20; i++) {
        auto value = std::to_string(i);
        co_await put(handle, "a.b", value);
        EXPECT_EQ(co_await kvs::get(handle, "a.b"), value) << "rank " << rank;
        auto root = co_await kvs::getroot(handle);
        EXPECT_GE(root.rootseq, i + 1);
    }
}

Task<> written_elsewhere_arrives(Instance &run)
{
    EXPECT_EQ(co_await kvs::try_get(run.client(6), "x"), std::nullopt);
    kvs::Txn txn;
    txn.put("x", "1");
    auto root = co_await kvs::commit(run.client(3), std::move(txn));
    Json wanted {{"namespace", "primary"}, {"rootseq", root.rootseq}};
    co_await run.client(6).rpc("kvs.wait-version", wanted);
    EXPECT_EQ(co_await kvs::get(run.client(6), "x"), "1");
}

Task<> a_new_key_is_found_at_once(Instance &run)
{
    co_await put(run.client(0), "known", "1");
    EXPECT_EQ(co_await kvs::get(run.client(5), "known"), "1"); // rank 5 has a replica now
    co_await put(run.client(0), "fresh", "2");
    EXPECT_EQ(co_await kvs::get(run.client(5), "fresh"), "2") << "its version is still on the way";
}

Task<> commit_often(Instance &run, int count, Duration pause)
{
    for (int i = 0; i < count; i++) {
        co_await put(run.client(0), "busy", std::to_string(i));
        co_await sleep_for(run.loop, pause);
    }
}

Task<> keep_looking(Instance &run, uint32_t rank, const bool &stop, int64_t &last)
{
    while (!stop) {
        auto root = co_await kvs::getroot(run.client(rank));
        EXPECT_GE(root.rootseq, last) << "a replica never goes back";
        last = root.rootseq;
        co_await sleep_for(run.loop, std::chrono::milliseconds(1));
    }
}

Task<> versions_travel_only_where_asked(Instance &run)
{
    co_await commit_often(run, 100, Duration::zero());
    EXPECT_EQ(run.between_ranks, 0u) << "nobody has asked";
    bool stop = false;
    int64_t last = 0;
    Gate gate(run.loop);
    gate.spawn(keep_looking(run, 6, stop, last));
    co_await sleep_for(run.loop, a_while);
    auto before = run.between_ranks;
    run.link_delay = std::chrono::milliseconds(50); // far slower than the commits
    co_await commit_often(run, 200, std::chrono::milliseconds(1));
    EXPECT_LT(run.between_ranks - before, 60u) << "versions are coalesced";
    EXPECT_GT(run.between_ranks - before, 4u);
    co_await sleep_for(run.loop, a_while);
    EXPECT_EQ(last, 300);
    stop = true;
    run.link_delay = std::chrono::microseconds(100);
    co_await sleep_for(run.loop, a_while);
    co_await commit_often(run, 100, std::chrono::milliseconds(1));
    before = run.between_ranks;
    co_await commit_often(run, 100, std::chrono::milliseconds(1));
    EXPECT_EQ(run.between_ranks, before) << "a replica that nobody looks into is given up";
}

Task<> collect(Handle &handle, std::string key, int flags, std::string space, std::vector<std::string> *seen,
               int *errnum)
{
    try {
        auto stream = kvs::watch(handle, key, flags, space);
        while (auto row = co_await stream.next()) {
            Json object = row->json().get<Json>("val");
            EXPECT_FALSE(row->json().contains("rootseq")) << "for the kvs of another rank only";
            seen->push_back(value_or_throw(treeobj::decode_val(object)));
            EXPECT_EQ(co_await kvs::get(handle, key, space), seen->back()) << "what was told of is there";
        }
        *errnum = 0;
    } catch (const Error &error) {
        *errnum = error.errnum();
    }
}

Task<> a_watch_on_a_leaf(Instance &run)
{
    std::vector<std::string> seen, expected;
    int errnum = -1;
    Json name {{"namespace", "foo"}};
    co_await run.client(4).rpc("kvs.namespace-create", name);
    Gate gate(run.loop);
    gate.spawn(collect(run.client(6), "w", kvs::flag::watch | kvs::flag::waitcreate, "foo", &seen, &errnum));
    co_await sleep_for(run.loop, a_while);
    for (int i = 0; i < 10; i++) {
        expected.push_back(std::to_string(i));
        co_await put(run.client(3), "w", expected.back(), "foo");
        co_await sleep_for(run.loop, std::chrono::milliseconds(10));
    }
    co_await sleep_for(run.loop, a_while);
    EXPECT_EQ(seen, expected);
    co_await run.client(5).rpc("kvs.namespace-remove", name);
    co_await sleep_for(run.loop, a_while);
    EXPECT_EQ(errnum, ENOTSUP);
}

Task<> a_namespace_made_again_is_another(Instance &run)
{
    Json name {{"namespace", "foo"}};
    for (int round = 0; round < 3; round++) {
        auto value = std::to_string(round);
        co_await run.client(0).rpc("kvs.namespace-create", name);
        co_await put(run.client(1), "a", value, "foo");
        EXPECT_EQ(co_await kvs::get(run.client(6), "a", "foo"), value);
        co_await put(run.client(6), "b", value, "foo");
        EXPECT_EQ(co_await kvs::get(run.client(6), "b", "foo"), value);
        co_await run.client(2).rpc("kvs.namespace-remove", name);
        co_await sleep_for(run.loop, a_while);
        int errnum = 0;
        try {
            co_await kvs::get(run.client(6), "a", "foo");
        } catch (const Error &error) {
            errnum = error.errnum();
        }
        EXPECT_EQ(errnum, ENOTSUP);
    }
}

Task<> a_link_into_another_namespace(Instance &run)
{
    Json name {{"namespace", "foo"}};
    co_await run.client(0).rpc("kvs.namespace-create", name);
    co_await put(run.client(0), "target", "there", "foo");
    kvs::Txn txn;
    txn.symlink("link", "target", "foo");
    co_await kvs::commit(run.client(0), std::move(txn));
    EXPECT_EQ(co_await kvs::get(run.client(6), "link"), "there");
}

Task<> expect_errnum(Handle &handle, std::string topic, Json args, int errnum)
{
    int found = 0;
    try {
        co_await handle.rpc(topic, args);
    } catch (const Error &error) {
        found = error.errnum();
    }
    EXPECT_EQ(found, errnum) << topic << args.dump();
}

Task<> guests_on_a_leaf(Instance &run)
{
    co_await put(run.client(0), "a", "1");
    EXPECT_EQ(co_await kvs::get(run.client(6), "a"), "1"); // there is a replica
    Json create {{"namespace", "theirs"}, {"owner", 2000}};
    co_await run.client(0).rpc("kvs.namespace-create", create);
    run.ranks[6]->client.credentials = {2000, role::user};
    Json key {{"namespace", "primary"}, {"key", "a"}, {"flags", 0}};
    co_await expect_errnum(run.client(6), "kvs.lookup", key, EPERM);
    co_await expect_errnum(run.client(6), "kvs-watch.lookup", key, EPERM);
    Json ops {{"namespace", "primary"}, {"flags", 0}, {"ops", kvs::Txn().put("a", "2").ops()}};
    co_await expect_errnum(run.client(6), "kvs.commit", ops, EPERM);
    Json follow {{"namespace", "theirs"}, {"rootseq", -1}};
    co_await expect_errnum(run.client(6), "kvs.follow", follow, EPERM);
    co_await put(run.client(6), "mine", "1", "theirs");
    EXPECT_EQ(co_await kvs::get(run.client(6), "mine", "theirs"), "1");
    auto list = co_await run.client(6).rpc("kvs.namespace-list");
    EXPECT_EQ(list.json()["namespaces"].dump(), R"([{"namespace":"theirs","owner":2000,"flags":0}])");
}

Task<> enter(Handle &handle, std::string key, int nprocs, std::vector<int64_t> *versions)
{
    Json args {{"name", "f"}, {"nprocs", nprocs}, {"ops", kvs::Txn().put(key, "x").ops()}};
    Message answer = co_await handle.rpc("kvs.fence", args);
    versions->push_back(answer.json().get<int64_t>("rootseq"));
}

Task<> enter_in_own_namespace(Handle &handle)
{
    Json args {{"name", "f"}, {"nprocs", 2}, {"namespace", "own"}, {"ops", Json::array()}};
    co_await handle.rpc("kvs.fence", args);
}

Task<> a_fence_over_ranks(Instance &run)
{
    std::vector<int64_t> versions;
    Gate gate(run.loop);
    // Somebody's fence of the same name in another namespace is in nobody's way.
    Json own {{"namespace", "own"}};
    co_await run.client().rpc("kvs.namespace-create", own);
    gate.spawn(enter_in_own_namespace(run.client()));
    co_await sleep_for(run.loop, a_while);
    for (uint32_t rank = 0; rank < 6; rank++)
        gate.spawn(enter(run.client(rank), fmt::format("f.{}", rank), 7, &versions));
    co_await sleep_for(run.loop, a_while);
    EXPECT_TRUE(versions.empty());
    Json other {{"name", "f"}, {"nprocs", 3}, {"ops", Json::array()}};
    co_await expect_errnum(run.client(2), "kvs.fence", other, EINVAL);
    co_await enter(run.client(6), "f.6", 7, &versions);
    co_await sleep_for(run.loop, a_while);
    std::vector<int64_t> all_in_the_first(7, 1);
    EXPECT_EQ(versions, all_in_the_first);
    for (int i = 0; i < 7; i++)
        EXPECT_EQ(co_await kvs::get(run.client(1), fmt::format("f.{}", i)), "x");
}

Task<> a_large_directory_on_a_leaf(Instance &run)
{
    kvs::Txn txn;
    for (int i = 0; i < 5000; i++)
        txn.put(fmt::format("d.{}", i), "x");
    co_await kvs::commit(run.client(1), std::move(txn));
    auto list = co_await kvs::lookup(run.client(6), "d", kvs::flag::readdir);
    EXPECT_EQ(list["data"].size(), 5000u);
    EXPECT_EQ(co_await kvs::get(run.client(6), "d.4999"), "x");
}

} // namespace

TEST(KvsRanks, every_rank_sees_what_it_has_written)
{
    Instance run;
    run.boot("state", 7);
    for (uint32_t rank : {0, 1, 6})
        run.run(written_here_is_seen_here(run, rank));
}

TEST(KvsRanks, a_version_can_be_awaited_anywhere)
{
    Instance run;
    run.boot("state", 7);
    run.run(written_elsewhere_arrives(run));
}

TEST(KvsRanks, a_key_that_is_not_in_the_replica_is_asked_for)
{
    Instance run;
    run.boot("state", 7);
    run.run(a_new_key_is_found_at_once(run));
}

TEST(KvsRanks, versions_travel_to_ranks_that_ask_and_never_queue_up)
{
    Instance run;
    run.boot("", 7);
    run.run(versions_travel_only_where_asked(run));
}

TEST(KvsRanks, a_watch_sees_every_version_and_what_it_tells_of_is_there)
{
    Instance run;
    run.boot("state", 7);
    run.run(a_watch_on_a_leaf(run));
}

TEST(KvsRanks, a_namespace_that_is_made_again_starts_empty_everywhere)
{
    Instance run;
    run.boot("", 7);
    run.run(a_namespace_made_again_is_another(run));
}

TEST(KvsRanks, a_symlink_leads_to_a_namespace_that_the_rank_has_not_seen)
{
    Instance run;
    run.boot("", 7);
    run.run(a_link_into_another_namespace(run));
}

Task<> a_fence_that_one_leaves(Instance &run)
{
    for (uint32_t rank : {0, 6}) {
        Json part {{"name", "f"}, {"nprocs", 2}, {"ops", kvs::Txn().put("left", "x").ops()}};
        auto left = std::make_unique<Stream>(run.client(rank), Message::request("kvs.fence", part),
                                             RpcOptions {}, "kvs.cancel");
        co_await sleep_for(run.loop, a_while);
        left.reset();
        co_await sleep_for(run.loop, a_while);
    }
    std::vector<int64_t> versions;
    Gate gate(run.loop);
    gate.spawn(enter(run.client(3), "stays.3", 2, &versions));
    co_await sleep_for(run.loop, a_while);
    EXPECT_TRUE(versions.empty());
    co_await enter(run.client(0), "stays.0", 2, &versions);
    co_await sleep_for(run.loop, a_while);
    EXPECT_EQ(versions, std::vector<int64_t>(2, 1));
    EXPECT_EQ(co_await kvs::get(run.client(5), "stays.3"), "x");
    Json key {{"namespace", "primary"}, {"key", "left"}, {"flags", 0}};
    co_await expect_errnum(run.client(0), "kvs.lookup", key, ENOENT);
}

TEST(KvsRanks, what_a_client_that_leaves_a_fence_brought_goes_with_it)
{
    Instance run;
    run.boot("state", 7);
    run.run(a_fence_that_one_leaves(run));
}

TEST(KvsRanks, a_guest_reaches_only_its_own_namespace)
{
    Instance run;
    run.boot("", 7);
    run.run(guests_on_a_leaf(run));
}

TEST(KvsRanks, a_fence_is_one_version_when_all_have_come)
{
    Instance run;
    run.boot("state", 7);
    run.run(a_fence_over_ranks(run));
}

TEST(KvsRanks, a_directory_in_pieces_is_listed_whole)
{
    Instance run;
    run.boot("state", 7);
    run.run(a_large_directory_on_a_leaf(run));
}
