#include <gtest/gtest.h>

#include <sqlite3.h>

#include <filesystem>

#include "common/base/hash.hpp"
#include "common/kvs/lookup.hpp"
#include "common/runtime/ev_loop.hpp"
#include "common/store/blob_frame.hpp"
#include "common/store/sqlite_store.hpp"
#include "unit/kvs/kvs_tree.hpp"

using namespace flux;
using flux::test::Instance;
using flux::test::put;

namespace {

Task<> append(Handle &handle, std::string key, std::string value)
{
    kvs::Txn txn;
    txn.append(key, value);
    co_await kvs::commit(handle, std::move(txn));
}

Task<> expect_value(Handle &handle, std::string key, std::string expected)
{
    EXPECT_EQ(co_await kvs::get(handle, key), expected);
}

Task<> many_commits(Handle &handle, int count)
{
    std::list<Rpc> commits;
    for (int i = 0; i < count; i++) {
        kvs::Txn txn;
        txn.put(fmt::format("many.{}", i), "x");
        Json payload {{"namespace", "primary"}, {"flags", 0}, {"ops", txn.ops()}};
        RpcOptions options;
        commits.emplace_back(handle, Message::request("kvs.commit", payload), options);
    }
    int64_t last = 0;
    for (auto &commit : commits) {
        Message answer = co_await commit;
        last = answer.json().get<int64_t>("rootseq");
    }
    EXPECT_LE(last, 3) << "commits that came together share versions";
}

Task<> watch_appends(Handle &handle, std::vector<std::string> *seen, size_t count)
{
    auto stream =
        kvs::watch(handle, "log", kvs::flag::watch | kvs::flag::watch_append | kvs::flag::waitcreate);
    while (seen->size() < count) {
        auto row = co_await stream.next();
        if (!row)
            break;
        Json object = row->json().get<Json>("val");
        seen->push_back(value_or_throw(treeobj::decode_val(object)));
    }
}

Task<> appends_are_watched(Handle &handle)
{
    std::vector<std::string> seen;
    Gate gate(handle.loop());
    gate.spawn(watch_appends(handle, &seen, 3));
    for (auto text : {"one", "two", "three"})
        co_await append(handle, "log", text);
    co_await sleep_for(handle.loop(), std::chrono::seconds(1));
    EXPECT_EQ(seen, (std::vector<std::string> {"one", "two", "three"}));
}

struct Watched {
    std::vector<std::string> values;
    int errnum = -1; // 0: the normal end
};

Task<> watch_values(Handle &handle, std::string key, int flags, std::string space, Watched *seen)
{
    try {
        auto stream = kvs::watch(handle, key, flags, space);
        while (auto row = co_await stream.next()) {
            Json object = row->json().get<Json>("val");
            seen->values.push_back(value_or_throw(treeobj::decode_val(object)));
        }
        seen->errnum = 0;
    } catch (const Error &error) {
        seen->errnum = error.errnum();
    }
}

using kvs::flag::waitcreate;
using kvs::flag::watch_uniq;

Task<> watches_end_as_promised(Handle &handle)
{
    Watched plain, uniq, created, missing;
    Gate gate(handle.loop());
    auto pause = std::chrono::seconds(1);
    co_await put(handle, "w.a", "1");
    gate.spawn(watch_values(handle, "w.a", kvs::flag::watch, "primary", &plain));
    gate.spawn(watch_values(handle, "w.a", kvs::flag::watch | watch_uniq, "primary", &uniq));
    gate.spawn(watch_values(handle, "made.with.parent", waitcreate, "primary", &created));
    gate.spawn(watch_values(handle, "not.here", kvs::flag::watch, "primary", &missing));
    co_await sleep_for(handle.loop(), pause);
    co_await put(handle, "w.a", "1");
    co_await put(handle, "w.b", "of no interest");
    co_await put(handle, "w.a", "2");
    kvs::Txn txn;
    Json directory = treeobj::make_dir();
    treeobj::set_entry(directory, "parent", treeobj::make_val("here"));
    txn.put_treeobj("made.with", directory);
    txn.unlink("w.a");
    co_await kvs::commit(handle, std::move(txn));
    co_await sleep_for(handle.loop(), pause);
    EXPECT_EQ(plain.values, (std::vector<std::string> {"1", "1", "2"}));
    EXPECT_EQ(plain.errnum, ENOENT) << "the key was removed";
    EXPECT_EQ(uniq.values, (std::vector<std::string> {"1", "2"}));
    EXPECT_EQ(created.values, std::vector<std::string> {"here"}) << "its parent came with it inside";
    EXPECT_EQ(created.errnum, 0);
    EXPECT_EQ(missing.errnum, ENOENT);
}

Task<> watch_of_a_removed_namespace(Handle &handle)
{
    Json name {{"namespace", "foo"}};
    co_await handle.rpc("kvs.namespace-create", name);
    Watched seen;
    Gate gate(handle.loop());
    gate.spawn(watch_values(handle, "a", waitcreate, "foo", &seen));
    co_await sleep_for(handle.loop(), std::chrono::seconds(1));
    co_await handle.rpc("kvs.namespace-remove", name);
    co_await sleep_for(handle.loop(), std::chrono::seconds(1));
    EXPECT_EQ(seen.errnum, ENOTSUP);
}

// The commit comes while the watch still loads the directories that the symlink leads through.
Task<> change_during_a_look(Handle &handle)
{
    kvs::Txn txn;
    txn.symlink("a", "b.c.d.e.f");
    txn.put("b.c.d.e.f", "1");
    co_await kvs::commit(handle, std::move(txn));
    for (auto topic : {"content.dropcache", "kvs.dropcache"})
        co_await handle.rpc(topic);
    Watched seen;
    Gate gate(handle.loop());
    gate.spawn(watch_values(handle, "a", kvs::flag::watch | waitcreate, "primary", &seen));
    kvs::Txn gone;
    gone.unlink("b");
    co_await kvs::commit(handle, std::move(gone));
    EXPECT_TRUE(seen.values.empty()) << "the commit was to be faster";
    co_await sleep_for(handle.loop(), std::chrono::seconds(1));
    EXPECT_EQ(seen.values, std::vector<std::string> {"1"});
    EXPECT_EQ(seen.errnum, ENOENT);
}

Task<> full_watches_hear_of_what_symlinks_hide(Handle &handle)
{
    Json name {{"namespace", "linked"}};
    co_await handle.rpc("kvs.namespace-create", name);
    kvs::Txn inside;
    inside.put("x", "1");
    co_await kvs::commit(handle, std::move(inside), "linked");
    kvs::Txn txn;
    txn.put("real.x", "1");
    txn.symlink("link", "real");
    txn.symlink("across", "x", "linked");
    co_await kvs::commit(handle, std::move(txn));
    Watched full, plain, across;
    Gate gate(handle.loop());
    gate.spawn(watch_values(handle, "real.x", kvs::flag::watch | kvs::flag::watch_full, "primary", &full));
    gate.spawn(watch_values(handle, "real.x", kvs::flag::watch, "primary", &plain));
    gate.spawn(watch_values(handle, "across", kvs::flag::watch, "primary", &across));
    co_await sleep_for(handle.loop(), std::chrono::seconds(1));
    co_await put(handle, "link.x", "2");
    co_await handle.rpc("kvs.namespace-remove", name);
    co_await sleep_for(handle.loop(), std::chrono::seconds(1));
    EXPECT_EQ(full.values, (std::vector<std::string> {"1", "2"}));
    EXPECT_EQ(plain.values, std::vector<std::string> {"1"}) << "real.x was not named";
    EXPECT_EQ(across.errnum, ENOTSUP) << "the namespace that the symlink leads to is gone";
}

// What lookups loaded is forgotten beyond the limit, without any commit.
Task<> look_into_many_directories(Handle &handle)
{
    constexpr int directories = 40;
    for (int i = 0; i < directories; i++) {
        kvs::Txn txn;
        Json directory = treeobj::make_dir();
        for (int entry = 0; entry < 600; entry++)
            treeobj::set_entry(directory, fmt::format("e{}", entry),
                               treeobj::make_val(std::string(1000, 'x')));
        txn.put_treeobj(fmt::format("d{}", i), directory);
        co_await kvs::commit(handle, std::move(txn));
    }
    co_await handle.rpc("kvs.dropcache");
    for (int i = 0; i < directories; i++) {
        Json list {{"namespace", "primary"}, {"key", fmt::format("d{}", i)}, {"flags", kvs::flag::readdir}};
        co_await handle.rpc("kvs.lookup", list);
    }
}

Task<> cancelled_watch_ends_normally(Handle &handle)
{
    auto stream = kvs::watch(handle, "never", kvs::flag::watch | waitcreate);
    co_await sleep_for(handle.loop(), std::chrono::seconds(1));
    stream.cancel();
    auto end = co_await stream.next();
    EXPECT_FALSE(end.has_value());
}

Task<> expect_error(Handle &handle, std::string topic, Json payload, int errnum)
{
    int found = 0;
    try {
        co_await handle.rpc(topic, payload);
    } catch (const Error &error) {
        found = error.errnum();
    }
    EXPECT_EQ(found, errnum) << topic << " " << payload.dump();
}

// Fences of one user that nobody completes.
Task<> open_fences(Handle &handle)
{
    auto fence = [&](size_t n, int nprocs) {
        return Message::request("kvs.fence", Json {{"namespace", "primary"},
                                                   {"name", fmt::format("f{}", n)},
                                                   {"nprocs", nprocs},
                                                   {"flags", 0},
                                                   {"ops", Json::array()}});
    };
    std::list<Rpc> open;
    for (size_t n = 0; n < kvs::max_open_fences; n++)
        open.emplace_back(handle, fence(n, 2), RpcOptions {});
    Json one_more = fence(kvs::max_open_fences, 2).json();
    co_await expect_error(handle, "kvs.fence", one_more, EAGAIN);
    Rpc completes(handle, fence(0, 2), RpcOptions {});
    co_await completes;
    open.emplace_back(handle, fence(kvs::max_open_fences, 2), RpcOptions {});
    Rpc at_once(handle, fence(1, 2), RpcOptions {});
    co_await at_once;
}

Task<> store_blob(Handle &handle, char name, std::vector<int> *errnums)
{
    int errnum = 0;
    try {
        auto blob = Payload::raw(std::string(content_max_waiting / 3, name));
        co_await handle.rpc("content.store", std::move(blob));
    } catch (const Error &error) {
        errnum = error.errnum();
    }
    errnums->push_back(errnum);
}

// One is being written, three wait, the fifth is too much.
Task<> more_than_the_store_takes(Instance &run)
{
    std::vector<int> errnums;
    Gate gate(run.loop);
    for (char name : {'a', 'b', 'c', 'd', 'e'}) {
        gate.spawn(store_blob(run.client(), name, &errnums));
        co_await yield_to(run.loop);
        co_await sleep_for(run.loop, std::chrono::microseconds(10));
    }
    co_await sleep_for(run.loop, std::chrono::seconds(1));
    EXPECT_EQ(errnums, (std::vector<int> {EAGAIN, 0, 0, 0, 0}));
    co_await store_blob(run.client(), 'e', &errnums);
    EXPECT_EQ(errnums.back(), 0);
}

Task<> namespaces_come_and_go(Handle &handle)
{
    Json name {{"namespace", "foo"}};
    co_await handle.rpc("kvs.namespace-create", name);
    co_await expect_error(handle, "kvs.namespace-create", name, EEXIST);
    kvs::Txn txn;
    txn.put("a", "1");
    co_await kvs::commit(handle, std::move(txn), "foo");
    EXPECT_EQ(co_await kvs::get(handle, "a", "foo"), "1");
    kvs::Txn link;
    link.symlink("across", "a", "foo");
    co_await kvs::commit(handle, std::move(link));
    EXPECT_EQ(co_await kvs::get(handle, "across"), "1");
    co_await handle.rpc("kvs.namespace-remove", name);
    Json key {{"namespace", "foo"}, {"key", "a"}, {"flags", 0}};
    co_await expect_error(handle, "kvs.lookup", key, ENOTSUP);
}

Task<> around_the_cache(Handle &handle)
{
    auto blob = Payload::raw("hi\n");
    Message name = co_await handle.rpc("content-backing.store", blob);
    EXPECT_EQ(name.payload.bytes(), digest(HashType::sha1, "hi\n"));
    Message back = co_await handle.rpc("content-backing.load", name.payload);
    EXPECT_EQ(back.payload.bytes(), "hi\n");
    Message all = co_await handle.rpc("content.checkpoint-get");
    Json key {{"key", "kvs-primary"}};
    Message one = co_await handle.rpc("content.checkpoint-get", key);
    EXPECT_EQ(all.json()["value"][size_t(0)], one.json()["value"]);
}

Task<> store_and_load(Store &store, bool *done, Loop &loop)
{
    std::vector<StoredBlob> blobs {{"d1", std::string(10000, 'x')}, {"d2", ""}, {"d3", "short"}};
    std::vector<StoredCheckpoint> checkpoints {{"k", Json {{"rootref", "r"}}}};
    co_await store.commit(blobs, checkpoints);
    for (auto &blob : blobs) {
        auto found = co_await store.load(blob.digest);
        EXPECT_EQ(found.value_or("none"), blob.bytes);
    }
    auto none = co_await store.load("d4");
    EXPECT_FALSE(none.has_value());
    auto checkpoint = co_await store.checkpoint("k");
    EXPECT_TRUE(checkpoint && checkpoint->get<std::string>("rootref") == "r");
    *done = true;
    loop.stop();
}

// Buckets that are all one directory, and a value that is one blob again and again, stored as blobs.
Task<> hostile_objects_are_refused(Handle &handle)
{
    auto dirref = treeobj::make_dirref(blobref(HashType::sha1, treeobj::encode(treeobj::make_dir())));
    std::string levels[2]; // every bucket the same; a chain below one bucket
    for (auto &root : levels) {
        Json below = dirref;
        for (int level = 0; level < 20; level++) {
            Json buckets = Json::array();
            for (int slot = 0; slot < 16; slot++)
                buckets.append(&root == &levels[0] || slot == 0 ? below : Json(nullptr));
            Json data {{"func", "fnv1a64"}, {"size", 16}, {"bucket", buckets}};
            Json hdir {{"ver", 1}, {"type", "hdir"}, {"data", data}};
            auto text = hdir.dump();
            auto blob = Payload::raw(text);
            co_await handle.rpc("content.store", blob);
            root = blobref(HashType::sha1, text);
            below = treeobj::make_dirref(root);
        }
    }
    auto megabyte = Payload::raw(std::string(1 << 20, 'x'));
    co_await handle.rpc("content.store", megabyte);
    std::vector<std::string> refs(100'000, blobref(HashType::sha1, std::string(1 << 20, 'x')));
    kvs::Txn txn;
    txn.put_treeobj("same", treeobj::make_dirref(levels[0]));
    txn.put_treeobj("deep", treeobj::make_dirref(levels[1]));
    txn.put_treeobj("long", treeobj::make_valref(refs));
    co_await kvs::commit(handle, std::move(txn));
    for (auto name : {"same", "deep"}) {
        Json list {{"namespace", "primary"}, {"key", name}, {"flags", kvs::flag::readdir}};
        co_await expect_error(handle, "kvs.lookup", list, EPROTO);
    }
    Json inside {{"namespace", "primary"}, {"key", "same.x"}, {"flags", 0}};
    co_await expect_error(handle, "kvs.lookup", inside, EPROTO);
    Json ops {{"namespace", "primary"}, {"flags", 0}, {"ops", kvs::Txn().put("same.x", "1").ops()}};
    co_await expect_error(handle, "kvs.commit", ops, EPROTO);
    Json value {{"namespace", "primary"}, {"key", "long"}, {"flags", 0}};
    co_await expect_error(handle, "kvs.lookup", value, EFBIG);
}

void run_on_a_store(const std::string &directory, Task<> (*task)(Store &, Loop &))
{
    EvLoop loop;
    SqliteStoreFactory factory(loop);
    auto store = factory.open(directory, true);
    Gate gate(loop, [&](const Error &error) {
        ADD_FAILURE() << error.text();
        loop.stop();
    });
    gate.spawn(task(*store, loop));
    loop.run();
}

Task<> store_two(Store &store, Loop &loop)
{
    std::vector<StoredBlob> blobs {{"d1", std::string(10000, 'x')}, {"d2", std::string(10000, 'y')}};
    co_await store.commit(blobs, {});
    loop.stop();
}

Task<> load_a_damaged_one_and_another(Store &store, Loop &loop)
{
    int errnum = 0;
    try {
        co_await store.load("d1");
    } catch (const Error &error) {
        errnum = error.errnum();
    }
    EXPECT_EQ(errnum, EIO);
    auto found = co_await store.load("d2");
    EXPECT_EQ(found.value_or("none"), std::string(10000, 'y'));
    loop.stop();
}

} // namespace

TEST(Store, one_damaged_blob_is_in_nobodys_way)
{
    auto directory = std::filesystem::temp_directory_path() / fmt::format("flux-damaged-{}", getpid());
    std::filesystem::create_directories(directory);
    run_on_a_store(directory.string(), store_two);
    sqlite3 *db = nullptr;
    ASSERT_EQ(sqlite3_open((directory / "content.sqlite").c_str(), &db), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(db, "UPDATE blobs SET bytes = x'00' WHERE digest = CAST('d1' AS BLOB)", nullptr,
                           nullptr, nullptr),
              SQLITE_OK);
    EXPECT_EQ(sqlite3_changes(db), 1);
    sqlite3_close(db);
    run_on_a_store(directory.string(), load_a_damaged_one_and_another);
    std::filesystem::remove_all(directory);
}

TEST(KvsService, objects_that_would_never_end_are_refused)
{
    Instance run;
    run.boot();
    run.run(hostile_objects_are_refused(run.client()));
}

TEST(KvsService, what_was_committed_is_there_after_a_crash)
{
    Instance run;
    run.boot();
    run.run(put(run.client(), "a.b", "42"));
    run.run(put(run.client(), "big", std::string(5000, 'x')));
    run.crash();
    run.boot();
    run.run(expect_value(run.client(), "a.b", "42"));
    run.run(expect_value(run.client(), "big", std::string(5000, 'x')));
}

TEST(KvsService, a_full_disk_refuses_what_comes_and_keeps_what_was)
{
    Instance run;
    run.boot();
    run.run(put(run.client(), "a", "1"));
    run.stores.set_full(true);
    Json ops {
        {"namespace", "primary"}, {"flags", 0}, {"ops", kvs::Txn().put("a", "2").put("d.b", "2").ops()}};
    run.run(expect_error(run.client(), "kvs.commit", ops, ENOSPC));
    run.run(expect_error(run.client(), "kvs.commit", ops, ENOSPC));
    run.run(expect_value(run.client(), "a", "1"));
    EXPECT_EQ(run.ranks[0]->content_party.logged.size(), 1u) << "one sentence, not one for each commit";
    run.stores.set_full(false);
    run.run(put(run.client(), "d.c", "3"));
    run.crash();
    run.boot();
    run.run(expect_value(run.client(), "a", "1"));
    run.run(expect_value(run.client(), "d.c", "3"));
    Json gone {{"namespace", "primary"}, {"key", "d.b"}, {"flags", 0}};
    run.run(expect_error(run.client(), "kvs.lookup", gone, ENOENT));
}

TEST(KvsService, what_does_not_fit_into_memory_comes_back_from_the_overflow)
{
    Instance run;
    run.boot("");
    for (int i = 0; i < 6; i++)
        run.run(
            put(run.client(), fmt::format("big.{}", i), std::string(content_cache_limit / 4, char('a' + i))));
    EXPECT_LE(run.ranks[0]->content->stats().get<size_t>("size"), content_cache_limit);
    for (int i = 0; i < 6; i++)
        run.run(expect_value(run.client(), fmt::format("big.{}", i),
                             std::string(content_cache_limit / 4, char('a' + i))));
}

TEST(KvsService, the_store_can_be_asked_directly_where_there_is_one)
{
    Instance run;
    run.boot();
    run.run(put(run.client(), "a", "1"));
    run.run(around_the_cache(run.client()));
    Instance memory;
    memory.boot("");
    memory.run(expect_error(memory.client(), "content-backing.store", Json {{"x", 1}}, ENOSYS));
}

TEST(KvsService, without_a_statedir_nothing_survives_and_everything_works)
{
    Instance run;
    run.boot("");
    run.run(put(run.client(), "a", "1"));
    run.run(expect_value(run.client(), "a", "1"));
}

TEST(KvsService, commits_that_come_together_are_stored_together)
{
    Instance run;
    run.boot();
    run.run(many_commits(run.client(), 500));
    run.run(expect_value(run.client(), "many.499", "x"));
}

TEST(KvsService, a_watcher_of_appends_sees_each_piece_in_order)
{
    Instance run;
    run.boot();
    run.run(appends_are_watched(run.client()));
}

TEST(KvsService, watches_tell_what_they_promise_and_end_when_the_key_does)
{
    Instance run;
    run.boot();
    run.run(watches_end_as_promised(run.client()));
}

TEST(KvsService, a_removed_namespace_ends_its_watches)
{
    Instance run;
    run.boot();
    run.run(watch_of_a_removed_namespace(run.client()));
}

TEST(KvsService, a_watch_misses_nothing_that_changes_while_it_looks)
{
    Instance run;
    run.boot();
    run.stores.set_load_delay(std::chrono::milliseconds(1));
    run.run(change_during_a_look(run.client()));
}

TEST(KvsService, a_full_watch_hears_of_changes_through_symlinks)
{
    Instance run;
    run.boot();
    run.run(full_watches_hear_of_what_symlinks_hide(run.client()));
}

TEST(KvsService, the_cache_of_directories_has_a_limit_for_readers_too)
{
    Instance run;
    run.boot();
    run.run(look_into_many_directories(run.client()));
    EXPECT_LE(run.ranks[0]->kvs->stats()["cache"].get<double>("obj size total (MiB)"), 16.0);
}

TEST(KvsService, a_cancelled_watch_ends_without_error)
{
    Instance run;
    run.boot();
    run.run(cancelled_watch_ends_normally(run.client()));
}

TEST(KvsService, open_fences_of_a_user_have_a_limit)
{
    Instance run;
    run.boot();
    run.run(open_fences(run.client()));
}

TEST(KvsService, what_waits_for_the_store_has_a_limit)
{
    Instance run;
    run.boot();
    run.run(more_than_the_store_takes(run));
}

TEST(KvsService, versions_that_a_watcher_does_not_look_at_have_a_limit)
{
    SimClock clock;
    SimLoop loop {clock};
    kvs::Watcher watcher(loop, 1);
    watcher.home = std::make_shared<kvs::Namespace>(loop);
    for (size_t n = 0; n <= kvs::max_waiting_versions; n++)
        watcher.push(false);
    EXPECT_TRUE(watcher.overrun);
    EXPECT_TRUE(watcher.versions.closed());
    EXPECT_EQ(watcher.versions.size(), kvs::max_waiting_versions);
}

TEST(KvsService, namespaces_are_separate_and_symlinks_cross_them)
{
    Instance run;
    run.boot();
    run.run(namespaces_come_and_go(run.client()));
}

TEST(KvsService, a_guest_reaches_no_namespace_of_another)
{
    Instance run;
    run.boot();
    run.run(put(run.client(), "a", "1"));
    run.ranks[0]->client.credentials = {2000, role::user};
    Json key {{"namespace", "primary"}, {"key", "a"}, {"flags", 0}};
    run.run(expect_error(run.client(), "kvs.lookup", key, EPERM));
    run.run(expect_error(run.client(), "content.load", Json {{"x", 1}}, EPERM));
}

TEST(Store, sqlite_gives_back_what_it_was_given)
{
    auto directory = std::filesystem::temp_directory_path() / fmt::format("flux-store-{}", getpid());
    std::filesystem::create_directories(directory);
    bool done = false;
    {
        EvLoop loop;
        SqliteStoreFactory factory(loop);
        auto store = factory.open(directory.string(), true);
        Gate gate(loop, [&](const Error &error) {
            ADD_FAILURE() << error.text();
            loop.stop();
        });
        gate.spawn(store_and_load(*store, &done, loop));
        loop.run();
    }
    std::filesystem::remove_all(directory);
    EXPECT_TRUE(done);
}

TEST(Store, a_blob_frame_that_is_cut_off_is_refused)
{
    std::vector<FramedBlob> blobs {{"d1", "one"}, {"d2", ""}, {"d3", "three"}};
    auto whole = encode_blob_frame(blobs, Json {{"k", Json {{"v", 1}}}});
    auto frame = decode_blob_frame(whole);
    ASSERT_TRUE(frame.has_value());
    EXPECT_EQ(frame->blobs, blobs);
    EXPECT_EQ(frame->checkpoints.at("k", "v").as<int>(), 1);
    for (size_t length = 0; length < whole.size(); length++) {
        auto cut = decode_blob_frame(std::string_view(whole).substr(0, length));
        bool only_blobs = cut && !cut->checkpoints && cut->blobs.size() == 3;
        EXPECT_TRUE(!cut || only_blobs) << length;
    }
}

namespace {

class Faulty : public Module {
public:
    using Module::Module;
    Task<> start() override
    {
        spawn(fail_later(loop()));
        co_return;
    }

private:
    static Task<> fail_later(Loop &loop)
    {
        co_await sleep_for(loop, std::chrono::milliseconds(1));
        throw Error(EIO, "no luck");
    }
};

} // namespace

TEST(Module, what_escapes_a_task_is_logged)
{
    Instance run;
    run.boot();
    auto &party = run.ranks[0]->client;
    Faulty module(party);
    run.run(module.start());
    EXPECT_EQ(party.logged, std::vector<std::string> {"a task ended with an error: no luck"});
}
