#include <gtest/gtest.h>

#include <cmath>

#include "common/types/duration.hpp"
#include "common/types/range.hpp"
#include "common/types/urgency.hpp"

using namespace flux;

TEST(Duration, TheTestVectorsOfTheRfcRead)
{
    auto seconds = [](std::string_view text) {
        return value_or_throw(parse_duration(text));
    };
    EXPECT_DOUBLE_EQ(seconds("2ms"), 0.002);
    EXPECT_DOUBLE_EQ(seconds("0.1s"), 0.1);
    EXPECT_DOUBLE_EQ(seconds("30"), 30);
    EXPECT_DOUBLE_EQ(seconds("1.2h"), 4320);
    EXPECT_DOUBLE_EQ(seconds("5m"), 300);
    EXPECT_DOUBLE_EQ(seconds("0s"), 0);
    EXPECT_DOUBLE_EQ(seconds("5d"), 432000);
    EXPECT_DOUBLE_EQ(seconds("0x10s"), 16);
    EXPECT_DOUBLE_EQ(seconds("1e3"), 1000);
    for (auto text : {"inf", "INF", "infinity"})
        EXPECT_TRUE(std::isinf(seconds(text)));
}

TEST(Duration, WhatIsNoDurationIsRefused)
{
    for (auto text : {"", "s", "-1", "+-1", "1x", "1 s", " 1", "1S", "nan", "inf s", "infs", "1e999",
                      "1e308d", "0x-1", "--1"})
        EXPECT_FALSE(parse_duration(text)) << text;
    EXPECT_EQ(parse_duration("5w").error().text(),
              "duration \"5w\": unknown unit \"w\" (use ms, s, m, h or d)");
}

TEST(Duration, FormattingPicksTheLargestUnit)
{
    EXPECT_EQ(format_duration(0), "0s");
    EXPECT_EQ(format_duration(0.002), "2ms");
    EXPECT_EQ(format_duration(59.5), "59.5s");
    EXPECT_EQ(format_duration(90), "1.5m");
    EXPECT_EQ(format_duration(4320), "1.2h");
    EXPECT_EQ(format_duration(432000), "5d");
    EXPECT_EQ(format_duration(INFINITY), "infinity");
    EXPECT_EQ(format_duration(1.23456, 4), "1.235s");
    EXPECT_THROW(format_duration(-1), Error);
}

TEST(Duration, ABareTimeLimitIsMinutes)
{
    EXPECT_DOUBLE_EQ(value_or_throw(parse_time_limit("5")), 300);
    EXPECT_DOUBLE_EQ(value_or_throw(parse_time_limit("5s")), 5);
    EXPECT_DOUBLE_EQ(value_or_throw(parse_time_limit("1.5h")), 5400);
    EXPECT_DOUBLE_EQ(value_or_throw(parse_time_limit("inf")), 0);
    EXPECT_FALSE(parse_time_limit("soon"));
}

TEST(Urgency, NamesAndNumbersRead)
{
    EXPECT_EQ(value_or_throw(parse_urgency("hold")), 0);
    EXPECT_EQ(value_or_throw(parse_urgency("EXPEDITE")), 31);
    EXPECT_EQ(value_or_throw(parse_urgency("default")), 16);
    EXPECT_EQ(value_or_throw(parse_urgency("7")), 7);
    for (auto text : {"", "32", "-1", "7x", "urgent", "99999999999"})
        EXPECT_FALSE(parse_urgency(text)) << text;
    EXPECT_EQ(check_urgency(17, false).error().errnum(), EPERM);
    EXPECT_TRUE(check_urgency(17, true));
    EXPECT_EQ(check_urgency(32, true).error().errnum(), EINVAL);
    EXPECT_EQ(format_urgency(0), "hold");
    EXPECT_EQ(format_urgency(16), "16");
}

TEST(Count, RangeStringsReadAndShortenAsTheRfcSays)
{
    auto shortened = [](std::string_view text) {
        return value_or_throw(Count::parse(text)).format();
    };
    EXPECT_EQ(shortened("1-5:2:+"), "1-5:2");
    EXPECT_EQ(shortened("1-4:1:+"), "1-4");
    EXPECT_EQ(shortened("[1-4:2:*]"), "1-4:2:*");
    EXPECT_EQ(shortened("[100+]"), "100+");
    EXPECT_EQ(shortened("2+:3:^"), "2+:3:^");
    EXPECT_EQ(shortened("7"), "7");
    EXPECT_EQ(shortened("4,9,16,25"), "4,9,16,25");
    EXPECT_EQ(shortened("[3-30]"), "3-30");
    EXPECT_EQ(shortened("3-5,7"), "3-5,7");
}

TEST(Count, WhatIsNoCountIsRefused)
{
    for (auto text : {"",         "0",  "-1",  "1-", "5-1", "1-5:0", "1-5:1:*", "1-5:2:^", "1-5:2:/",
                      "1-5:2:",   "01", "1:2", "[1", "1]",  "+",     "1+2",     "0,1",     "9007199254740993",
                      "1-5:2:++", "[]"})
        EXPECT_FALSE(Count::parse(text)) << text;
}

TEST(Count, AcceptableCountsFollowTheOperator)
{
    auto list = [](std::string_view text, uint64_t limit) {
        auto count = value_or_throw(Count::parse(text));
        std::vector<uint64_t> out;
        for (auto n = count.next(0); n && *n <= limit; n = count.next(*n)) {
            EXPECT_TRUE(count.contains(*n));
            EXPECT_EQ(count.floor(*n), *n);
            out.push_back(*n);
        }
        return out;
    };
    using List = std::vector<uint64_t>;
    EXPECT_EQ(list("1-6:2", 99), (List {1, 3, 5}));
    EXPECT_EQ(list("2-64:2:*", 99), (List {2, 4, 8, 16, 32, 64}));
    EXPECT_EQ(list("2+:2:^", 70000), (List {2, 4, 16, 256, 65536}));
    EXPECT_EQ(list("4,9,16", 99), (List {4, 9, 16}));
    EXPECT_EQ(list("3", 99), (List {3}));
    EXPECT_EQ(value_or_throw(Count::parse("2-64:2:*")).floor(40), 32u);
    EXPECT_EQ(value_or_throw(Count::parse("2-64:2:*")).floor(1000), 64u);
    EXPECT_EQ(value_or_throw(Count::parse("4,9,16")).floor(15), 9u);
    EXPECT_EQ(value_or_throw(Count::parse("4,9,16")).floor(3), std::nullopt);
    EXPECT_FALSE(value_or_throw(Count::parse("1-6:2")).contains(2));
    EXPECT_EQ(value_or_throw(Count::parse("1+:2:*")).next(1ull << 63), std::nullopt);
}

TEST(Count, TheJsonFormsAgreeWithTheStrings)
{
    auto from = [](const char *text) {
        return Count::from_json(Json::parse_or_throw(text));
    };
    EXPECT_EQ(value_or_throw(from("4")).format(), "4");
    EXPECT_EQ(value_or_throw(from(R"({"min":3})")).format(), "3+");
    EXPECT_EQ(value_or_throw(from(R"({"min":3,"max":30})")).format(), "3-30");
    EXPECT_EQ(value_or_throw(from(R"({"min":2,"max":64,"operator":"*","operand":2})")).format(), "2-64:2:*");
    for (auto text : {"0", "-1", "1.5", "null", "[]", "{}", R"({"min":0})", R"({"min":2,"max":1})",
                      R"({"min":"1"})", R"({"min":1,"operator":"*"})", R"({"min":1,"max":-1})",
                      R"({"min":1,"step":2})", R"("")", R"({"min":1,"operator":"","operand":1})"})
        EXPECT_FALSE(from(text)) << text;
    for (auto text : {"4", "3-30", "100+", "2-64:2:*", "4,9"}) {
        auto count = value_or_throw(Count::parse(text));
        EXPECT_EQ(value_or_throw(Count::from_json(count.to_json())), count) << text;
    }
}
