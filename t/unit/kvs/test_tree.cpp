#include <gtest/gtest.h>

#include "common/kvs/batch.hpp"
#include "common/kvs/flags.hpp"
#include "common/kvs/txn.hpp"
#include "common/kvs/walk.hpp"

using namespace flux;
using namespace flux::kvs;

namespace {

// A namespace without a server: blobs stay here, and loading what the cache forgot is a look into them.
struct World {
    DirectoryCache cache {1 << 20};
    std::map<std::string, std::string> blobs;
    std::string root;

    World()
    {
        auto empty = encode(Directory {});
        root = blobref(HashType::sha1, empty);
        blobs[root] = empty;
    }
    template <class F>
    auto with_blobs(F fn)
    {
        while (true) {
            try {
                return fn();
            } catch (const NeedBlob &need) {
                cache.add(need.blobref, decode_directory(blobs.at(need.blobref)), true);
            }
        }
    }
    Batch begin()
    {
        return with_blobs([&] { return Batch(cache, root, HashType::sha1); });
    }
    Batch::Result end(Batch &batch)
    {
        auto result = batch.finish();
        for (auto &blob : result.blobs) {
            blobs[blob.blobref] = blob.bytes;
            cache.mark_stored(blob.blobref);
        }
        root = result.rootref;
        return result;
    }
    Batch::Result commit(const Txn &txn)
    {
        auto batch = begin();
        with_blobs([&] {
            batch.apply(txn.ops());
            return 0;
        });
        return end(batch);
    }
    std::string get(std::string_view key)
    {
        auto answer = look(key, 0);
        if (!answer.blobrefs)
            return value_or_throw(treeobj::decode_val(answer.object));
        std::string out;
        for (auto &ref : *answer.blobrefs)
            out += blobs.at(ref);
        return out;
    }
    Answer look(std::string_view key, int flags)
    {
        return with_blobs([&] {
            auto none = [](const std::string &space) -> std::string {
                throw Error(ENOTSUP, "no {}", space);
            };
            auto path = value_or_throw(parse_key(key));
            return interpret(cache, kvs::find(cache, none, "primary", root, path, follows_last(flags)),
                             flags);
        });
    }
    int look_error(std::string_view key, int flags)
    {
        try {
            look(key, flags);
        } catch (const Error &error) {
            return error.errnum();
        }
        return 0;
    }
    int commit_error(const Txn &txn)
    {
        try {
            commit(txn);
        } catch (const Error &error) {
            return error.errnum();
        }
        return 0;
    }
};

} // namespace

TEST(KvsKey, periods_that_separate_nothing_mean_nothing)
{
    EXPECT_EQ(join(value_or_throw(parse_key("..a...b."))), "a.b");
    EXPECT_EQ(join(value_or_throw(parse_key("."))), ".");
    EXPECT_EQ(parse_key("").error().errnum(), EINVAL);
    EXPECT_EQ(parse_key(std::string(max_key_length + 1, 'a')).error().errnum(), EINVAL);
}

TEST(KvsTree, an_empty_directory_has_the_blobref_that_every_flux_gives_it)
{
    EXPECT_EQ(blobref(HashType::sha1, encode(Directory {})), "sha1-c0a9faf907dda6216fd73bf81d0b3b21a1a8cb91");
}

TEST(KvsTree, nothing_is_stored_of_a_refused_transaction)
{
    World world;
    auto batch = world.begin();
    batch.apply(Txn().put("a", std::string(5000, 'a')).ops());
    auto refused = Txn().put("b", std::string(5000, 'b')).put("c", std::string(5000, 'a')).ops();
    refused.append(Json {{"key", "."}, {"flags", 0}, {"dirent", nullptr}});
    EXPECT_THROW(batch.apply(refused), Error);
    auto result = world.end(batch);
    EXPECT_EQ(result.blobs.size(), 2u) << "the root and what the first transaction put";
    EXPECT_EQ(world.get("a"), std::string(5000, 'a'));
}

TEST(KvsTree, a_directory_encodes_as_its_tree_object_does)
{
    World world;
    Txn txn;
    txn.put("a", "42")
        .put("quote\"d \u00e9", "x")
        .symlink("l", "a")
        .symlink("m", "k", "other")
        .mkdir("d")
        .put("big", std::string(5000, 'x'));
    world.commit(txn);
    auto directory = world.cache.get(world.root);
    EXPECT_EQ(encode(*directory), treeobj::encode(to_json(*directory)));
    EXPECT_EQ(encode(*decode_directory(encode(*directory))), encode(*directory));
}

TEST(KvsBatch, a_put_makes_directories_and_replaces_what_is_in_the_way)
{
    World world;
    world.commit(Txn().put("a", "1"));
    auto result = world.commit(Txn().put("a.b.c", "42"));
    EXPECT_EQ(world.get("a.b.c"), "42");
    EXPECT_EQ(world.look_error("a", 0), EISDIR);
    EXPECT_EQ(result.blobs.size(), 3u); // root, a, a.b
    ASSERT_EQ(result.mentions.size(), 1u);
    EXPECT_EQ(result.mentions[0].key, "a.b.c");
}

TEST(KvsBatch, only_changed_directories_are_encoded)
{
    World world;
    world.commit(Txn().put("a.x", "1").put("b.x", "1"));
    EXPECT_EQ(world.commit(Txn().put("b.x", "2")).blobs.size(), 2u); // root, b
    auto before = world.root;
    EXPECT_EQ(world.commit(Txn().unlink("a.not.there")).blobs.size(), 0u);
    EXPECT_EQ(world.root, before);
}

TEST(KvsBatch, a_failed_transaction_leaves_the_others_of_its_batch_alone)
{
    World world;
    world.commit(Txn().put("dir.x", "1").put("keep", "1"));
    auto batch = world.begin();
    world.with_blobs([&] { return batch.apply(Txn().put("first", "1").ops()), 0; });
    auto bad =
        Txn().put("dir.x", "9").unlink("keep").put("new.sub.y", "1").put("first", "2").append("dir", "no");
    int errnum = 0;
    try {
        world.with_blobs([&] { return batch.apply(bad.ops()), 0; });
    } catch (const Error &error) {
        errnum = error.errnum();
    }
    EXPECT_EQ(errnum, EISDIR);
    world.with_blobs([&] { return batch.apply(Txn().put("third", "3").ops()), 0; });
    auto result = world.end(batch);
    EXPECT_EQ(world.get("dir.x") + world.get("keep") + world.get("first") + world.get("third"), "1113");
    EXPECT_EQ(world.look_error("new", flag::treeobj), ENOENT);
    EXPECT_EQ(result.mentions.size(), 2u);
}

TEST(KvsBatch, a_transaction_that_lacks_a_directory_goes_on_where_it_was)
{
    World world;
    constexpr int count = 50;
    Txn begin, more;
    for (int i = 0; i < count; i++) {
        begin.put(fmt::format("d{}.log", i), fmt::format("{}", i));
        more.append(fmt::format("d{}.log", i), "2");
    }
    world.commit(begin);
    world.cache = DirectoryCache(1 << 20);
    auto batch = world.begin();
    int tries = 0;
    world.with_blobs([&] { return tries++, batch.apply(more.ops()), 0; });
    EXPECT_EQ(tries, count + 1);
    auto result = world.end(batch);
    EXPECT_EQ(result.mentions.size(), size_t(count));
    for (int i = 0; i < count; i++)
        EXPECT_EQ(world.get(fmt::format("d{}.log", i)), fmt::format("{}2", i));
}

TEST(KvsBatch, nothing_is_left_of_a_transaction_that_is_given_up)
{
    World world;
    world.commit(Txn().put("a.x", "1").put("b.x", "1"));
    auto before = world.root;
    world.cache = DirectoryCache(1 << 20);
    auto batch = world.begin();
    auto both = Txn().put("new", std::string(5000, 'n')).put("b.x", "2").ops();
    EXPECT_THROW(batch.apply(both), NeedBlob);
    batch.give_up();
    EXPECT_EQ(world.end(batch).blobs.size(), 0u);
    EXPECT_EQ(world.root, before);
}

TEST(KvsBatch, appended_pieces_read_as_one_value)
{
    World world;
    std::string expected;
    for (int i = 0; i < 40; i++) {
        std::string piece(100, char('a' + i % 26));
        expected += piece;
        auto result = world.commit(Txn().append("log", piece));
        EXPECT_FALSE(result.mentions.at(0).replaced);
    }
    EXPECT_EQ(world.get("log"), expected);
    world.commit(Txn().append("log", ""));
    EXPECT_EQ(world.get("log"), expected);
}

TEST(KvsBatch, keys_lead_through_symlinks_but_not_in_circles)
{
    World world;
    world.commit(Txn().put("real.x", "1").symlink("link", "real").symlink("o", "p").symlink("p", "o"));
    world.commit(Txn().put("link.y", "2"));
    EXPECT_EQ(world.get("real.y"), "2");
    EXPECT_EQ(world.get("link.x"), "1");
    EXPECT_EQ(world.look_error("o", 0), ELOOP);
    EXPECT_EQ(world.commit_error(Txn().put("o.x", "1")), ELOOP);
    EXPECT_EQ(world.commit_error(Txn().append("link", "1")), EOPNOTSUPP);
    EXPECT_EQ(world.look("link", flag::readlink).object["data"]["target"].string_view(), "real");
    world.commit(Txn().put("link", "mine"));
    EXPECT_EQ(world.get("link"), "mine");
    EXPECT_EQ(world.get("real.x"), "1");
}

TEST(KvsBatch, what_is_no_transaction_is_refused)
{
    World world;
    EXPECT_EQ(world.commit_error(Txn().put(".", "x")), EINVAL);
    EXPECT_EQ(world.commit_error(Txn().put("", "x")), EINVAL);
    EXPECT_EQ(world.commit_error(Txn().put_treeobj("a", Json {{"ver", 7}})), EPROTO);
    Json dotted = treeobj::make_dir();
    treeobj::set_entry(dotted, "a.b", treeobj::make_val("1"));
    EXPECT_EQ(world.commit_error(Txn().put_treeobj("a", dotted)), EPROTO);
}

TEST(KvsBatch, a_large_directory_costs_little_to_change)
{
    World world;
    constexpr int count = 20000;
    Txn fill;
    for (int i = 0; i < count; i++)
        fill.put(fmt::format("job.{:04x}", i), std::to_string(i));
    world.commit(fill);
    auto large = std::get<DirRef>(world.cache.get(world.root)->entries.at("job")).blobref;
    EXPECT_TRUE(world.cache.get(large)->is_hdir());
    EXPECT_EQ(encode(*decode_directory(world.blobs.at(large))), world.blobs.at(large));
    for (int i : {0, 1, 255, 4711, count - 1})
        EXPECT_EQ(world.get(fmt::format("job.{:04x}", i)), std::to_string(i));
    size_t bytes = 0;
    for (auto &blob : world.commit(Txn().put("job.4e20", "new").unlink("job.0001")).blobs)
        bytes += blob.bytes.size();
    EXPECT_LT(bytes, 64u << 10);
    EXPECT_EQ(world.get("job.4e20"), "new");
    EXPECT_EQ(world.look_error("job.0001", 0), ENOENT);
    EXPECT_EQ(world.look_error("job.not", 0), ENOENT);
    auto before = world.root;
    EXPECT_EQ(world.commit_error(Txn().put("job.0002", "x").put("job.new", "y").append("job", "no")), EISDIR);
    EXPECT_EQ(world.commit(Txn().unlink("job.ffff")).rootref, before) << "what failed left nothing";
    Txn empty;
    for (int i = 0; i <= count; i++)
        empty.unlink(fmt::format("job.{:04x}", i));
    world.commit(empty);
    EXPECT_EQ(world.look("job", flag::readdir).directory->entries.size(), 0u);
    EXPECT_EQ(world.look_error("job.0002", 0), ENOENT);
}

TEST(KvsBatch, equal_directories_have_one_blobref_however_they_were_filled)
{
    World one, two;
    Txn all;
    for (int i = 0; i < 3000; i++)
        all.put(fmt::format("d.{}", i), "x");
    one.commit(all);
    for (int part = 0; part < 10; part++) {
        Txn some;
        for (int i = part; i < 3000; i += 10)
            some.put(fmt::format("d.{}", i), "x");
        two.commit(some);
        two.cache.clear();
    }
    EXPECT_EQ(one.root, two.root);
}

TEST(KvsTree, an_hdir_that_is_not_ours_is_refused)
{
    EXPECT_THROW(decode_directory(R"({"data":{"bucket":[],"func":"city32","size":8},"type":"hdir","ver":1})"),
                 Error);
    EXPECT_THROW(decode_directory(R"({"data":{},"type":"hdir","ver":1})"), Error);
    World world;
    Json hdir {{"ver", 1}, {"type", "hdir"}, {"data", Json::object()}};
    EXPECT_EQ(world.commit_error(Txn().put_treeobj("a", hdir)), EPROTO);
}

TEST(KvsWalk, flags_decide_what_a_lookup_may_find)
{
    World world;
    world.commit(Txn().put("d.x", "1").put("v", "2"));
    EXPECT_EQ(world.look_error("v", flag::readdir), ENOTDIR);
    EXPECT_EQ(world.look_error("v.deeper", 0), ENOENT);
    EXPECT_EQ(world.look_error("v", flag::readlink), EINVAL);
    EXPECT_EQ(world.look_error("none", 0), ENOENT);
    EXPECT_TRUE(treeobj::is_dirref(world.look("d", flag::treeobj).object));
    EXPECT_TRUE(treeobj::is_dirref(world.look(".", flag::treeobj).object));
    EXPECT_EQ(world.look("d", flag::readdir).directory->entries.size(), 1u);
}

TEST(KvsWalk, a_cache_that_forgets_everything_changes_no_answer)
{
    World world;
    world.commit(Txn().put("a.b.c", "1").put("a.d", "2"));
    world.cache.clear();
    EXPECT_EQ(world.get("a.b.c"), "1");
    world.cache.clear();
    world.commit(Txn().put("a.d", "3"));
    world.cache.clear();
    EXPECT_EQ(world.get("a.b.c") + world.get("a.d"), "13");
}
