#include <gtest/gtest.h>

#include <fstream>
#include <random>
#include <sstream>

#include "common/job/resource_set.hpp"

using namespace flux;

namespace {

ResourceSet parsed(std::string_view text)
{
    return value_or_throw(ResourceSet::parse(text));
}

ResourceSet cluster(uint32_t nodes, const char *cores = "0-3", const char *gpus = "")
{
    ResourceSet set;
    for (uint32_t rank = 0; rank < nodes; rank++)
        set.add_node(rank, fmt::format("n{}", rank), value_or_throw(Idset::parse(cores)),
                     value_or_throw(Idset::parse(gpus)));
    return set;
}

std::string r_with(const char *execution)
{
    return fmt::format(R"({{"version":1,"execution":{{{}}}}})", execution);
}

} // namespace

TEST(ResourceSet, TheExampleOfTheRfcReadsAndWrites)
{
    std::ifstream file("data/rfc/spec_20_example1.json");
    std::stringstream text;
    text << file.rdbuf();
    auto set = parsed(text.str());
    EXPECT_EQ(set.nnodes(), 4u);
    EXPECT_EQ(set.ncores(), 4u * 48);
    EXPECT_EQ(set.ngpus(), 32u);
    EXPECT_EQ(set.nslots(), 32u);
    EXPECT_EQ(set.starttime(), 1676560542);
    EXPECT_EQ(set.expiration(), 1676562342);
    EXPECT_EQ(set.nodelist().encode(), "node[186-189]");
    EXPECT_EQ(set.summary(), "rank[19-22]/core[0-47],gpu[0-7]");
    EXPECT_EQ(set.find(20)->hostname(), "node187");
    EXPECT_EQ(set.ranks_of(value_or_throw(Hostlist::parse("node[186,189]"))).format(), "19,22");
    EXPECT_EQ(parsed(set.encode()).encode(), set.encode());
    EXPECT_EQ(set.to_json()["execution"]["R_lite"].dump(),
              R"([{"rank":"19-22","children":{"core":"0-47","gpu":"0-7"}}])");
}

TEST(ResourceSet, AnEmptySetIsWrittenAsTheProtocolHasIt)
{
    EXPECT_EQ(ResourceSet().encode(),
              R"({"version":1,"execution":{"R_lite":[],"starttime":0.0,"expiration":0.0,"nodelist":[""]}})");
    EXPECT_TRUE(parsed(ResourceSet().encode()).empty());
    EXPECT_EQ(ResourceSet().summary(), "");
}

TEST(ResourceSet, RanksWithEqualChildrenAreMerged)
{
    ResourceSet set;
    set.add_node(3, "d", {0, 1});
    set.add_node(0, "a", {0, 1});
    set.add_node(1, "b", {0});
    set.add_node(2, "c", {0, 1});
    EXPECT_EQ(set.summary(), "rank[0,2-3]/core[0-1] rank1/core0");
    EXPECT_EQ(set.nodelist().encode(), "a,b,c,d");
    EXPECT_THROW(set.add_node(1, "b", {0}), Error);
    set.merge_node(1, "b", {1});
    EXPECT_EQ(set.summary(), "rank[0-3]/core[0-1]");
}

TEST(ResourceSet, EntriesOfOneRankAddUp)
{
    auto set = parsed(r_with(
        R"("R_lite":[{"rank":"1","children":{"core":"0"}},{"rank":"0-1","children":{"core":"1","gpu":"0"}}],)"
        R"("nodelist":["a","b"])"));
    EXPECT_EQ(set.summary(), "rank0/core1,gpu0 rank1/core[0-1],gpu0");
}

TEST(ResourceSet, SetAlgebraWorksPerCoreAndGpu)
{
    auto all = cluster(4, "0-3", "0-1");
    ResourceSet job;
    job.add_node(1, "n1", {0, 1}, {0});
    job.add_node(2, "n2", {0, 1, 2, 3}, {0, 1});
    EXPECT_TRUE(all.contains(job));
    auto free = all;
    free.subtract(job);
    EXPECT_EQ(free.summary(), "rank[0,3]/core[0-3],gpu[0-1] rank1/core[2-3],gpu1");
    EXPECT_FALSE(free.intersects(job));
    EXPECT_FALSE(free.contains(job));
    auto back = free;
    back.unite(job);
    EXPECT_TRUE(back.same_resources(all));
    EXPECT_EQ(back.nodelist(), all.nodelist());
    auto common = all;
    common.intersect(job);
    EXPECT_TRUE(common.same_resources(job));
    EXPECT_TRUE(ResourceSet(all).subtract(all).empty());
    EXPECT_EQ(all.subset({1, 3, 9}).ranks().format(), "1,3");
    EXPECT_EQ(all.without({1, 3, 9}).ranks().format(), "0,2");
}

TEST(ResourceSet, ASmallSetAgainstALargeOneGivesTheSameAsNodeByNode)
{
    std::mt19937 random(11);
    auto all = cluster(200, "0-3", "0");
    all.add_property("p", Idset::range(0, 199));
    for (int round = 0; round < 50; round++) {
        ResourceSet part;
        for (int i = 0; i < 10; i++) {
            uint32_t rank = random() % 210;
            part.merge_node(rank, fmt::format("n{}", rank), {uint32_t(random() % 4), uint32_t(random() % 4)});
        }
        if (round % 2)
            part.merge_node(5, "n5", Idset::range(0, 3), {0});
        auto less = ResourceSet(all).subtract(part), more = ResourceSet(less).unite(part);
        for (uint32_t rank = 0; rank < 210; rank++) {
            auto cores = [&](const ResourceSet &set) {
                return set.find(rank) ? set.find(rank)->cores() : Idset();
            };
            ASSERT_EQ(cores(less), cores(all) - cores(part));
            ASSERT_EQ(cores(more), cores(less) | cores(part));
        }
        EXPECT_EQ(!less.find(5), round % 2 == 1);
        EXPECT_EQ(less.has_property(5, "p"), round % 2 == 0);
    }
}

TEST(ResourceSet, PropertiesFollowTheirRanks)
{
    auto set = cluster(4);
    ASSERT_TRUE(set.add_property("ssd", {0, 1}));
    ASSERT_TRUE(set.add_property("+batch", {1, 2, 3}));
    EXPECT_FALSE(set.add_property("a|b", {0}));
    EXPECT_FALSE(set.add_property("far", {4}));
    auto again = parsed(set.encode());
    EXPECT_TRUE(again.has_property(1, "ssd"));
    EXPECT_FALSE(again.has_property(2, "ssd"));
    auto part = set.subset({2, 3});
    EXPECT_EQ(part.properties().size(), 1u);
    part.remap();
    EXPECT_EQ(part.ranks().format(), "0-1");
    EXPECT_EQ(part.properties().find("+batch")->second.format(), "0-1");
    EXPECT_EQ(part.nodelist().encode(), "n[2-3]");
    part.drop_instance_local_properties();
    EXPECT_TRUE(part.properties().empty());
    auto wanted = value_or_throw(compile_resource_constraint(
        Json::parse_or_throw(R"({"and":[{"properties":["ssd"]},{"not":[{"hostlist":["n0"]}]}]})")));
    EXPECT_EQ(set.matching(wanted).ranks().format(), "1");
}

TEST(ResourceSet, RerankingFollowsTheOrderOfTheHostlist)
{
    auto set = cluster(3);
    set.merge_node(0, "n0", {7});
    ASSERT_TRUE(set.rerank(value_or_throw(Hostlist::parse("n2,n0,n1"))));
    EXPECT_EQ(set.nodelist().encode(), "n[2,0-1]");
    EXPECT_TRUE(set.find(1)->cores().contains(7));
    EXPECT_EQ(set.rerank(value_or_throw(Hostlist::parse("n[0-1]"))).error().errnum(), ENOENT);
    auto twins = cluster(2);
    twins.set_hosts(value_or_throw(Hostlist::parse("vm,vm")));
    ASSERT_TRUE(twins.rerank(value_or_throw(Hostlist::parse("vm,vm"))));
    EXPECT_EQ(twins.ranks().format(), "0-1");
}

TEST(ResourceSet, TheSchedulingKeyIsCarriedUnread)
{
    auto set = cluster(1);
    set.set_scheduling(Json {{"writer", "x:y"}, {"graph", Json {{"n", 1}}}});
    EXPECT_EQ(parsed(set.encode()).scheduling().dump(), R"({"writer":"x:y","graph":{"n":1}})");
}

TEST(ResourceSet, FaultsNameTheirKey)
{
    for (auto text : {"{}", "[]", "x", R"({"version":2,"execution":{}})", R"({"version":1})",
                      R"({"version":1,"execution":{"R_lite":1}})"})
        EXPECT_FALSE(ResourceSet::parse(std::string_view(text))) << text;
    const char *lite = R"("R_lite":[{"rank":"0-1","children":{"core":"0"}}],"nodelist":["a","b"])";
    EXPECT_TRUE(ResourceSet::parse(r_with(lite)));
    for (auto extra : {R"("nslots":0)", R"("starttime":-1)", R"("starttime":5,"expiration":5)",
                       R"("properties":[])", R"("properties":{"x":"7"})", R"("expiration":"never")"})
        EXPECT_FALSE(ResourceSet::parse(r_with(fmt::format("{},{}", lite, extra).c_str()))) << extra;
    EXPECT_EQ(
        ResourceSet::parse(r_with(R"("R_lite":[{"rank":"0-1","children":{"core":"0"}}],"nodelist":["a"])"))
            .error()
            .text(),
        "R: execution.nodelist names 1 hosts for 2 ranks");
    EXPECT_EQ(
        ResourceSet::parse(r_with(R"("R_lite":[{"rank":"x","children":{"core":"0"}}],"nodelist":["a"])"))
            .error()
            .text(),
        "R: execution.R_lite[0].rank: idset \"x\": expected a number at \"x\"");
}

TEST(ResourceSet, TenThousandNodesShareTheirShapes)
{
    auto all = cluster(10000, "0-95", "0-3");
    std::set<const ResourceSet::NodeShape *> shapes;
    std::mt19937 random(3);
    auto free = all;
    for (int job = 0; job < 50; job++) {
        ResourceSet part;
        for (int i = 0; i < 20; i++) {
            const auto &node = free.nodes()[random() % free.nodes().size()];
            if (!part.find(node.rank))
                part.merge_node(node, node.shape());
        }
        free.subtract(part);
        EXPECT_FALSE(free.intersects(part));
        free.unite(part);
    }
    EXPECT_TRUE(free.same_resources(all));
    for (const auto &node : free.nodes())
        shapes.insert(node.shape().get());
    EXPECT_EQ(shapes.size(), 1u);
    EXPECT_EQ(free.summary(), "rank[0-9999]/core[0-95],gpu[0-3]");
}
