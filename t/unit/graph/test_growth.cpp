// A graph that grows knows as much as one that was looked at as a whole, or less, and nothing that is not so.
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "common/graph/matcher.hpp"
#include "unit/graph/graph_help.hpp"

namespace flux::graph {
namespace {

VertexId add_node(Graph &graph, VertexId rack, int id)
{
    VertexId node = graph.add(rack, {.type = "node", .id = id, .rank = id});
    graph.add_many(node, {.type = "core"}, 2, 1);
    return node;
}

Graph small_machine(int nodes)
{
    Graph graph;
    VertexId rack = graph.add(graph.add(no_vertex, {.type = "cluster"}), {.type = "rack"});
    for (int id = 0; id < nodes; id++)
        add_node(graph, rack, id);
    graph.finish(0);
    return graph;
}

void expect_no_more_than_the_whole_tells(const Graph &grown)
{
    Graph whole = grown;
    whole.finish(0);
    std::set<TypeId> present;
    for (VertexId v = 0; v < grown.size(); v++)
        if (!grown[v].removed)
            present.insert(grown[v].type);
    for (TypeId type = 1; type < grown.type_count(); type++) {
        auto name = grown.type_name(type);
        EXPECT_LE(grown.ascending(type), whole.ascending(type)) << name;
        EXPECT_LE(grown.ascending_in_nodes(type), whole.ascending_in_nodes(type)) << name;
        EXPECT_LE(grown.only_below_nodes(type), whole.only_below_nodes(type)) << name;
        if (present.contains(type) && grown.model(type) != no_vertex) {
            EXPECT_NE(whole.model(type), no_vertex) << name;
        }
    }
    ASSERT_EQ(grown.tracked_count(), whole.tracked_count());
    for (VertexId v = 0; v < grown.size(); v++)
        for (size_t column = 0;
             !grown[v].removed && grown[v].child_count > 0 && column < grown.tracked_count(); column++) {
            EXPECT_EQ(grown.total(v)[column], whole.total(v)[column]) << v;
            EXPECT_EQ(grown.total_up(v)[column], whole.total_up(v)[column]) << v;
        }
}

TEST(Growth, what_is_added_at_the_end_goes_on_ascending)
{
    Graph graph = small_machine(3);
    TypeId node = *graph.find_type("node"), core = *graph.find_type("core");
    VertexId rack = *graph.find_path("/cluster0/rack0");
    ASSERT_TRUE(graph.ascending(node));
    ASSERT_TRUE(graph.ascending_in_nodes(core));
    for (int id = 3; id < 6; id++) {
        VertexId from = VertexId(graph.size());
        add_node(graph, rack, id);
        graph.finish(from);
    }
    EXPECT_TRUE(graph.ascending(node));
    EXPECT_TRUE(graph.ascending_in_nodes(core));
    EXPECT_NE(graph.model(node), no_vertex);
    VertexId from = VertexId(graph.size());
    graph.add(*graph.find_path("/cluster0/rack0/node1"), {.type = "core", .id = 1});
    graph.finish(from);
    EXPECT_FALSE(graph.ascending_in_nodes(core)); // there is a core1 before it
    from = VertexId(graph.size());
    graph.add(rack, {.type = "node", .id = 2});
    graph.finish(from);
    EXPECT_FALSE(graph.ascending(node));
}

TEST(Growth, a_machine_that_has_lost_everything_has_room_for_nothing)
{
    Matcher matcher(small_machine(1), {});
    auto wanted = request_of(matcher.graph(),
                             R"([{"type":"slot","count":1,"label":"s","with":[{"type":"core","count":1}]}])");
    ASSERT_TRUE(matcher.start_or_hold(1, wanted, 0, true, true));
    ASSERT_TRUE(matcher.cancel(1));
    matcher.shrink(*matcher.graph().find_path("/cluster0/rack0"));
    EXPECT_FALSE(matcher.start_or_hold(2, wanted, 0, true, true));
    EXPECT_FALSE(matcher.start_or_hold(2, wanted, 0, false, false));
    EXPECT_FALSE(matcher.explain(wanted, 0).empty());
}

TEST(Growth, at_any_place_nothing_is_taken_for_true_that_is_not)
{
    for (unsigned seed = 1; seed <= 500; seed++) {
        SCOPED_TRACE(fmt::format("seed {}", seed));
        std::mt19937 random(seed);
        auto below = [&](size_t limit) {
            return size_t(random() % limit);
        };
        Graph graph = small_machine(2);
        for (int step = 0; step < 8; step++) {
            VertexId from = VertexId(graph.size());
            for (size_t roots = 1 + below(2); roots > 0; roots--) {
                VertexId parent = VertexId(below(from));
                if (graph[parent].removed)
                    continue;
                const char *types[] = {"rack", "node", "core", "gpu", "switch"};
                VertexId added = graph.add(parent, {.type = types[below(5)], .id = int64_t(below(12))});
                for (size_t count = below(3); count > 0; count--)
                    graph.add(added, {.type = types[1 + below(4)], .id = int64_t(below(12))});
            }
            graph.finish(from);
            if (below(3) == 0 && !graph[VertexId(from - 1)].removed)
                graph.remove(VertexId(from - 1));
            expect_no_more_than_the_whole_tells(graph);
            if (HasFailure())
                return;
        }
    }
}

} // namespace
} // namespace flux::graph
