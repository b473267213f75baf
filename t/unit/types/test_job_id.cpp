#include <gtest/gtest.h>

#include <cstdlib>
#include <unordered_set>

#include "common/types/job_id.hpp"

using namespace flux;

TEST(JobId, TheExamplesOfTheRfcReadAndWriteInEveryEncoding)
{
    JobId id(6731191091817518);
    EXPECT_EQ(id.f58(), "ƒuZZybuNNy");
    EXPECT_EQ(id.f58(F58Prefix::ascii), "fuZZybuNNy");
    EXPECT_EQ(id.hex(), "0x17e9fb8df16c2e");
    EXPECT_EQ(id.dothex(), "0017.e9fb.8df1.6c2e");
    EXPECT_EQ(id.kvs_path(), "job.0017.e9fb.8df1.6c2e");
    EXPECT_EQ(id.kvs_path("eventlog"), "job.0017.e9fb.8df1.6c2e.eventlog");
    EXPECT_EQ(id.words(), "reform-remote-galileo--heart-package-academy");
    EXPECT_EQ(JobId(0xedaf97d000000).words(), "random-idea-yoyo--sugar-printer-academy");
    EXPECT_EQ(JobId(0xedaf97d000000).dothex(), "000e.daf9.7d00.0000");
    for (auto text :
         {"ƒuZZybuNNy", "fuZZybuNNy", "6731191091817518", "0x17e9fb8df16c2e", "0017.e9fb.8df1.6c2e",
          "job.0017.e9fb.8df1.6c2e", "reform-remote-galileo--heart-package-academy", "  ƒuZZybuNNy\n",
          "Reform-Remote-galileo-heart-package-academy"})
        EXPECT_EQ(value_or_throw(JobId::parse(text)), id) << text;
}

TEST(JobId, TheEmojiExamplesOfTheRfcAreIdsOfTheFirstGenerator)
{
    for (auto text : {"🚹💂🙌😳💱🏃", "😄😹🎇📥🏧🙉🔞", "🚹💂🈳💰🎩🏃"}) {
        auto id = value_or_throw(JobId::parse(text));
        EXPECT_EQ(id.generator(), 0u) << text;
        EXPECT_EQ(id.sequence(), 0u) << text;
        EXPECT_EQ(id.emoji(), text);
    }
}

TEST(JobId, TheSmallestAndLargestIdSurviveEveryEncoding)
{
    for (uint64_t value : {0ull, 1ull, 57ull, 58ull, 0xffffffffull, 0x100000000ull, ~0ull})
        for (auto encoding : {"f58", "f58plain", "dec", "hex", "dothex", "kvs", "words", "emoji"}) {
            auto text = value_or_throw(JobId(value).encode(encoding));
            EXPECT_EQ(value_or_throw(JobId::parse(text)).value(), value) << text;
        }
    EXPECT_FALSE(JobId().encode("roman"));
}

TEST(JobId, WhatIsNoIdIsRefusedWithASentence)
{
    for (auto text : {"",
                      " ",
                      "f",
                      "ƒ",
                      "fl0",
                      "x",
                      "-1",
                      "1.5",
                      "0x",
                      "0xg",
                      "18446744073709551616",
                      "fzzzzzzzzzzzz",
                      "00170.e9fb.8df1.6c2e",
                      "0017.e9fb.8df1",
                      "0017.e9fb.8df1.6c2e.eventlog",
                      "job.1",
                      "reform-remote",
                      "reform-remote-galileo--heart-package-academy-academy",
                      "a-b-c-d-e-f",
                      "amen-amen-amen--amen-amen-amen",
                      "\xf0\x9f\x98"}) {
        auto result = JobId::parse(text);
        ASSERT_FALSE(result) << text;
        EXPECT_EQ(result.error().errnum(), EINVAL);
    }
}

TEST(JobId, ThePrefixFollowsTheLocale)
{
    for (auto name : {"LC_ALL", "LC_CTYPE", "LANG", "FLUX_F58_FORCE_ASCII"})
        unsetenv(name);
    EXPECT_EQ(f58_prefix_from_environment(), F58Prefix::ascii);
    setenv("LANG", "en_US.UTF-8", 1);
    EXPECT_EQ(f58_prefix_from_environment(), F58Prefix::unicode);
    setenv("LC_ALL", "C", 1);
    EXPECT_EQ(f58_prefix_from_environment(), F58Prefix::ascii);
    setenv("LC_ALL", "C.utf8", 1);
    EXPECT_EQ(f58_prefix_from_environment(), F58Prefix::unicode);
    setenv("FLUX_F58_FORCE_ASCII", "1", 1);
    EXPECT_EQ(f58_prefix_from_environment(), F58Prefix::ascii);
    unsetenv("FLUX_F58_FORCE_ASCII");
    unsetenv("LC_ALL");
    unsetenv("LANG");
}

TEST(FluidGenerator, IdsOnlyGrowWhateverTheClockDoes)
{
    FluidGenerator generator(3, 1000);
    JobId last = generator.next(5000);
    EXPECT_EQ(last.timestamp_ms(), 4000u);
    EXPECT_EQ(last.generator(), 3u);
    std::unordered_set<JobId> seen {last};
    for (int i = 0; i < 5000; i++) {
        JobId id = generator.next(i % 3 ? 5000 : 4000); // backwards, and far more than 1024 in a millisecond
        EXPECT_GT(id, last);
        EXPECT_TRUE(seen.insert(id).second);
        last = id;
    }
    EXPECT_EQ(last.timestamp_ms(), 4004u);
    EXPECT_EQ(generator.next(9000).timestamp_ms(), 8000u);
}

TEST(FluidGenerator, ARestartGoesOnAboveTheLastId)
{
    JobId old = JobId::compose(123456, 700, 9);
    FluidGenerator generator(0, 10'000'000);
    generator.start_above(old, 10'000'050);
    JobId id = generator.next(10'000'050);
    EXPECT_GT(id, old);
    EXPECT_EQ(id.timestamp_ms(), 123457u);
    EXPECT_EQ(generator.next(10'000'060).timestamp_ms(), 123467u);
    generator.start_above(JobId(5), 10'000'060); // lower: nothing to do
    EXPECT_EQ(generator.next(10'000'060).timestamp_ms(), 123467u);
}

TEST(FluidGenerator, TheEndOfTimeIsAnError)
{
    FluidGenerator generator(0, 0);
    EXPECT_THROW(generator.next(1ll << 40), Error);
    EXPECT_THROW(FluidGenerator(1 << 14, 0), Error);
    EXPECT_NE(FluidGenerator(0, 77).next(77).value(), 0u);
}
