#include <gtest/gtest.h>

#include <random>

#include "modules/sched/machine.hpp"
#include "modules/sched/sched_config.hpp"

using namespace flux;

namespace {

ResourceSet four_nodes()
{
    ResourceSet all;
    for (uint32_t rank = 0; rank < 4; rank++)
        all.add_node(rank, fmt::format("n{}", rank), Idset::iota(4));
    return all;
}

class MachineTest : public testing::Test {
protected:
    MachineTest() : machine(four_nodes(), SchedConfig::parse(Json::object(), {}).machine)
    {
        machine.set_up(Idset::iota(4), true);
    }
    std::shared_ptr<const graph::JobRequest> request(const std::string &resources,
                                                     const std::string &system = "{}")
    {
        Json json = Json::parse_or_throw(fmt::format(
            R"({{"version":1,"resources":[{}],"tasks":[{{"command":["x"],"slot":"s","count":{{"per_slot":1}}}}],)"
            R"("attributes":{{"system":{}}}}})",
            resources, system));
        return value_or_throw(machine.compile(value_or_throw(Jobspec::parse(json))));
    }
    std::shared_ptr<const graph::JobRequest> slots(int count, int cores = 1, const std::string &system = "{}")
    {
        return request(
            fmt::format(R"({{"type":"slot","count":{},"label":"s","with":[{{"type":"core","count":{}}}]}})",
                        count, cores),
            system);
    }
    Expected<ResourceSet> allocate(int64_t id, const graph::JobRequest &wanted)
    {
        auto match = machine.matcher().match(graph::MatchOp::allocate, id, wanted, 1000);
        if (!match)
            return std::unexpected(match.error());
        return machine.resources_of(match->use, &wanted);
    }
    Machine machine;
};

} // namespace

TEST_F(MachineTest, what_is_allocated_is_not_given_twice_and_comes_back_when_freed)
{
    auto first = allocate(1, *slots(15));
    ASSERT_TRUE(first);
    EXPECT_EQ(first->ncores(), 15u);
    EXPECT_EQ(first->nslots(), 15u);
    auto second = allocate(2, *slots(2));
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().errnum(), EBUSY);
    EXPECT_EQ(machine.allocated().ncores(), 15u);
    machine.free(1);
    EXPECT_TRUE(machine.allocated().empty());
    EXPECT_TRUE(allocate(3, *slots(16)));
}

TEST_F(MachineTest, a_job_larger_than_the_instance_is_told_how_large_that_is)
{
    auto answer = machine.feasible(*request(
        R"({"type":"node","count":5,"with":[{"type":"slot","count":1,"label":"s","with":[{"type":"core","count":1}]}]})"));
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().text(), "never satisfiable: needs 5 nodes: the machine has 4");
    EXPECT_EQ(machine.feasible(*slots(17)).error().text(),
              "never satisfiable: needs 17 cores: the machine has 16");
    EXPECT_TRUE(machine.feasible(*slots(16)));
    EXPECT_FALSE(machine.feasible(*slots(1, 5))); // no node has 5
}

TEST_F(MachineTest, down_nodes_are_not_used_but_count_for_feasibility)
{
    machine.set_up(Idset {0, 1, 2}, false);
    EXPECT_TRUE(machine.feasible(*slots(16)));
    EXPECT_FALSE(allocate(1, *slots(5)));
    machine.set_reason(Idset {1}, "fan");
    EXPECT_EQ(machine.matcher().explain(*slots(5), 0), "needs 5 cores: 4 free, 8 down, 4 drained: \"fan\"");
    EXPECT_EQ(allocate(1, *slots(4))->ranks().format(), "3");
}

TEST_F(MachineTest, an_exclusive_job_gets_whole_free_nodes)
{
    ASSERT_TRUE(allocate(1, *slots(1)));
    auto R = allocate(
        2,
        *request(
            R"({"type":"node","count":1,"exclusive":true,"with":[{"type":"slot","count":1,"label":"s","with":[{"type":"core","count":1}]}]})"));
    ASSERT_TRUE(R);
    EXPECT_EQ(R->ranks().format(), "1");
    EXPECT_EQ(R->ncores(), 4u);
    EXPECT_EQ(R->nslots(), 1u);
}

TEST_F(MachineTest, constraints_choose_among_the_nodes)
{
    auto R = allocate(1, *slots(1, 1, R"({"constraints":{"hostlist":["n2"]}})"));
    ASSERT_TRUE(R);
    EXPECT_EQ(R->ranks().format(), "2");
}

TEST_F(MachineTest, running_jobs_are_taken_over_and_released_by_rank)
{
    auto R = allocate(1, *slots(8));
    ASSERT_TRUE(R);
    machine.free(1);
    R->set_starttime(900);
    R->set_expiration(2000);
    ASSERT_TRUE(machine.take(1, *R));
    EXPECT_TRUE(machine.allocated().same_resources(*R));
    EXPECT_FALSE(machine.take(2, *R));
    machine.free(1, Idset {0});
    EXPECT_EQ(machine.allocated().ranks().format(), "1");
    machine.shrink(Idset {1});
    EXPECT_TRUE(machine.allocated().empty());
    EXPECT_EQ(machine.all().nnodes(), 3u);
    EXPECT_FALSE(machine.feasible(*slots(13)));
}

TEST_F(MachineTest, what_is_allocated_is_what_the_jobs_have_together)
{
    auto node = request(
        R"({"type":"node","count":1,"exclusive":true,"with":[{"type":"slot","count":1,"label":"s","with":[{"type":"core","count":1}]}]})");
    std::mt19937 random(5);
    int64_t next = 1;
    std::vector<int64_t> running;
    auto end_one = [&](bool in_part) {
        auto at = running.begin() + long(random() % running.size());
        machine.free(*at, in_part ? Idset {uint32_t(random() % 4)} : Idset::iota(4));
        if (!machine.matcher().find(*at))
            running.erase(at);
    };
    for (int round = 0; round < 400; round++) {
        if (random() % 2 && !running.empty())
            end_one(random() % 2);
        else if (auto wanted = random() % 3 ? slots(1 + int(random() % 3), 1 + int(random() % 2)) : node;
                 allocate(next, *wanted))
            running.push_back(next++);
        if (random() % 3)
            continue;
        ResourceSet together;
        for (int64_t id : running)
            together.unite(machine.resources_of(*machine.matcher().find(id)));
        ASSERT_TRUE(machine.allocated().same_resources(together))
            << round << ": " << machine.allocated().summary() << " and not " << together.summary();
    }
}

TEST(Machine, WhoeverHasARackHasTheNodesInIt)
{
    graph::Graph racks;
    graph::VertexId cluster = racks.add(graph::no_vertex, {.type = "cluster"});
    for (int rank = 0; rank < 4; rank++) {
        if (rank % 2 == 0)
            racks.add(cluster, {.type = "rack", .id = rank / 2});
        graph::VertexId node = racks.add(*racks.find_path(fmt::format("/cluster0/rack{}", rank / 2)),
                                         {.type = "node", .id = rank, .rank = rank});
        racks.add_many(node, {.type = "core"}, 4, 1);
    }
    racks.finish();
    Machine machine(std::move(racks), SchedConfig::parse(Json::object(), {}).machine);
    machine.set_up(Idset::iota(4), true);
    auto jobspec = value_or_throw(Jobspec::parse(Json::parse_or_throw(
        R"({"version":9999,"resources":[{"type":"rack","count":1,"exclusive":true,"with":[{"type":"slot","count":1,)"
        R"("label":"s","with":[{"type":"node","count":2}]}]}],)"
        R"("tasks":[{"command":["x"],"slot":"s","count":{"per_slot":1}}],"attributes":{"system":{}}})")));
    auto wanted = value_or_throw(machine.compile(jobspec));
    auto match = value_or_throw(machine.matcher().match(graph::MatchOp::allocate, 1, *wanted, 0));
    EXPECT_EQ(machine.resources_of(match.use).summary(), "rank[0-1]/core[0-3]");
    EXPECT_EQ(machine.allocated().summary(), "rank[0-1]/core[0-3]");
    machine.free(1);
    EXPECT_TRUE(machine.allocated().empty());
}

TEST_F(MachineTest, another_match_policy_holds_from_the_next_match_on)
{
    auto low = allocate(1, *slots(1));
    ASSERT_TRUE(low);
    EXPECT_EQ(low->summary(), "rank0/core0");
    auto configured = [](const char *policy, const char *format) {
        Json table {{"match-policy", policy}, {"match-format", format}};
        return SchedConfig::parse(Json {{"sched-fluxion-resource", table}}, {}).machine;
    };
    machine.set_expiration(5000);
    machine.reconfigure(configured("hinodex", "rv1"));
    EXPECT_EQ(machine.matcher().options().graph_end, 5000);
    auto high = allocate(2, *slots(1));
    ASSERT_TRUE(high);
    EXPECT_EQ(high->summary(), "rank3/core[0-3]");
    EXPECT_TRUE(high->scheduling()["graph"].is_object());
    machine.reconfigure(configured("lonode", "rv1_nosched"));
    auto next = allocate(3, *slots(4));
    ASSERT_TRUE(next);
    EXPECT_FALSE(next->intersects(*low) || next->intersects(*high));
    for (int64_t id : {1, 2, 3})
        machine.free(id);
    EXPECT_TRUE(machine.allocated().empty());
    EXPECT_TRUE(allocate(4, *slots(16)));
}

TEST_F(MachineTest, what_was_set_down_stays_so_and_counts_once)
{
    EXPECT_EQ(machine.set_status("/cluster0/n9", false).error().errnum(), ENOENT);
    ASSERT_TRUE(machine.set_status("/cluster0/n1", false));
    ASSERT_TRUE(machine.set_status("/cluster0/n2/core3", false));
    machine.set_up(Idset {1}, true); // its broker comes back
    EXPECT_EQ(machine.down().summary(), "rank1/core[0-3] rank2/core3");
    EXPECT_EQ(machine.up().format(), "0,2-3");
    EXPECT_FALSE(allocate(1, *slots(12)));
    machine.set_up(Idset {1}, false);
    ASSERT_TRUE(machine.set_status("/cluster0/n1", true)); // no longer held; its broker is still down
    EXPECT_EQ(machine.up().format(), "0,2-3");
    EXPECT_EQ(machine.set_status("/cluster0/n1", true).error().errnum(), EINVAL);
    machine.set_up(Idset {1}, true);
    ASSERT_TRUE(machine.set_status("/cluster0/n2/core3", true));
    EXPECT_TRUE(machine.down().empty());
    EXPECT_TRUE(allocate(2, *slots(16)));
}

TEST_F(MachineTest, nodes_leave_when_nobody_uses_them_and_come_back)
{
    ASSERT_TRUE(allocate(1, *slots(1))); // on n0
    auto taken = machine.remove_subgraph("/cluster0/n0");
    ASSERT_FALSE(taken);
    EXPECT_EQ(taken.error().errnum(), EBUSY);
    EXPECT_EQ(machine.remove_subgraph("/cluster0").error().errnum(), EINVAL);
    const auto &graph = machine.matcher().graph();
    Json before = graph::emit_jgf(graph, graph::whole_graph(graph), false);
    ASSERT_TRUE(machine.remove_subgraph("/cluster0/n3"));
    ASSERT_TRUE(machine.remove_subgraph("/cluster0/n2/core0"));
    EXPECT_EQ(machine.all().ncores(), 11u);
    EXPECT_EQ(machine.up().format(), "0-2");
    machine.set_up(Idset {3}, false); // nobody is told that it is down
    EXPECT_EQ(machine.add_subgraph(before, 3).error().errnum(), EINVAL);
    EXPECT_EQ(machine.all().ncores(), 11u);
    ASSERT_TRUE(machine.add_subgraph(before, 4));
    EXPECT_EQ(machine.all().ncores(), 16u);
    EXPECT_EQ(machine.down().summary(), "rank3/core[0-3]");
    machine.set_up(Idset {3}, true);
    auto rest = allocate(2, *slots(15));
    ASSERT_TRUE(rest);
    EXPECT_EQ(rest->ncores(), 15u);
}

TEST_F(MachineTest, a_part_is_given_back)
{
    auto all = allocate(
        1,
        *request(
            R"({"type":"node","count":2,"exclusive":true,"with":[{"type":"slot","count":1,"label":"s","with":[{"type":"core","count":1}]}]})"));
    ASSERT_TRUE(all);
    EXPECT_EQ(all->ncores(), 8u);
    auto part = machine.release(1, all->subset(Idset {1}));
    ASSERT_TRUE(part);
    EXPECT_FALSE(*part);
    EXPECT_EQ(machine.allocated().ranks().format(), "0");
    EXPECT_EQ(machine.release(2, *all).error().errnum(), ENOENT);
    part = machine.release(1, *all);
    ASSERT_TRUE(part && *part);
    EXPECT_TRUE(machine.allocated().empty());
}

TEST_F(MachineTest, of_a_job_on_nodes_that_are_gone_the_rest_is_taken_over)
{
    ResourceSet R;
    R.add_node(2, "n2", Idset::iota(6)); // two cores more than there are
    R.add_node(3, "n3", Idset {0, 1});
    R.add_node(7, "n7", Idset::iota(4));
    auto taken = machine.take(1, R);
    ASSERT_FALSE(taken);
    EXPECT_EQ(taken.error().errnum(), ENOENT);
    ASSERT_TRUE(machine.take_rest(1, R));
    EXPECT_EQ(machine.allocated().summary(), "rank2/core[0-3] rank3/core[0-1]");
    EXPECT_EQ(allocate(2, *slots(11)).error().errnum(), EBUSY) << "10 cores are left";
    ResourceSet none;
    none.add_node(9, "n9", Idset::iota(4));
    EXPECT_TRUE(machine.take_rest(3, none));
    EXPECT_EQ(machine.allocated().ncores(), 6u);
}

TEST_F(MachineTest, nodes_that_are_new_stand_where_their_ranks_are)
{
    Machine grown(four_nodes().without(Idset {1, 2}), SchedConfig::parse(Json::object(), {}).machine);
    grown.set_up(Idset {0, 3}, true);
    auto all = slots(16);
    EXPECT_FALSE(grown.feasible(*all));
    EXPECT_EQ(grown.expand(four_nodes().subset(Idset {0, 1, 2})).format(), "1-2") << "rank 0 is known";
    auto known = four_nodes();
    ASSERT_TRUE(known.add_property("big", Idset {1}));
    EXPECT_TRUE(grown.expand(known).empty());
    EXPECT_TRUE(grown.all().has_property(1, "big"));
    EXPECT_TRUE(grown.feasible(*all));
    EXPECT_TRUE(grown.all().same_resources(four_nodes()));
    const auto &graph = grown.matcher().graph();
    EXPECT_TRUE(graph.ascending(graph.node_type())) << "a search still ends when it has enough";
    EXPECT_TRUE(graph.ascending_in_nodes(*graph.find_type("core")));
    EXPECT_EQ(grown.matcher().match(graph::MatchOp::allocate, 1, *slots(9), 1000).error().errnum(), EBUSY)
        << "they are down until they are set up";
    grown.set_up(Idset {1, 2}, true);
    auto match = grown.matcher().match(graph::MatchOp::allocate, 1, *slots(9), 1000);
    ASSERT_TRUE(match);
    EXPECT_EQ(grown.resources_of(match->use).ranks().format(), "0-2");
}

TEST_F(MachineTest, what_a_job_has_on_a_node_that_is_not_known_is_taken_when_it_comes)
{
    Machine grown(four_nodes().without(Idset {2, 3}), SchedConfig::parse(Json::object(), {}).machine);
    grown.set_up(Idset {0, 1}, true);
    ResourceSet on_both;
    on_both.add_node(1, "n1", Idset {0, 1});
    on_both.add_node(2, "n2", Idset {0, 1, 2});
    on_both.set_starttime(900);
    on_both.set_expiration(2000);
    ResourceSet elsewhere;
    elsewhere.add_node(2, "n2", Idset {3});
    elsewhere.add_node(3, "n3", Idset {0});
    ASSERT_FALSE(grown.take(1, on_both));
    ASSERT_TRUE(grown.take_rest(1, on_both));
    ASSERT_TRUE(grown.take_rest(2, elsewhere));
    EXPECT_EQ(grown.allocated().summary(), "rank1/core[0-1]");
    EXPECT_EQ(grown.left_out().size(), 2u);
    EXPECT_TRUE(grown.set_end(2, 3000));
    EXPECT_TRUE(grown.take_left_out(grown.expand(four_nodes().subset(Idset {2}))).empty());
    EXPECT_EQ(grown.allocated().summary(), "rank1/core[0-1] rank2/core[0-3]");
    EXPECT_EQ(grown.matcher().find(1)->end, 2000);
    EXPECT_EQ(grown.matcher().find(2)->end, 3000);
    grown.free(2, Idset {3});
    EXPECT_TRUE(grown.left_out().empty());
    EXPECT_TRUE(grown.take_left_out(grown.expand(four_nodes())).empty());
    EXPECT_EQ(grown.allocated().ncores(), 6u);
    grown.free(1);
    grown.free(2);
    EXPECT_TRUE(grown.allocated().empty());
}

TEST_F(MachineTest, properties_come_and_go)
{
    auto debug = slots(4, 1, R"({"constraints":{"properties":["+debug"]}})");
    EXPECT_FALSE(machine.feasible(*debug));
    machine.add_properties({{"+debug", Idset {1, 9}}});
    ASSERT_TRUE(machine.feasible(*debug));
    EXPECT_EQ(machine.all().properties().at("+debug").format(), "1");
    machine.remove_properties({{"+debug", Idset {1}}});
    EXPECT_FALSE(machine.feasible(*debug));
    machine.add_properties({{"+debug", Idset {1, 2}}, {"big", Idset {3}}});
    auto now = four_nodes().without(Idset {0});
    ASSERT_TRUE(now.add_property("+debug", Idset {3}));
    machine.adopt_properties(now);
    auto R = allocate(1, *debug);
    ASSERT_TRUE(R);
    EXPECT_EQ(R->ranks().format(), "3");
    EXPECT_EQ(machine.all().properties().size(), 1u);
}

TEST(SchedConfig, reads_its_tables_and_says_what_is_wrong)
{
    Json config = Json::parse_or_throw(R"({"queues":{"batch":{},"debug":{},"night":{"parent":"batch"}},
        "sched-fluxion-resource":{"match-policy":"hinodex"},
        "sched-fluxion-qmanager":{"queue-policy":"easy","queue-params":"queue-depth=5,max-queue-depth=9",
            "policy-params":{"reservation-depth":3},"queue-policy-per-queue":"debug:conservative",
            "queue-params-per-queue":"batch:queue-depth=7"}})");
    auto parsed = SchedConfig::parse(config, {"match-policy=low"});
    ASSERT_EQ(parsed.queues.size(), 2u);
    EXPECT_EQ(parsed.queue_of("night"), parsed.queue_of("batch"));
    EXPECT_NE(parsed.queue_of("debug"), parsed.queue_of("batch"));
    const auto &batch = parsed.queues[parsed.queue_of("batch")].options;
    const auto &debug = parsed.queues[parsed.queue_of("debug")].options;
    EXPECT_EQ(batch.policy, graph::QueueOptions::Policy::easy);
    EXPECT_EQ(batch.queue_depth, 7u);
    EXPECT_EQ(debug.policy, graph::QueueOptions::Policy::conservative);
    EXPECT_EQ(debug.queue_depth, 5u);
    EXPECT_EQ(debug.reservation_depth, 3u);
    EXPECT_EQ(parsed.machine.matching.policy.order, graph::Policy::Order::low);
    EXPECT_FALSE(parsed.machine.matching.policy.node_exclusive);

    auto mistake = [](const char *text) {
        try {
            SchedConfig::parse(Json::parse_or_throw(text), {});
        } catch (const Error &error) {
            return fmt::format("{}: {}", error.errnum(), error.text());
        }
        return std::string("none");
    };
    EXPECT_EQ(mistake(R"({"sched-fluxion-qmanager":{"queue-params":{"queue-depth":0}}})"),
              fmt::format("{}: [sched-fluxion-qmanager] queue-params.queue-depth: 0 is less than 1", ERANGE));
    EXPECT_EQ(mistake(R"({"sched-fluxion-qmanager":{"queue-policy-per-queue":"day:easy"}})"),
              fmt::format("{}: [sched-fluxion-qmanager] queue-policy-per-queue: there is no queue \"day\"",
                          ENOENT));
    EXPECT_EQ(mistake(R"({"sched-fluxion-resource":{"colour":"red"}})"),
              fmt::format("{}: [sched-fluxion-resource] colour: unknown key", EINVAL));
    EXPECT_NE(mistake(R"({"sched-fluxion-resource":{"policy":"best"}})").find("match policy \"best\""),
              std::string::npos);
    EXPECT_EQ(mistake(R"({"sched-fluxion-resource":{"prune-filters":"ALL:core,node"}})"),
              fmt::format("{}: [sched-fluxion-resource] prune-filters: \"node\" is not "
                          "HIGH-LEVEL-TYPE:LOW-LEVEL-TYPE",
                          EINVAL));
    EXPECT_EQ(mistake(R"({"sched-fluxion-resource":{"update-interval":"often"}})"),
              fmt::format("{}: [sched-fluxion-resource] update-interval: expected a number, found \"often\"",
                          EINVAL));
    EXPECT_EQ(mistake(R"({"sched-fluxion-resource":{"prune-filters":"ALL:core","update-interval":0}})"), "none");
    EXPECT_NE(mistake(R"({"queues":{"a":{"parent":"b"}}})").find("[queues.a] parent"), std::string::npos);
}
