#include <gtest/gtest.h>

#include "common/types/taskmap.hpp"

using namespace flux;

namespace {

Taskmap map_of(std::string_view text)
{
    return value_or_throw(Taskmap::parse(text));
}

struct Vector {
    const char *raw;
    const char *map;
};
constexpr Vector rfc_vectors[] = {
    {"0", "[[0,1,1,1]]"},
    {"0;1", "[[0,2,1,1]]"},
    {"0-1", "[[0,1,2,1]]"},
    {"0-1;2-3", "[[0,2,2,1]]"},
    {"0,2;1,3", "[[0,2,1,2]]"},
    {"1;0", "[[1,1,1,1],[0,1,1,1]]"},
    {"0-3;4-7;8-11;12-15", "[[0,4,4,1]]"},
    {"0,4,8,12;1,5,9,13;2,6,10,14;3,7,11,15", "[[0,4,1,4]]"},
    {"0-1,8-9;2-3,10-11;4-5,12-13;6-7,14-15", "[[0,4,2,2]]"},
    {"0-1;2-3;4-5;6-7;8-11;12-15", "[[0,4,2,1],[4,2,4,1]]"},
    {"0,6;1,7;2,8;3,9;4,10,12,14;5,11,13,15", "[[0,6,1,2],[4,2,1,2]]"},
    {"14-15;12-13;10-11;8-9;4-7;0-3", "[[5,1,4,1],[4,1,4,1],[3,1,2,1],[2,1,2,1],[1,1,2,1],[0,1,2,1]]"},
    {"0-1;2-3;4-5;6-7;8-9;12-13;10-11;14-15", "[[0,5,2,1],[6,1,2,1],[5,1,2,1],[7,1,2,1]]"},
    {"12-15;8-11;4-7;0-3", "[[3,1,4,1],[2,1,4,1],[1,1,4,1],[0,1,4,1]]"},
};

} // namespace

TEST(Taskmap, TheTestVectorsOfTheRfcHoldBothWays)
{
    EXPECT_TRUE(map_of("[]").unknown());
    EXPECT_EQ(map_of("[]").encode(), "[]");
    for (const auto &vector : rfc_vectors) {
        EXPECT_EQ(map_of(vector.raw).encode(), vector.map);
        EXPECT_EQ(map_of(vector.map).encode_raw(), vector.raw);
        EXPECT_EQ(map_of(map_of(vector.map).to_wrapped_json().dump()).encode(), vector.map);
        EXPECT_EQ(map_of(map_of(vector.map).encode_pmi()).encode_raw(), vector.raw);
    }
}

TEST(Taskmap, BlockAndCyclicDistributionsAreAsInTheRfcsTables)
{
    std::vector<uint32_t> even(4, 4), uneven {2, 2, 2, 2, 4, 4}, large(4096, 256);
    EXPECT_EQ(Taskmap::block(even).encode(), "[[0,4,4,1]]");
    EXPECT_EQ(Taskmap::cyclic(even).encode(), "[[0,4,1,4]]");
    EXPECT_EQ(Taskmap::cyclic(even, 2).encode(), "[[0,4,2,2]]");
    EXPECT_EQ(Taskmap::block(uneven).encode(), "[[0,4,2,1],[4,2,4,1]]");
    EXPECT_EQ(Taskmap::cyclic(uneven).encode(), "[[0,6,1,2],[4,2,1,2]]");
    EXPECT_EQ(Taskmap::cyclic(uneven, 2).encode(), "[[0,6,2,1],[4,2,2,1]]");
    EXPECT_EQ(Taskmap::block(large).encode(), "[[0,4096,256,1]]");
    EXPECT_EQ(Taskmap::cyclic(large).encode(), "[[0,4096,1,256]]");
    EXPECT_EQ(Taskmap::cyclic(large, 2).encode(), "[[0,4096,2,128]]");
    EXPECT_EQ(Taskmap::block(even).encode_pmi(), "(vector,(0,4,4))");
    EXPECT_EQ(Taskmap::cyclic(even, 2).encode_pmi(), "(vector,(0,4,2),(0,4,2))");
    EXPECT_THROW(Taskmap::cyclic(even, 0), Error);
}

TEST(Taskmap, NodesAndTasksAreFoundInBothDirections)
{
    auto map = map_of("[[0,6,1,2],[4,2,1,2]]");
    EXPECT_EQ(map.nnodes(), 6u);
    EXPECT_EQ(map.ntasks(), 16u);
    EXPECT_EQ(map.ntasks(0), 2u);
    EXPECT_EQ(map.ntasks(5), 4u);
    EXPECT_EQ(map.ntasks(6), 0u);
    EXPECT_EQ(map.tasks(4).format(), "4,10,12,14");
    for (uint32_t node = 0; node < map.nnodes(); node++)
        for (uint32_t task : map.tasks(node))
            EXPECT_EQ(value_or_throw(map.node_of(task)), node);
    EXPECT_EQ(map.node_of(16).error().errnum(), ENOENT);
    EXPECT_EQ(map_of("0-1;2").encode_multiline(), "0: 0\n1: 0\n2: 1\n");
}

TEST(Taskmap, AManualMapMustFitTheJob)
{
    auto job = map_of("[[0,2,2,1]]");
    EXPECT_TRUE(map_of("[[1,1,2,1],[0,1,2,1]]").check_against(job));
    EXPECT_FALSE(map_of("[[0,2,1,1]]").check_against(job));
    EXPECT_FALSE(map_of("[[0,1,4,1]]").check_against(job));
    EXPECT_FALSE(map_of("[[1,1,4,1]]").check_against(job));
}

TEST(Taskmap, HostileMapsAreRefused)
{
    for (auto text : {"0;0",
                      "1",
                      "0;2",
                      "x",
                      "[[0,1,1]]",
                      "[[0,0,1,1]]",
                      "[[0,1,-1,1]]",
                      "[[0,16777216,16777216,1]]",
                      "[[0,1,1,1],3]",
                      "{}",
                      R"({"version":2,"map":[]})",
                      R"({"version":1})",
                      "(vector",
                      "(vector,(0,1))",
                      "(vector,(0,1,1)",
                      "(vector,(0,1,1))x",
                      "(matrix)",
                      "[[16777216,1,1,1]]",
                      "[[0,4096,4096,2]]",
                      "0;;1;;x"})
        EXPECT_FALSE(Taskmap::parse(text)) << text;
}
