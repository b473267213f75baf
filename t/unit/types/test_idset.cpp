#include <gtest/gtest.h>

#include <random>
#include <set>

#include "common/types/idset.hpp"

using namespace flux;

namespace {

Idset idset_of(std::string_view text)
{
    return value_or_throw(Idset::parse(text));
}

} // namespace

TEST(Idset, TheExamplesOfTheRfcReadAndFormat)
{
    EXPECT_EQ(idset_of("1,2,3,5,6,42").format(), "1-3,5-6,42");
    EXPECT_EQ(idset_of("[1-3,5-6,42]").format(), "1-3,5-6,42");
    EXPECT_EQ(idset_of("1-3,5-6,42").count(), 6u);
    EXPECT_EQ(idset_of("").format(), "");
    EXPECT_EQ(idset_of("[]").count(), 0u);
    EXPECT_EQ(idset_of("0").format(Idset::Brackets::unless_single), "0");
    EXPECT_EQ(idset_of("0-1").format(Idset::Brackets::unless_single), "[0-1]");
}

TEST(Idset, WhatTheRfcForbidsIsRefusedWithASentence)
{
    for (auto text : {"1,",    ",1",  "1-", "-1", "a", "1 ,2", "01",   "3,1",      "1,1",
                      "1-3,3", "4-2", "[1", "1]", "[", "]",    "1--2", "16777216", "99999999999999999999",
                      "[[1]]", "1,,2"}) {
        auto result = Idset::parse(text);
        ASSERT_FALSE(result) << text;
        EXPECT_EQ(result.error().errnum(), EINVAL);
        EXPECT_NE(result.error().text().find("idset"), std::string::npos);
    }
    EXPECT_EQ(Idset::parse("5,3").error().text(), "idset \"5,3\": 3 does not come after 5: ids must ascend");
}

TEST(Idset, AdjacentRunsBecomeOne)
{
    Idset set;
    set.add(1), set.add(3), set.add(2);
    EXPECT_EQ(set.runs().size(), 1u);
    set.remove(2);
    EXPECT_EQ(set.format(), "1,3");
    set.add(0, 10);
    EXPECT_EQ(set.format(), "0-10");
    set.remove(3, 5);
    EXPECT_EQ(set.format(), "0-2,6-10");
    EXPECT_EQ(set.count(), 8u);
    EXPECT_THROW(set.add(Idset::max_id + 1), Error);
}

TEST(Idset, IterationVisitsEveryIdInOrder)
{
    std::vector<uint32_t> seen;
    for (uint32_t id : idset_of("0,2-4,9"))
        seen.push_back(id);
    EXPECT_EQ(seen, (std::vector<uint32_t> {0, 2, 3, 4, 9}));
    for ([[maybe_unused]] uint32_t id : Idset())
        FAIL();
}

TEST(Idset, PositionsAndNeighboursAreFound)
{
    auto set = idset_of("2-4,9");
    EXPECT_EQ(set.first(), 2u);
    EXPECT_EQ(set.last(), 9u);
    EXPECT_EQ(set.next(4), 9u);
    EXPECT_EQ(set.next(9), std::nullopt);
    EXPECT_EQ(set.nth(3), 9u);
    EXPECT_THROW(set.nth(4), Error);
    EXPECT_EQ(set.index_of(9), 3u);
    EXPECT_EQ(set.take(2).format(), "2-3");
}

TEST(Idset, AMillionIdsStayQuickInEveryPattern)
{
    Idset even, all;
    for (uint32_t id = 0; id < 1u << 20; id += 2)
        even.add(id);
    all.add(0, (1u << 20) - 1);
    EXPECT_EQ((all - even).count(), 1u << 19);
    EXPECT_EQ((all & even), even);
    EXPECT_EQ(((all - even) | even), all);
    EXPECT_FALSE((all - even).intersects(even));
    EXPECT_EQ(idset_of(even.format()), even);
}

TEST(Idset, EveryOperationAgreesWithAStdSet)
{
    std::mt19937 random(7);
    for (int round = 0; round < 400; round++) {
        std::set<uint32_t> model_a, model_b;
        Idset a, b;
        for (int step = 0; step < 40; step++) {
            uint32_t first = random() % 60, last = first + random() % 6;
            switch (random() % 4) {
            case 0:
                a.remove(first, last);
                for (auto id = first; id <= last; id++)
                    model_a.erase(id);
                break;
            case 1:
                b.add(first, last);
                for (auto id = first; id <= last; id++)
                    model_b.insert(id);
                break;
            default:
                a.add(first, last);
                for (auto id = first; id <= last; id++)
                    model_a.insert(id);
            }
        }
        auto check = [](const Idset &set, const std::set<uint32_t> &model) {
            ASSERT_EQ(std::vector(set.begin(), set.end()), std::vector<uint32_t>(model.begin(), model.end()));
            ASSERT_EQ(set.count(), model.size());
            ASSERT_EQ(idset_of(set.format()), set);
        };
        std::set<uint32_t> both = model_a, common, rest;
        both.insert(model_b.begin(), model_b.end());
        for (auto id : model_a)
            (model_b.contains(id) ? common : rest).insert(id);
        check(a, model_a);
        check(a | b, both);
        check(a & b, common);
        check(a - b, rest);
        EXPECT_EQ(a.intersects(b), !common.empty());
        EXPECT_EQ(a.contains(b), common.size() == model_b.size());
    }
}
