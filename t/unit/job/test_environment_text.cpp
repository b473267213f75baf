#include <gtest/gtest.h>

#include "common/job/environment_text.hpp"
#include "common/runtime/random.hpp"

namespace flux {
namespace {

TEST(EnvironmentText, cuts_the_environment_out_and_leaves_the_rest)
{
    auto split = value_or_throw(split_environment(
        R"({"version":1,"a":"}{\"","attributes":{"user":{"environment":{"x":"y"}},"system":{"cwd":"/",
        "environment":{"A":"b\"c\\", "B":"ƒ\u00e9"},"z":[1,{"environment":2}]}},"tasks":[{"q":1}]})"));
    EXPECT_EQ(split.environment, R"({"A":"b\"c\\", "B":"ƒ\u00e9"})");
    EXPECT_EQ(split.jobspec.at("attributes", "system").dump(), R"({"cwd":"/","z":[1,{"environment":2}]})");
    EXPECT_EQ(split.jobspec.at("attributes", "user").dump(), R"({"environment":{"x":"y"}})");
    EXPECT_EQ(split.jobspec["a"].as<std::string>(), "}{\"");
}

TEST(EnvironmentText, is_one_line)
{
    auto split = value_or_throw(split_environment("{\"attributes\":{\"system\":{\"environment\":{\n\"A\":\r\n\"b\"}}}}"));
    EXPECT_EQ(Json::parse_or_throw(split.environment).dump(), R"({"A":"b"})");
    EXPECT_EQ(split.environment.find('\n'), std::string::npos);
}

TEST(EnvironmentText, leaves_what_it_does_not_understand_to_others)
{
    for (const char *text : {R"({"attributes":{"system":{"environment":{"A":1}}}})",
                             R"({"attributes":{"system":{"environment":["A"]}}})", R"({"attributes":{"system":{}}})",
                             R"({"attributes":7})", R"({})"}) {
        auto split = value_or_throw(split_environment(text));
        EXPECT_EQ(split.environment, "") << text;
        EXPECT_EQ(split.jobspec.dump(), text);
    }
    for (const char *text : {"", "{", "[", R"({"attributes":{"system":{"environment":{"A":"b}}})", "nonsense"})
        EXPECT_FALSE(split_environment(text)) << text;
}

// Whatever the text, cutting it gives what parsing it gives.
TEST(EnvironmentText, agrees_with_the_parser_on_damaged_text)
{
    const std::string text =
        R"({"version":1,"attributes":{"system":{"duration":0,"environment":{"PATH":"/bin","Q":"\u00e9\"{}"},"c":1}}})";
    Random random(3);
    size_t cut = 0;
    for (int i = 0; i < 50000; i++) {
        auto damaged = text;
        for (uint64_t n = 1 + random.below(2); n; n--)
            damaged[random.below(damaged.size())] = " \"{}[]:,\\u0aZ\x01\xff"[random.below(15)];
        auto whole = Json::parse(damaged);
        auto split = split_environment(damaged);
        if (split && !split->environment.empty()) {
            auto environment = Json::parse(split->environment);
            if (!environment) // a name twice: the shell will say so
                continue;
            ASSERT_TRUE(whole) << damaged;
            Json system = whole->at("attributes", "system");
            EXPECT_EQ(system["environment"], *environment) << damaged;
            system.erase("environment");
            EXPECT_EQ(*whole, split->jobspec) << damaged;
            cut++;
        } else
            EXPECT_EQ(bool(whole), bool(split)) << damaged;
    }
    EXPECT_GT(cut, 1000u);
}

} // namespace
} // namespace flux
