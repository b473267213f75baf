#include <gtest/gtest.h>

#include "common/json/json.hpp"

using namespace flux;

TEST(Json, AnObjectIsWrittenInOrderAndReadBack)
{
    Json json {{"id", 42}, {"name", "a"}, {"ok", true}, {"x", 1.5}, {"absent", Json()}};
    EXPECT_EQ(json.dump(), R"({"id":42,"name":"a","ok":true,"x":1.5})");
    EXPECT_EQ(json.get<int>("id"), 42);
    EXPECT_EQ(json.get<std::string>("name"), "a");
    EXPECT_EQ(json.get<double>("id"), 42.0);
    EXPECT_FALSE(json.find<int>("absent"));
}

TEST(Json, AWrongTypeNamesTheKeyAndWhatWasFound)
{
    Json json {{"id", "x"}};
    try {
        json.get<int>("id");
        FAIL();
    } catch (const Error &error) {
        EXPECT_EQ(error.errnum(), EPROTO);
        EXPECT_EQ(error.text(), "key \"id\": expected an integer, found \"x\"");
    }
    EXPECT_THROW(json.get<int>("nope"), Error);
    EXPECT_THROW((Json {{"n", 300}}.get<uint8_t>("n")), Error);
}

TEST(Json, AParseErrorSaysWhere)
{
    auto parsed = Json::parse("{\"a\":1,}");
    ASSERT_FALSE(parsed);
    EXPECT_NE(parsed.error().text().find("line 1"), std::string::npos);
    EXPECT_FALSE(Json::parse("{\"a\":1,\"a\":2}"));
}

TEST(Json, APathOfKeysComesIntoBeing)
{
    Json json = Json::object();
    json.set_path("attributes.system.duration", 2.5);
    EXPECT_EQ(json.at("attributes", "system", "duration").as<double>(), 2.5);
}
