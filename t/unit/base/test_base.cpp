#include <gtest/gtest.h>

#include "common/base/encoding.hpp"
#include "common/base/hash.hpp"
#include "common/base/quote.hpp"
#include "common/base/text.hpp"

using namespace flux;

TEST(Base64, TheVectorsOfRfc4648RoundTrip)
{
    const std::pair<const char *, const char *> vectors[] = {
        {"", ""},        {"f", "Zg=="},        {"fo", "Zm8="},
        {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"foobar", "Zm9vYmFy"}};
    for (auto [plain, encoded] : vectors) {
        EXPECT_EQ(base64_encode(plain), encoded);
        EXPECT_EQ(base64_decode(encoded).value(), plain);
    }
}

TEST(Base64, BadTextIsRefused)
{
    for (auto bad : {"Zg=", "Z===", "Zm9\n", "Zg==Zg==", "===="})
        EXPECT_FALSE(base64_decode(bad)) << bad;
}

TEST(Hash, ABlobrefIsTheDigestInHex)
{
    EXPECT_EQ(blobref(HashType::sha1, "hi\n"), "sha1-55ca6286e3e4f4fba5d0448333fa99fc5a404a73");
    EXPECT_EQ(blobref(HashType::sha256, ""),
              "sha256-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    auto parts = parse_blobref("sha1-55ca6286e3e4f4fba5d0448333fa99fc5a404a73");
    ASSERT_TRUE(parts);
    EXPECT_EQ(parts->digest, digest(HashType::sha1, "hi\n"));
    for (auto bad : {"", "sha1", "sha1-", "md5-00", "sha1-zz", "sha1-55ca"})
        EXPECT_FALSE(parse_blobref(bad)) << bad;
}

TEST(Hash, MessagesOfEveryLengthAreHashedAsEverybodyDoes)
{
    std::string all;
    for (size_t length = 0; length <= 300; length++)
        all += digest(HashType::sha1, std::string(length, 'x'));
    EXPECT_EQ(blobref(HashType::sha256, all),
              "sha256-7d145b5ab9dca711c4553a03189249f206e3174695a92815a663d530efb42c02");
    EXPECT_EQ(blobref(HashType::sha1, std::string(1'000'000, 'a')),
              "sha1-34aa973cd4c4daa4f61eeb2bdbad27316534016f");
}

TEST(Quote, CutsBetweenCharacters)
{
    EXPECT_EQ(quoted("abc", 3), "abc");
    EXPECT_EQ(quoted("abcd", 3), "abc");
    EXPECT_EQ(quoted("abé", 3), "ab");
    EXPECT_EQ(quoted("a€b", 3), "a");
    EXPECT_EQ(quoted("a€b", 4), "a€");
    EXPECT_EQ(quoted("\U0001f600", 1), "");
}

TEST(Quote, BytesThatAreNoTextAreReplaced)
{
    EXPECT_EQ(valid_utf8("aé€\U0001f600"), "aé€\U0001f600");
    EXPECT_EQ(valid_utf8("a\xff"
                         "b"),
              "a\ufffd"
              "b");
    EXPECT_EQ(valid_utf8("\xc3"), "\ufffd");
    EXPECT_EQ(valid_utf8("\xed\xa0\x80"), "\ufffd\ufffd\ufffd"); // a surrogate
    EXPECT_EQ(valid_utf8("\xc0\x80"), "\ufffd\ufffd");           // overlong
}

TEST(Text, IsSplitWithEmptyPartsAndWithout)
{
    using Parts = std::vector<std::string_view>;
    EXPECT_EQ(split("a,,b,", ','), (Parts {"a", "", "b"}));
    EXPECT_EQ(split(",", ','), (Parts {""}));
    EXPECT_EQ(split("", ','), Parts {});
    EXPECT_EQ(split_words(",a,,bc,", ","), (Parts {"a", "bc"}));
    EXPECT_EQ(split_words(" a\t\n b "), (Parts {"a", "b"}));
    EXPECT_EQ(split_words(""), Parts {});
    EXPECT_EQ(trimmed(" a b\r\n"), "a b");
    EXPECT_EQ(trimmed(" \t"), "");
}
