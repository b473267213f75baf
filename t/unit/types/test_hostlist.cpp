#include <gtest/gtest.h>

#include "common/types/hostlist.hpp"

using namespace flux;

namespace {

Hostlist hosts_of(std::string_view text)
{
    return value_or_throw(Hostlist::parse(text));
}
std::string expanded(std::string_view text)
{
    return fmt::format("{}", fmt::join(hosts_of(text).expand(), ","));
}

} // namespace

TEST(Hostlist, TheTestVectorsOfTheRfcExpand)
{
    EXPECT_EQ(expanded(""), "");
    EXPECT_EQ(expanded("foox,fooy,fooz"), "foox,fooy,fooz");
    EXPECT_EQ(expanded("[1-3,5-6]"), "1,2,3,5,6");
    EXPECT_EQ(expanded("foo[1-5]"), "foo1,foo2,foo3,foo4,foo5");
    EXPECT_EQ(expanded("foo[0-4]-eth2"), "foo0-eth2,foo1-eth2,foo2-eth2,foo3-eth2,foo4-eth2");
    EXPECT_EQ(expanded("foo1,foo1,foo1"), "foo1,foo1,foo1");
    EXPECT_EQ(expanded("[00-02]"), "00,01,02");
    EXPECT_EQ(expanded("[00-2]"), "00,01,02");
    EXPECT_EQ(expanded("foo[1,1,2,1]"), "foo1,foo1,foo2,foo1");
    EXPECT_EQ(expanded("a[005,4,11-13]"), "a005,a004,a011,a012,a013");
}

TEST(Hostlist, EncodingIsCompactAndKeepsOrderAndRepetition)
{
    EXPECT_EQ(hosts_of("foo1,foo2,foo3,bar,foo5,foo4").encode(), "foo[1-3],bar,foo[5,4]");
    EXPECT_EQ(hosts_of("foo1,foo1,foo1").encode(), "foo[1,1,1]");
    EXPECT_EQ(hosts_of("foo[0-4]-eth2").encode(), "foo[0-4]-eth2");
    EXPECT_EQ(hosts_of("n08,n09,n10,n11").encode(), "n[08-11]");
    EXPECT_EQ(hosts_of("n8,n9,n10").encode(), "n[8-10]");
    EXPECT_EQ(expanded(hosts_of("n1,n02,n3").encode()), "n1,n02,n3");
    EXPECT_EQ(expanded(hosts_of("n98,n099,n100").encode()), "n98,n099,n100");
    EXPECT_EQ(hosts_of("vm,vm").encode(), "vm,vm");
}

TEST(Hostlist, HostsAreFoundByNameAndByIndex)
{
    auto hosts = hosts_of("login,fluke[0-9999],n[08-12]");
    EXPECT_EQ(hosts.size(), 10006u);
    EXPECT_EQ(hosts.nth(0), "login");
    EXPECT_EQ(hosts.nth(10000), "fluke9999");
    EXPECT_EQ(hosts.find("fluke77"), 78u);
    EXPECT_EQ(hosts.find("n09"), 10002u);
    EXPECT_EQ(hosts.find("n9"), std::nullopt);
    EXPECT_EQ(hosts.find("fluke077"), std::nullopt);
    EXPECT_EQ(hosts.find("fluke"), std::nullopt);
    EXPECT_THROW(hosts.nth(10006), Error);
    EXPECT_EQ(hosts.subset(Idset {0, 2, 3, 10005}).encode(), "login,fluke[1-2],n12");
    EXPECT_EQ(hosts.find_all(hosts_of("login,n[08-09]")).format(), "0,10001-10002");
}

TEST(Hostlist, SortingAndUniqDropOnlyRepetitions)
{
    auto hosts = hosts_of("b2,a[10,9],b1,b2,a9,c[1-2]-x");
    hosts.uniq();
    EXPECT_EQ(hosts.encode(), "a[9-10],b[1-2],c[1-2]-x");
    EXPECT_EQ(hosts.remove("a9"), 1u);
    EXPECT_EQ(hosts.remove("a9"), 0u);
    EXPECT_EQ(hosts.encode(), "a10,b[1-2],c[1-2]-x");
}

TEST(Hostlist, ManyLookUpsOfScatteredHostsTakeLinearTime)
{
    Hostlist hosts, odd;
    for (int i = 0; i < 20'000; i++) {
        hosts.append_name(fmt::format("n{}", i * 7919 % 100'003)); // no two in a row: as many groups as hosts
        if (i % 2)
            odd.append_name(fmt::format("n{}", i * 7919 % 100'003));
    }
    HostIndex index(hosts);
    size_t at = 0;
    for (auto host : hosts)
        ASSERT_EQ(index.find(host), at++);
    EXPECT_FALSE(index.contains("n"));
    EXPECT_EQ(hosts.find_all(odd).count(), 10'000u);
    EXPECT_EQ(hosts.remove(odd), 10'000u);
    EXPECT_EQ(hosts.size(), 10'000u);
    EXPECT_EQ(hosts.nth(1), fmt::format("n{}", 2 * 7919));
    EXPECT_EQ(hosts.remove(odd), 0u);
}

TEST(Hostlist, BadListsAreRefusedAndLeaveTheListAsItWas)
{
    auto hosts = hosts_of("a1");
    for (auto text : {"a[1", "a1]", "a[]", "a[2-1]", "a[1-]", "a b", "a[1][2]", "a[x]", "a[1,,2]", "b,a[1",
                      "a\n", "a[0-99999999999999999]", "a[1-2", "\xc3\xa9"}) {
        EXPECT_FALSE(hosts.append(text)) << text;
        EXPECT_EQ(hosts.encode(), "a1") << text;
    }
    EXPECT_EQ(Hostlist::parse("a[0-1048576]").error().errnum(), E2BIG);
    EXPECT_EQ(Hostlist::parse("a[0-1048575],b").error().errnum(), E2BIG);
    EXPECT_THROW(hosts.append_name("x[1]"), Error);
}
