#include <gtest/gtest.h>

#include "common/base/hash.hpp"
#include "common/kvs/treeobj.hpp"

using namespace flux;

namespace {

const std::string ref = blobref(HashType::sha1, "x");

} // namespace

TEST(Treeobj, TheExamplesOfTheRfcAreMadeAndRead)
{
    EXPECT_EQ(treeobj::encode(treeobj::make_val("422\n")), R"({"data":"NDIyCg==","type":"val","ver":1})");
    auto val = value_or_throw(treeobj::parse(R"({ "ver":1, "type":"val", "data":"NDIyCg==" })"));
    EXPECT_EQ(value_or_throw(treeobj::decode_val(val)), "422\n");
    auto link = value_or_throw(
        treeobj::parse(R"({"ver":1,"type":"symlink","data":{"namespace":"a","target":"b.b"}})"));
    EXPECT_EQ(value_or_throw(treeobj::decode_symlink(link)).namespace_name, "a");
    EXPECT_EQ(value_or_throw(treeobj::decode_symlink(treeobj::make_symlink("a.a"))).target, "a.a");
    EXPECT_TRUE(treeobj::is_symlink(link));
    EXPECT_FALSE(treeobj::is_dir(link));
}

TEST(Treeobj, TheEmptyDirectoryHasTheBlobrefThatEveryInstanceKnows)
{
    EXPECT_EQ(blobref(HashType::sha1, treeobj::encode(treeobj::make_dir())),
              "sha1-c0a9faf907dda6216fd73bf81d0b3b21a1a8cb91");
}

TEST(Treeobj, DirectoriesHoldEntriesOfEveryType)
{
    Json dir = treeobj::make_dir();
    treeobj::set_entry(dir, "a", treeobj::make_dirref(ref));
    treeobj::set_entry(dir, "b", treeobj::make_val(""));
    Json valref = treeobj::make_valref(ref);
    treeobj::append_blobref(valref, ref);
    treeobj::set_entry(dir, "c", valref);
    treeobj::set_entry(dir, "d", treeobj::make_dir());
    treeobj::set_entry(dir, "e.f", treeobj::make_symlink("a"));
    EXPECT_TRUE(treeobj::validate(dir));
    EXPECT_EQ(treeobj::blobref_count(treeobj::entry(dir, "c")), 2u);
    EXPECT_EQ(treeobj::blobrefs(treeobj::entry(dir, "a")), std::vector {ref});
    treeobj::remove_entry(dir, "b");
    EXPECT_FALSE(treeobj::entry(dir, "b"));
    EXPECT_EQ(treeobj::entries(dir).size(), 4u);
    EXPECT_EQ(value_or_throw(treeobj::parse(treeobj::encode(dir))), dir);
}

TEST(Treeobj, BadObjectsAreRefused)
{
    for (auto text :
         {"[]", "{}", R"({"ver":2,"type":"val","data":""})", R"({"ver":1,"type":"hdir","data":{}})",
          R"({"ver":1,"type":"val","data":1})", R"({"ver":1,"type":"val","data":"x"})",
          R"({"ver":1,"type":"valref","data":[]})", R"({"ver":1,"type":"valref","data":["sha1-00"]})",
          R"({"ver":1,"type":"valref","data":[1]})", R"({"ver":1,"type":"dirref","data":["a","b"]})",
          R"({"ver":1,"type":"dir","data":[]})", R"({"ver":1,"type":"dir","data":{"a":{}}})",
          R"({"ver":1,"type":"symlink","data":"a"})",
          R"({"ver":1,"type":"symlink","data":{"target":"a","namespace":1}})",
          R"({"type":"val","data":""})"}) {
        auto object = treeobj::parse(text);
        ASSERT_FALSE(object) << text;
        EXPECT_EQ(object.error().errnum(), EPROTO);
    }
    std::string deep;
    for (int i = 0; i < 300; i++)
        deep += R"({"ver":1,"type":"dir","data":{"a":)";
    deep += R"({"ver":1,"type":"dir","data":{}})";
    for (int i = 0; i < 300; i++)
        deep += "}}";
    EXPECT_FALSE(treeobj::parse(deep));
}

TEST(Treeobj, LookingAtWhatIsNoTreeObjectIsHarmless)
{
    for (auto text : {"1", "[]", "{}", R"({"type":1,"data":1})"}) {
        Json json = Json::parse_or_throw(text);
        EXPECT_FALSE(treeobj::decode_val(json));
        EXPECT_FALSE(treeobj::decode_symlink(json));
        EXPECT_TRUE(treeobj::blobrefs(json).empty());
        EXPECT_FALSE(treeobj::entry(json, "x"));
        EXPECT_FALSE(treeobj::type(json));
    }
}
