#include <gtest/gtest.h>

#include "modules/sched/placement.hpp"

using namespace flux;

namespace {

Placement cluster()
{
    ResourceSet all;
    for (uint32_t rank = 0; rank < 4; rank++)
        all.add_node(rank, fmt::format("n{}", rank), Idset::iota(4));
    Placement out(all);
    out.set_up(Idset::iota(4), true);
    return out;
}
JobShape slots(uint64_t count, uint64_t cores = 1)
{
    JobShape shape;
    shape.nslots = count;
    shape.cores_per_slot = cores;
    return shape;
}

TEST(Placement, what_is_allocated_is_not_given_twice_and_comes_back_when_freed)
{
    auto placement = cluster();
    auto first = placement.allocate(slots(15), {});
    ASSERT_TRUE(first);
    EXPECT_EQ(first->ncores(), 15u);
    auto second = placement.allocate(slots(2), {});
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().errnum(), ENOSPC);
    placement.free(*first);
    EXPECT_TRUE(placement.allocated().empty());
    EXPECT_TRUE(placement.allocate(slots(16), {}));
}

TEST(Placement, a_job_larger_than_the_instance_is_told_how_large_that_is)
{
    JobShape shape = slots(5);
    shape.nnodes = 5;
    shape.slots_per_node = 1;
    auto answer = cluster().feasible(shape, {});
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().text(), "never satisfiable: asks 5 nodes, the instance has 4");
}

TEST(Placement, down_nodes_are_not_used_but_count_for_feasibility)
{
    auto placement = cluster();
    placement.set_up(Idset {0, 1, 2}, false);
    EXPECT_TRUE(placement.feasible(slots(16), {}));
    EXPECT_FALSE(placement.allocate(slots(5), {}));
    EXPECT_EQ(placement.allocate(slots(4), {})->ranks().format(), "3");
}

TEST(Placement, an_exclusive_job_gets_whole_free_nodes)
{
    auto placement = cluster();
    ASSERT_TRUE(placement.allocate(slots(1), {}));
    JobShape shape = slots(1);
    shape.nnodes = 1;
    shape.slots_per_node = 1;
    shape.node_exclusive = true;
    auto R = placement.allocate(shape, {});
    ASSERT_TRUE(R);
    EXPECT_EQ(R->ranks().format(), "1");
    EXPECT_EQ(R->ncores(), 4u);
}

TEST(Placement, constraints_choose_among_the_nodes)
{
    auto placement = cluster();
    auto R = placement.allocate(slots(1), Json {{"hostlist", Json::array().append("n2")}});
    ASSERT_TRUE(R);
    EXPECT_EQ(R->ranks().format(), "2");
}

} // namespace
