// The matcher: what the policies choose, and random jobs against a model that counts free cores on its
// fingers.
#include "unit/graph/graph_help.hpp"

#include <random>
#include <set>

#include "common/graph/changes.hpp"
#include "common/graph/emit.hpp"
#include "common/graph/find.hpp"
#include "common/graph/matcher.hpp"
#include "common/graph/readers.hpp"

using namespace flux;
using namespace flux::graph;

namespace {

Policy policy(std::string_view name)
{
    return value_or_throw(Policy::parse(name));
}

std::set<std::string> exclusive_names(const Matcher &matcher, const Match &match)
{
    std::set<std::string> out;
    for (const auto &one : expanded(matcher.graph(), match.use.allocation))
        if (one.exclusive)
            out.insert(matcher.graph().path(one.vertex));
    return out;
}

std::set<int64_t> nodes_of(const Matcher &matcher, const JobUse &use)
{
    std::set<int64_t> out;
    for (const auto &one : expanded(matcher.graph(), use.allocation))
        if (matcher.graph().type_name_of(one.vertex) == "node")
            out.insert(matcher.graph()[one.vertex].id);
    return out;
}

constexpr const char *one_core =
    R"([{"type":"slot","count":1,"label":"s","with":[{"type":"core","count":1}]}])";

} // namespace

TEST(Matcher, PrintsTheFormatsOfTheCatalogue)
{
    Matcher matcher(machine({.cores = 2, .memories = 0}), {.policy = policy("hinode")});
    auto request = request_of(matcher.graph(), R"([{"type":"slot","count":1,"label":"s","with":[
        {"type":"socket","count":1,"with":[{"type":"core","count":1},{"type":"gpu","count":1}]}]}])",
                              R"({"duration":3600})");
    auto match = matcher.match(MatchOp::allocate, 1, request, 0);
    ASSERT_TRUE(match) << match.error().text();
    auto text = [&](MatchFormat format) {
        return emit(matcher.graph(), match->use.allocation, match->use.start, match->use.end, format);
    };
    EXPECT_EQ(text(MatchFormat::simple), "      ---------------core3[1:x]\n"
                                         "      ---------------gpu1[1:x]\n"
                                         "      ------------socket1[1:x]\n"
                                         "      ---------node1[1:s]\n"
                                         "      ------rack0[1:s]\n"
                                         "      ---cluster0[1:s]\n");
    EXPECT_EQ(text(MatchFormat::pretty_simple), "      ---cluster0[1:shared]\n"
                                                "      ------rack0[1:shared]\n"
                                                "      ---------node1[1:shared]\n"
                                                "      ------------socket1[1:exclusive]\n"
                                                "      ---------------gpu1[1:exclusive]\n"
                                                "      ---------------core3[1:exclusive]\n");
    EXPECT_EQ(text(MatchFormat::rlite), R"([{"rank": "1", "children": {"core": "3", "gpu": "1"}}])"
                                        "\n");
    EXPECT_EQ(
        text(MatchFormat::rv1_nosched),
        R"({"version": 1, "execution": {"R_lite": [{"rank": "1", "children": {"core": "3", "gpu": "1"}}], )"
        R"("nodelist": ["node1"], "starttime": 0, "expiration": 3600}})"
        "\n");
    Json jgf = Json::parse_or_throw(text(MatchFormat::jgf));
    EXPECT_EQ(jgf.at("graph", "nodes").size(), 6u);
    EXPECT_EQ(jgf.at("graph", "edges").size(), 5u);
    EXPECT_EQ(jgf.at("graph", "nodes")[size_t(0)].dump(0),
              R"({"id": "18", "metadata": {"type": "core", "id": 3, "rank": -1, "exclusive": true, )"
              R"("paths": {"containment": "/cluster0/rack0/node1/socket1/core3"}}})");
    Json shorthand = Json::parse_or_throw(text(MatchFormat::jgf_shorthand));
    EXPECT_EQ(shorthand.at("graph", "nodes").size(), 4u);
    EXPECT_EQ(shorthand["writer"].string_view(), "fluxion:jgf_shorthand");
}

TEST(Matcher, PoliciesChooseWhatTheyPrefer)
{
    auto chosen = [](const char *name, const char *resources) {
        Matcher matcher(machine({.racks = 2, .nodes = 3}), {.policy = policy(name)});
        auto match = matcher.match(MatchOp::allocate, 1, request_of(matcher.graph(), resources), 0);
        EXPECT_TRUE(match) << name;
        return match ? exclusive_names(matcher, *match) : std::set<std::string>();
    };
    constexpr const char *core_on_node =
        R"([{"type":"node","count":1,"with":[{"type":"slot","count":1,"label":"s","with":[{"type":"core","count":2}]}]}])";
    std::set<std::string> low {"/cluster0/rack0/node0/socket0/core0", "/cluster0/rack0/node0/socket0/core1"};
    std::set<std::string> high {"/cluster0/rack1/node5/socket1/core6", "/cluster0/rack1/node5/socket1/core7"};
    for (auto name : {"low", "lonode", "compact"})
        EXPECT_EQ(chosen(name, core_on_node), low) << name;
    for (auto name : {"high", "hinode", "first", "policy=high node_centric=true"})
        EXPECT_EQ(chosen(name, core_on_node), high) << name;
    // Node-exclusive policies take all of every node that they touch.
    for (auto name : {"lonodex", "hinodex", "firstnodex"})
        EXPECT_EQ(chosen(name, core_on_node).size(), 1u + 2 + 8 + 2 + 2) << name;
}

TEST(Matcher, PutsASlotBelowOneSocketWhereThatIsPossible)
{
    auto chosen = [](const char *name, int slots, const char *with) {
        Matcher matcher(machine({.nodes = 2}), {.policy = policy(name)});
        auto match = matcher.match(MatchOp::allocate, 1,
                                   request_of(matcher.graph(), fmt::format(R"([{{"type":"slot","count":{},
                                       "label":"s","with":[{}]}}])",
                                                                           slots, with)),
                                   0);
        EXPECT_TRUE(match) << name;
        std::string out;
        for (const auto &path : match ? exclusive_names(matcher, *match) : std::set<std::string>())
            out += path.substr(strlen("/cluster0/rack0/node")) + " ";
        return out;
    };
    constexpr const char *gpu_and_core = R"({"type":"core","count":1},{"type":"gpu","count":1})";
    EXPECT_EQ(chosen("lonode", 2, gpu_and_core),
              "0/socket0/core0 0/socket0/gpu0 0/socket1/core4 0/socket1/gpu1 ");
    EXPECT_EQ(chosen("first", 2, gpu_and_core),
              "1/socket0/core3 1/socket0/gpu0 1/socket1/core7 1/socket1/gpu1 ");
    EXPECT_EQ(
        chosen("lonode", 2, R"({"type":"core","count":3})"),
        "0/socket0/core0 0/socket0/core1 0/socket0/core2 0/socket1/core4 0/socket1/core5 0/socket1/core6 ");
    // Where no socket has enough, a slot is anywhere on a node.
    EXPECT_EQ(chosen("lonode", 1, R"({"type":"core","count":5})"),
              "0/socket0/core0 0/socket0/core1 0/socket0/core2 0/socket0/core3 0/socket1/core4 ");
    EXPECT_EQ(chosen("lonode", 1, R"({"type":"gpu","count":2})"), "0/socket0/gpu0 0/socket1/gpu1 ");
}

TEST(Matcher, SlotsWaitForAClusterThatIsTaken)
{
    Matcher matcher(machine({}), {.policy = policy("low")});
    auto all = request_of(matcher.graph(), R"([{"type":"cluster","count":1,"exclusive":true,"with":[
        {"type":"slot","count":1,"label":"s","with":[{"type":"node","count":1}]}]}])",
                          R"({"duration":60})");
    auto core = request_of(matcher.graph(), one_core, R"({"duration":60})");
    auto match = matcher.match(MatchOp::allocate, 1, all, 0);
    ASSERT_TRUE(match);
    EXPECT_EQ(exclusive_names(matcher, *match).size(), matcher.graph().size());
    EXPECT_EQ(matcher.match(MatchOp::allocate, 2, core, 0).error().errnum(), EBUSY);
    match = matcher.match(MatchOp::allocate_orelse_reserve, 3, core, 0);
    ASSERT_TRUE(match);
    EXPECT_EQ(match->use.start, 60);
}

TEST(Matcher, WritesOutAllOfWhatIsExclusiveByName)
{
    Matcher matcher(machine({}), {.policy = policy("low")});
    auto count = [&](const char *resources) {
        auto match = matcher.match(MatchOp::without_allocating, 1, request_of(matcher.graph(), resources), 0);
        return match ? exclusive_names(matcher, *match).size() : 0;
    };
    constexpr size_t socket = 1 + 4 + 1 + 1, node = 1 + 2 * socket;
    EXPECT_EQ(count(R"([{"type":"node","count":1,"exclusive":true,"with":[
        {"type":"slot","count":1,"label":"s","with":[{"type":"core","count":1}]}]}])"),
              node);
    EXPECT_EQ(count(R"([{"type":"slot","count":1,"label":"s","with":[
        {"type":"socket","count":1,"exclusive":true,"with":[{"type":"core","count":1}]}]}])"),
              socket);
    // By a slot around it, with what is asked for only.
    EXPECT_EQ(count(R"([{"type":"slot","count":1,"label":"s","with":[
        {"type":"socket","count":1,"with":[{"type":"core","count":1}]}]}])"),
              2u);
}

TEST(Matcher, TellsTheSizeOfAPoolThatIsTakenWhole)
{
    Matcher matcher(machine({}), {.policy = policy("low")});
    auto match = matcher.match(
        MatchOp::allocate, 1,
        request_of(matcher.graph(),
                   R"([{"type":"slot","count":1,"label":"s","with":[{"type":"memory","count":3}]}])"),
        0);
    ASSERT_TRUE(match);
    EXPECT_TRUE(
        emit(matcher.graph(), match->use.allocation, 0, 1, MatchFormat::simple).contains("memory0[8:x]"));
    // Nothing was left out below it.
    auto node = matcher.match(
        MatchOp::allocate, 2,
        request_of(matcher.graph(),
                   R"([{"type":"slot","count":1,"label":"s","with":[{"type":"node","count":1}]}])"),
        0);
    ASSERT_TRUE(node);
    EXPECT_FALSE(Json::parse_or_throw(
        emit(matcher.graph(), node->use.allocation, 0, 1, MatchFormat::jgf_shorthand))["writer"]);
}

TEST(Matcher, EndsReservationsWithTheGraph)
{
    Matcher matcher(machine({.nodes = 1, .sockets = 1, .cores = 1}),
                    {.policy = policy("low"), .graph_end = 1000});
    ASSERT_TRUE(
        matcher.match(MatchOp::allocate, 1, request_of(matcher.graph(), one_core, R"({"duration":10})"), 0));
    auto match = matcher.match(MatchOp::allocate_orelse_reserve, 2, request_of(matcher.graph(), one_core), 0);
    ASSERT_TRUE(match);
    EXPECT_EQ(match->use.start, 10);
    EXPECT_EQ(match->use.end, 1000);
}

TEST(Matcher, LocalityTakesTheLastRunAndVariationTheLowestClasses)
{
    Graph graph = machine({.nodes = 8});
    auto node = [&](int i) {
        return *graph.find_path(fmt::format("/cluster0/rack0/node{}", i));
    };
    graph.set_down(node(2), true); // runs: 0-1, 3-7
    constexpr const char *three =
        R"([{"type":"node","count":3,"with":[{"type":"slot","count":1,"label":"s","with":[{"type":"core","count":1}]}]}])";
    constexpr const char *three_slots =
        R"([{"type":"slot","count":3,"label":"s","with":[{"type":"node","count":1}]}])";
    auto chosen = [](Matcher &matcher, const char *resources) {
        auto match = matcher.match(MatchOp::without_allocating, 1, request_of(matcher.graph(), resources), 0);
        return match ? nodes_of(matcher, match->use) : std::set<int64_t>();
    };
    Matcher locality(std::move(graph), {.policy = policy("locality")});
    EXPECT_EQ(chosen(locality, three), (std::set<int64_t> {3, 4, 5}));
    EXPECT_EQ(chosen(locality, three_slots), (std::set<int64_t> {5, 6, 7})); // high ids in slots

    graph = machine({.nodes = 8});
    for (int i = 0; i < 8; i++) // 9, 4, 4, 0, 4, 4, 4, 4
        graph.set_property(node(i), "perf_class", std::to_string(i == 0 ? 9 : i == 3 ? 0 : 4));
    Matcher variation(std::move(graph), {.policy = policy("variation")});
    EXPECT_EQ(chosen(variation, three), (std::set<int64_t> {1, 2, 3}));
    // What one slot holds has the least spread.
    EXPECT_EQ(
        chosen(variation, R"([{"type":"slot","count":1,"label":"s","with":[{"type":"node","count":3}]}])"),
        (std::set<int64_t> {1, 2, 4}));
}

TEST(Matcher, ExclusiveKeepsOthersOut)
{
    Matcher matcher(machine({}), {.policy = policy("low")});
    auto exclusive = request_of(matcher.graph(), R"([{"type":"node","count":1,"exclusive":true,"with":[
        {"type":"slot","count":1,"label":"s","with":[{"type":"core","count":1}]}]}])");
    auto core = request_of(matcher.graph(), one_core);
    ASSERT_TRUE(matcher.match(MatchOp::allocate, 1, core, 0));
    auto match = matcher.match(MatchOp::allocate, 2, exclusive, 0);
    ASSERT_TRUE(match);
    EXPECT_EQ(nodes_of(matcher, match->use), (std::set<int64_t> {1}));
    EXPECT_EQ(matcher.match(MatchOp::allocate, 3, exclusive, 0).error().errnum(), EBUSY);
    for (int i = 0; i < 7; i++)
        ASSERT_TRUE(matcher.match(MatchOp::allocate, 10 + i, core, 0));
    EXPECT_FALSE(matcher.match(MatchOp::allocate, 20, core, 0));
    ASSERT_TRUE(matcher.cancel(2));
    EXPECT_TRUE(matcher.match(MatchOp::allocate, 20, core, 0));
}

TEST(Matcher, CountsMayBeRanges)
{
    Matcher matcher(machine({.nodes = 7}), {.policy = policy("low")});
    auto with_count = [&](const char *count) {
        auto match =
            matcher.match(MatchOp::without_allocating, 1,
                          request_of(matcher.graph(), fmt::format(R"([{{"type":"slot","count":{},"label":"s",
                                       "with":[{{"type":"node","count":1}}]}}])",
                                                                  count)),
                          0);
        return match ? int(nodes_of(matcher, match->use).size()) : 0;
    };
    EXPECT_EQ(with_count("3"), 3);
    EXPECT_EQ(with_count("8"), 0);
    EXPECT_EQ(with_count(R"({"min":2,"max":5,"operator":"+","operand":1})"), 5);
    EXPECT_EQ(with_count(R"({"min":1,"max":64,"operator":"*","operand":2})"), 4);
    EXPECT_EQ(with_count(R"({"min":2,"max":100,"operator":"^","operand":2})"), 4);
    EXPECT_EQ(with_count(R"("3+")"), 7);
    EXPECT_EQ(with_count(R"("2-16:2")"), 6);
    EXPECT_EQ(with_count(R"("1,3,5,9")"), 5);
    EXPECT_EQ(with_count(R"("9+")"), 0);
    auto cores = matcher.match(MatchOp::without_allocating, 1,
                               request_of(matcher.graph(), R"([{"type":"node","count":1,
        "with":[{"type":"slot","count":2,"label":"s","with":[{"type":"core","count":"2-3"}]}]}])"),
                               0);
    ASSERT_TRUE(cores);
    EXPECT_EQ(exclusive_names(matcher, *cores).size(), 4u); // two of each socket
}

TEST(Matcher, RangesOfPoolsAndOfWhatHasMoreInside)
{
    auto amounts = [](const std::string &child, std::set<std::string> divisible = {}) {
        Matcher matcher(machine({.nodes = 1, .memories = 2}),
                        {.policy = policy("low"), .divisible = divisible, .or_slots = true});
        auto match = matcher.match(MatchOp::allocate, 1,
                                   request_of(matcher.graph(), fmt::format(R"([{{"type":"slot","count":2,
                                       "label":"s","with":[{}]}}])",
                                                                           child)),
                                   0);
        std::vector<int64_t> out;
        for (const auto &one : match ? match->use.allocation : decltype(match->use.allocation)())
            if (one.exclusive)
                out.push_back(one.amount);
        return out;
    };
    using Amounts = std::vector<int64_t>;
    EXPECT_EQ(amounts(R"({"type":"memory","count":{"min":2},"unit":"GB"})"), Amounts(2, 8));
    EXPECT_EQ(amounts(R"({"type":"memory","count":"9+","unit":"GB"})"), Amounts(4, 8));
    EXPECT_EQ(amounts(R"({"type":"memory","count":"17+","unit":"GB"})"), Amounts());
    EXPECT_EQ(amounts(R"({"type":"memory","count":"3000-5000","unit":"MB"})", {"memory"}), (Amounts {8, 2}));
    EXPECT_EQ(amounts(R"({"type":"memory","count":"1-3","unit":"GB"})", {"memory"}), (Amounts {6}));
    EXPECT_EQ(amounts(R"({"type":"socket","count":"1+","with":[{"type":"core","count":"2+"}]})").size(), 10u);
    EXPECT_EQ(amounts(R"({"type":"core","count":"1+"},{"type":"memory","count":"1+","unit":"B"})", {"memory"})
                  .size(),
              6u);
}

TEST(Matcher, SlotsThatTakeNothingOrVeryLittleComeToAnEnd)
{
    auto matches = [](const char *slots, bool or_slots) {
        Matcher matcher(machine({}),
                        {.policy = policy("compact"), .divisible = {"memory"}, .or_slots = or_slots});
        return bool(matcher.match(MatchOp::allocate, 1, request_of(matcher.graph(), slots), 0));
    };
    EXPECT_TRUE(matches(R"([{"type":"slot","count":"1+","label":"s",
                             "with":[{"type":"core","count":2,"exclusive":false}]}])",
                        false));
    EXPECT_FALSE(matches(R"([{"type":"slot","count":30000000000,"label":"s",
                             "with":[{"type":"memory","count":1,"unit":"B"}]}])",
                         false));
    std::string many;
    for (const char *label : {"s", "b", "c", "d", "e", "f"})
        many +=
            fmt::format(R"({}{{"type":"slot","count":17,"label":"{}","with":[{{"type":"core","count":1}}]}})",
                        many.empty() ? "" : ",", label);
    EXPECT_FALSE(matches(fmt::format("[{}]", many).c_str(), true));

    // Memory that is wanted inside memory, and so on: the power of what supplies power likewise.
    Graph graph = machine({.nodes = 16, .cores = 32});
    uint8_t power = graph.subsystem("power");
    for (VertexId host : std::vector<VertexId>(graph.hosts().begin(), graph.hosts().end()))
        for (int i = 0; i < 4; i++)
            graph.add(host, {.type = "power", .id = i, .size = 9, .unit = "W", .subsystem = power});
    graph.finish();
    std::string nested = R"({"type":"power","count":100})";
    for (int i = 0; i < 16; i++)
        nested = fmt::format(R"({{"type":"power","count":1,"with":[{}]}})", nested);
    Matcher matcher(std::move(graph), {.policy = policy("low"), .subsystems = {"containment", "power"}});
    auto request =
        request_of(matcher.graph(), fmt::format(R"([{{"type":"slot","count":1,"label":"s","with":[{{
        "type":"core","count":1,"with":[{}]}}]}}])",
                                                nested));
    auto match = matcher.match(MatchOp::satisfiability, 1, request, 0);
    ASSERT_FALSE(match);
    EXPECT_EQ(match.error().errnum(), ENODEV);
    EXPECT_EQ(matcher.explain_never(request, 0),
              "there are more ways to arrange what is asked for than can be "
              "tried: ask for it in a simpler way");
}

TEST(Matcher, KeepsASlotOnOneNode)
{
    Matcher matcher(machine({.nodes = 3, .sockets = 1, .cores = 3}), {.policy = policy("low")});
    auto two = request_of(matcher.graph(),
                          R"([{"type":"slot","count":3,"label":"s","with":[{"type":"core","count":2}]}])");
    auto match = matcher.match(MatchOp::allocate, 1, two, 0);
    ASSERT_TRUE(match);
    EXPECT_EQ(nodes_of(matcher, match->use).size(), 3u); // 3 cores a node: one slot each
    EXPECT_FALSE(matcher.match(MatchOp::allocate, 2, two, 0));
}

TEST(Matcher, ObeysConstraints)
{
    Graph graph = machine({.nodes = 4});
    graph.set_property(*graph.find_path("/cluster0/rack0/node2"), "ssd", "");
    Matcher matcher(std::move(graph), {.policy = policy("lonode")});
    auto chosen = [&](const char *constraint) {
        auto match = matcher.match(
            MatchOp::without_allocating, 1,
            request_of(matcher.graph(), one_core, fmt::format(R"({{"constraints":{}}})", constraint)), 0);
        return match ? *nodes_of(matcher, match->use).begin() : -1;
    };
    EXPECT_EQ(chosen(R"({"properties":["ssd"]})"), 2);
    EXPECT_EQ(chosen(R"({"properties":["^ssd"]})"), 0);
    EXPECT_EQ(chosen(R"({"hostlist":["node[1-3]"]})"), 1);
    EXPECT_EQ(chosen(R"({"and":[{"ranks":["2-3"]},{"not":[{"properties":["ssd"]}]}]})"), 3);
    EXPECT_EQ(chosen(R"({"properties":["gold"]})"), -1);
    auto none = request_of(matcher.graph(), one_core, R"({"constraints":{"properties":["gold"]}})");
    EXPECT_EQ(matcher.match(MatchOp::satisfiability, 1, none, 0).error().errnum(), ENODEV);
    EXPECT_EQ(matcher.explain(none, 0), "needs 1 core with property gold: the machine has 0");
}

TEST(Matcher, AsksConstraintsOfWhatBearsTheProperty)
{
    Graph graph = machine({.nodes = 3, .gpus = 2});
    VertexId ssd = graph.add(*graph.find_path("/cluster0/rack0"), {.type = "ssd", .id = 7});
    graph.finish(ssd);
    graph.set_property(ssd, "fast", "");
    for (const char *gpu : {"node0/socket1/gpu2", "node2/socket0/gpu0", "node2/socket0/gpu1"})
        graph.set_property(*graph.find_path(fmt::format("/cluster0/rack0/{}", gpu)), "big", "");
    graph.set_property(*graph.find_path("/cluster0/rack0/node2"), "late", "");
    Matcher matcher(std::move(graph), {.policy = policy("lonode")});
    auto try_match = [&](const std::string &with, const std::string &constraint) -> std::string {
        auto request = request_of(
            matcher.graph(), fmt::format(R"([{{"type":"slot","count":1,"label":"s","with":[{}]}}])", with),
            fmt::format(R"({{"constraints":{}}})", constraint));
        auto match = matcher.match(MatchOp::without_allocating, 1, request, 0);
        if (!match)
            return matcher.explain(request, 0);
        return fmt::format("{}", fmt::join(exclusive_names(matcher, *match), " "));
    };
    const std::string core_and_gpu = R"({"type":"core","count":1},{"type":"gpu","count":1})";
    const std::string r = "/cluster0/rack0/";
    EXPECT_EQ(try_match(core_and_gpu, "{}"), r + "node0/socket0/core0 " + r + "node0/socket0/gpu0");
    EXPECT_EQ(try_match(core_and_gpu, R"({"properties":["big"]})"),
              r + "node0/socket1/core4 " + r + "node0/socket1/gpu2");
    EXPECT_EQ(try_match(core_and_gpu, R"({"properties":["big","late"]})"),
              r + "node2/socket0/core0 " + r + "node2/socket0/gpu0");
    EXPECT_EQ(try_match(core_and_gpu, R"({"and":[{"properties":["^big"]},{"ranks":["2"]}]})"),
              r + "node2/socket1/core4 " + r + "node2/socket1/gpu2");
    EXPECT_EQ(try_match(R"({"type":"gpu","count":5})", R"({"not":[{"properties":["big"]}]})"),
              "needs 1 slot of 5 gpus that satisfy {\"not\":[{\"properties\":[\"big\"]}]}, each on one node: "
              "no node has so much");
    EXPECT_EQ(try_match(R"({"type":"gpu","count":4})", R"({"properties":["big"]})"),
              "needs 4 gpus with property big: the machine has 3");
    EXPECT_EQ(try_match(R"({"type":"core","count":1})", R"({"properties":["big"]})"),
              "needs 1 core with property big: the machine has 0");
    EXPECT_EQ(try_match(R"({"type":"ssd","count":1})", R"({"properties":["fast"]})"), r + "ssd7");
    EXPECT_EQ(try_match(R"({"type":"ssd","count":1})", R"({"properties":["^fast"]})"),
              "needs 1 ssd without property fast: the machine has 0");
}

TEST(Matcher, ReservesWhenItWillBeFree)
{
    Matcher matcher(machine({}), {.policy = policy("low")});
    constexpr const char *nodes =
        R"([{{"type":"slot","count":{},"label":"s","with":[{{"type":"node","count":1}}]}}])";
    auto job = [&](int count, int duration) {
        return request_of(matcher.graph(), fmt::format(nodes, count),
                          fmt::format(R"({{"duration":{}}})", duration));
    };
    auto op = MatchOp::allocate_orelse_reserve;
    EXPECT_EQ(matcher.match(op, 1, job(1, 100), 0)->use.start, 0);
    EXPECT_EQ(matcher.match(op, 2, job(1, 50), 0)->use.start, 0);
    EXPECT_EQ(matcher.match(op, 3, job(2, 100), 0)->use.start, 100);
    EXPECT_EQ(matcher.match(op, 4, job(1, 50), 0)->use.start, 50);  // before the reservation
    EXPECT_EQ(matcher.match(op, 5, job(1, 51), 0)->use.start, 200); // does not fit there
    EXPECT_EQ(matcher.match(op, 6, job(3, 1), 0).error().errnum(), ENODEV);
    ASSERT_TRUE(matcher.cancel(3));
    EXPECT_EQ(matcher.match(op, 7, job(1, 51), 0)->use.start, 100);
    // What is allocated stays so until it is cancelled, whatever was planned.
    EXPECT_EQ(matcher.match(MatchOp::allocate, 8, job(2, 10), 1000).error().errnum(), EBUSY);
}

TEST(Matcher, GivesOutPartsOfDivisiblePools)
{
    Matcher whole(machine({.nodes = 1, .sockets = 1}), {.policy = policy("low")});
    Matcher parts(machine({.nodes = 1, .sockets = 1}), {.policy = policy("low"), .divisible = {"memory"}});
    constexpr const char *three = R"([{"type":"node","count":1,"with":[{"type":"slot","count":1,"label":"s",
        "with":[{"type":"core","count":1},{"type":"memory","count":3000,"unit":"MB"}]}]}])";
    auto request = request_of(whole.graph(), three);
    EXPECT_TRUE(whole.match(MatchOp::allocate, 1, request, 0));
    EXPECT_FALSE(whole.match(MatchOp::allocate, 2, request, 0));
    request = request_of(parts.graph(), three);
    EXPECT_TRUE(parts.match(MatchOp::allocate, 1, request, 0)); // 3 of 8 GB
    EXPECT_TRUE(parts.match(MatchOp::allocate, 2, request, 0));
    EXPECT_FALSE(parts.match(MatchOp::allocate, 3, request, 0));
    EXPECT_EQ(parts.explain(request, 0), "needs 3000 MB of memory: 2000 free, 6000 allocated");
    ASSERT_TRUE(parts.cancel(1));
    EXPECT_TRUE(parts.match(MatchOp::allocate, 3, request, 0));
}

TEST(Matcher, DrawsPowerFromWhatSuppliesTheNode)
{
    Graph graph = machine({.nodes = 4});
    uint8_t power = graph.subsystem("power");
    VertexId pdu = graph.add(no_vertex, {.type = "pdu", .subsystem = power});
    graph.add(pdu, {.type = "power", .size = 1000, .unit = "W", .subsystem = power});
    for (int i = 0; i < 4; i++)
        graph.link(pdu, *graph.find_path(fmt::format("/cluster0/rack0/node{}", i)), power, "supplies_to");
    graph.finish();
    Matcher matcher(
        std::move(graph),
        {.policy = policy("low"), .subsystems = {"containment", "power"}, .divisible = {"power"}});
    auto request =
        request_of(matcher.graph(), R"([{"type":"node","count":1,"with":[{"type":"slot","count":1,"label":"s",
        "with":[{"type":"core","count":8},{"type":"power","count":400,"unit":"W"}]}]}])");
    auto match = matcher.match(MatchOp::allocate, 1, request, 0);
    ASSERT_TRUE(match) << match.error().text();
    EXPECT_TRUE(exclusive_names(matcher, *match).contains("/pdu0/power0"));
    EXPECT_TRUE(matcher.match(MatchOp::allocate, 2, request, 0));
    EXPECT_FALSE(matcher.match(MatchOp::allocate, 3, request, 0)); // nodes are free, 200 W are left
    EXPECT_NE(matcher.explain(request, 0).find("needs 400 W of power: 200 free, 800 allocated"),
              std::string::npos)
        << matcher.explain(request, 0);
    ASSERT_TRUE(matcher.cancel(2));
    EXPECT_TRUE(matcher.match(MatchOp::allocate, 3, request, 0));
    matcher.reconfigure({.policy = policy("low")});
    EXPECT_EQ(matcher.explain_never(request, 0),
              "needs 400 W of power: that is in the subsystem \"power\", which is not among those looked at");
}

TEST(Matcher, FindsTheNodesOfASwitch)
{
    Graph graph = machine({.racks = 3, .nodes = 4});
    uint8_t network = graph.subsystem("network");
    VertexId core = graph.add(no_vertex, {.type = "core_switch", .subsystem = network});
    for (int i = 0; i < 4; i++) { // each is at one node of every rack
        VertexId edge = graph.add(core, {.type = "switch", .id = i, .subsystem = network});
        graph.add(edge, {.type = "bandwidth", .size = 100, .unit = "Gb/s", .subsystem = network});
        for (int n = i; n < 12; n += 4)
            graph.link(edge, graph.of_rank(n)[0], network, "connected_down");
    }
    graph.finish();
    Matcher matcher(
        std::move(graph),
        {.policy = policy("low"), .subsystems = {"containment", "network"}, .divisible = {"bandwidth"}});
    auto try_match = [&](int64_t id, const char *resources) -> std::string {
        auto match = matcher.match(MatchOp::allocate, id, request_of(matcher.graph(), resources), 0);
        return match ? fmt::format("{}", fmt::join(nodes_of(matcher, match->use), " ")) : "";
    };
    const char *three = R"([{"type":"switch","count":1,"with":[{"type":"slot","count":1,"label":"s",
        "with":[{"type":"node","count":3},{"type":"bandwidth","count":60}]}]}])";
    const char *cores = R"([{"type":"core_switch","count":1,"with":[{"type":"switch","count":2,"with":[
        {"type":"slot","count":2,"label":"s","with":[{"type":"node","count":1,"with":[{"type":"core","count":5}]}]}]}]}])";
    EXPECT_EQ(try_match(1, three), "0 4 8");
    EXPECT_EQ(try_match(2, three), "1 5 9");
    EXPECT_EQ(try_match(3, cores), "2 3 6 7");
    EXPECT_EQ(try_match(4, three), "");
    EXPECT_TRUE(matcher.cancel(1));
    EXPECT_EQ(try_match(4, three), "0 4 8");
    EXPECT_EQ(try_match(5, R"([{"type":"switch","count":1,"with":[{"type":"slot","count":1,"label":"s",
        "with":[{"type":"node","count":4}]}]}])"),
              "");
}

TEST(Matcher, CompactKeepsCpuAndGpuTogether)
{
    Matcher matcher(machine({.nodes = 1, .sockets = 4, .cores = 4}), {.policy = policy("compact")});
    auto two_cores = request_of(
        matcher.graph(), R"([{"type":"slot","count":1,"label":"s","with":[{"type":"core","count":3}]}])");
    auto with_gpu =
        request_of(matcher.graph(), R"([{"type":"node","count":1,"with":[{"type":"slot","count":2,"label":"s",
        "with":[{"type":"core","count":2},{"type":"gpu","count":1}]}]}])");
    ASSERT_TRUE(matcher.match(MatchOp::allocate, 1, two_cores, 0)); // socket0 has one core left
    auto match = matcher.match(MatchOp::allocate, 2, with_gpu, 0);
    ASSERT_TRUE(match);
    std::map<VertexId, std::multiset<std::string>> by_socket;
    for (const auto &one : match->use.allocation)
        if (one.exclusive)
            by_socket[matcher.graph()[one.vertex].parent].insert(matcher.graph().type_name_of(one.vertex));
    EXPECT_EQ(by_socket.size(), 2u);
    for (const auto &[socket, types] : by_socket)
        EXPECT_EQ(types, (std::multiset<std::string> {"core", "core", "gpu"}));
}

TEST(Matcher, AlternativesOfSlots)
{
    Matcher flexible(machine({.nodes = 1}), {.policy = policy("low"), .or_slots = true});
    // 8 cores, 2 gpus: two slots with a gpu, then three of two cores.
    auto match = flexible.match(MatchOp::allocate, 1,
                                request_of(flexible.graph(), R"([{"type":"node","count":1,"with":[
        {"type":"slot","count":"1-10","label":"s","with":[{"type":"core","count":1},{"type":"gpu","count":1}]},
        {"type":"slot","count":"1-10","label":"b","with":[{"type":"core","count":2}]}]}])"),
                                0);
    ASSERT_TRUE(match);
    EXPECT_EQ(exclusive_names(flexible, *match).size(), 2u * 2 + 3 * 2);
    // xor_slot: the first that matches.
    constexpr const char *either = R"([{"type":"node","count":1,"with":[
        {"type":"xor_slot","count":1,"label":"s","with":[{"type":"gpu","count":3}]},
        {"type":"xor_slot","count":1,"label":"b","with":[{"type":"core","count":5}]}]}])";
    Matcher matcher(machine({.nodes = 1}), {.policy = policy("low")});
    match = matcher.match(MatchOp::allocate, 1, request_of(matcher.graph(), either), 0);
    ASSERT_TRUE(match);
    EXPECT_EQ(exclusive_names(matcher, *match).size(), 5u);
}

TEST(Matcher, SiblingsOfOneTypeDoNotShare)
{
    Matcher matcher(machine({.nodes = 1, .sockets = 1, .cores = 5}), {.policy = policy("low")});
    auto request = request_of(matcher.graph(), R"([{"type":"node","count":1,"with":[
        {"type":"slot","count":1,"label":"s","with":[{"type":"core","count":2}]},
        {"type":"slot","count":1,"label":"b","with":[{"type":"core","count":3}]}]}])");
    auto match = matcher.match(MatchOp::allocate, 1, request, 0);
    ASSERT_TRUE(match);
    EXPECT_EQ(exclusive_names(matcher, *match).size(), 5u);
}

TEST(Matcher, RestoresWhatItWrote)
{
    for (bool shorthand : {false, true}) {
        Matcher matcher(machine({.racks = 2}), {.policy = policy("high")});
        auto request = request_of(matcher.graph(),
                                  R"([{"type":"slot","count":2,"label":"s","with":[{"type":"node","count":1,
            "with":[{"type":"core","count":2}]}]}])");
        auto match = matcher.match(MatchOp::allocate, 1, request, 0);
        ASSERT_TRUE(match);
        std::string before = emit(matcher.graph(), match->use.allocation, 0, 10, MatchFormat::simple);
        Json jgf = emit_jgf(matcher.graph(), match->use.allocation, shorthand);
        auto picks = jgf_picks(matcher.graph(), jgf);
        ASSERT_TRUE(picks);
        EXPECT_EQ(matcher.restore(2, *picks, 0, 10, false).error().errnum(), EBUSY);
        ASSERT_TRUE(matcher.cancel(1));
        ASSERT_TRUE(matcher.restore(2, *picks, 0, 10, false));
        if (!shorthand)
            EXPECT_EQ(emit(matcher.graph(), matcher.find(2)->allocation, 0, 10, MatchFormat::simple), before);
        else // what was left out is all that is in the nodes
            EXPECT_EQ(std::ranges::count_if(expanded(matcher.graph(), matcher.find(2)->allocation),
                                            &Assigned::exclusive),
                      2 * (1 + 2 * (1 + 4 + 1 + 1)));
        EXPECT_TRUE(matcher.match(MatchOp::allocate, 3, request, 0)); // the other two nodes
        EXPECT_FALSE(matcher.match(MatchOp::allocate, 4, request, 0));
    }
}

TEST(Matcher, GrowsShrinksAndReleasesInPart)
{
    Matcher matcher(machine({.nodes = 2, .sockets = 1}), {.policy = policy("low")});
    auto nodes = [&](int count) {
        return request_of(
            matcher.graph(),
            fmt::format(R"([{{"type":"slot","count":{},"label":"s","with":[{{"type":"node","count":1}}]}}])",
                        count));
    };
    ASSERT_TRUE(matcher.match(MatchOp::allocate, 1, nodes(2), 0));
    EXPECT_FALSE(matcher.match(MatchOp::allocate, 2, nodes(1), 0));
    VertexId rack = *matcher.graph().find_path("/cluster0/rack0");
    matcher.grow({rack}, [&](Graph &graph) {
        VertexId node = graph.add(rack, {.type = "node", .id = 2, .rank = 2});
        graph.add_many(node, {.type = "core"}, 4, 1);
    });
    auto match = matcher.match(MatchOp::allocate, 2, nodes(1), 0);
    ASSERT_TRUE(match);
    EXPECT_EQ(nodes_of(matcher, match->use), (std::set<int64_t> {2}));
    VertexId node0 = *matcher.graph().find_path("/cluster0/rack0/node0");
    // Something new inside what a job has: it is not free, and goes with the rest.
    matcher.grow({node0}, [&](Graph &graph) { graph.add(node0, {.type = "gpu", .id = 9}); });
    auto gpu = request_of(matcher.graph(),
                          R"([{"type":"slot","count":3,"label":"s","with":[{"type":"gpu","count":1}]}])");
    EXPECT_EQ(matcher.match(MatchOp::allocate, 5, gpu, 0).error().errnum(), EBUSY);
    auto all_gone = matcher.release(1, [&](VertexId v) { return v == node0; });
    ASSERT_TRUE(all_gone);
    EXPECT_FALSE(*all_gone);
    EXPECT_TRUE(matcher.match(MatchOp::allocate, 3, nodes(1), 0));
    EXPECT_EQ(nodes_of(matcher, *matcher.find(1)), (std::set<int64_t> {1}));
    matcher.shrink(*matcher.graph().find_path("/cluster0/rack0/node1"));
    EXPECT_FALSE(matcher.find(1)); // it had nothing else
    EXPECT_EQ(matcher.match(MatchOp::satisfiability, 4, nodes(3), 0).error().errnum(), ENODEV);
    EXPECT_TRUE(matcher.match(MatchOp::satisfiability, 4, nodes(2), 0));
    ASSERT_TRUE(matcher.cancel(2));
    ASSERT_TRUE(matcher.cancel(3));
    EXPECT_TRUE(matcher.match(MatchOp::allocate, 4, nodes(2), 0));
}

// What the first fit has counted goes with what is given back, whichever way that is.
TEST(Matcher, FirstFitsForgetWhatIsGivenBack)
{
    std::mt19937 random(7);
    for (int round = 0; round < 200; round++) {
        Matcher matcher(machine({.racks = 2, .nodes = 3}),
                        {.policy = policy(round % 2 ? "first" : "firstnodex")});
        const Graph &graph = matcher.graph();
        int64_t next_id = 1, next_node = 6;
        auto some = [&](auto &container) {
            return std::next(container.begin(), long(random() % container.size()));
        };
        for (int step = 0; step < 60; step++) {
            auto hosts = graph.hosts();
            VertexId host = hosts.empty() ? graph.root() : *some(hosts);
            int what = int(random() % 10);
            if (what < 6) {
                constexpr const char *kinds[] = {
                    one_core,
                    R"([{"type":"slot","count":2,"label":"s","with":[{"type":"core","count":2},{"type":"gpu","count":1}]}])",
                    R"([{"type":"slot","count":1,"label":"s","with":[{"type":"node","count":2,"with":[{"type":"core","count":1}]}]}])",
                    R"([{"type":"rack","count":1,"exclusive":true,"with":[{"type":"slot","count":1,"label":"s","with":[{"type":"node","count":1}]}]}])",
                };
                auto request = request_of(graph, kinds[random() % 4], R"({"duration":10})");
                (void)matcher.match(random() % 3 ? MatchOp::allocate : MatchOp::allocate_orelse_reserve,
                                    next_id++, request, 0);
            } else if (what < 8 && !matcher.jobs().empty()) {
                int64_t id = some(matcher.jobs())->first;
                ASSERT_TRUE(random() % 2
                                ? matcher.cancel(id).has_value()
                                : matcher.release(id, [&](VertexId v) { return v == host; }).has_value());
            } else if (what == 8 && hosts.size() > 1) {
                matcher.shrink(host);
            } else if (!hosts.empty()) {
                matcher.grow({graph[host].parent}, [&](Graph &growing) {
                    VertexId node = growing.add(graph[host].parent, {.type = "node", .id = next_node++});
                    growing.add_many(node, {.type = "core"}, 4, 1);
                    growing.add(node,
                                {.type = random() % 8 ? "gpu" : "fpga"}); // another type: all is entered anew
                });
            }
        }
        while (!matcher.jobs().empty())
            ASSERT_TRUE(matcher.cancel(matcher.jobs().begin()->first));
        ASSERT_TRUE(matcher.first_order().nothing_given()) << "round " << round;
    }
}

TEST(Matcher, GrowsAtSeveralPlacesOrNotAtAll)
{
    Matcher matcher(machine({.nodes = 2, .sockets = 1, .gpus = 0}), {.policy = policy("low")});
    const Graph &graph = matcher.graph();
    size_t vertices = graph.vertex_count(), edges = graph.edge_count();
    auto whole = [&](int nodes) {
        return request_of(
            graph,
            fmt::format(
                R"([{{"type":"node","count":{},"exclusive":true,"with":[{{"type":"slot","count":1,"label":"s","with":[{{"type":"core","count":1}}]}}]}}])",
                nodes));
    };
    auto vertex = [](const char *key, const char *type, const char *path, int id) {
        return fmt::format(
            R"({{"id":"{}","metadata":{{"type":"{}","id":{},"rank":-1,"paths":{{"containment":"{}"}}}}}})",
            key, type, id, path);
    };
    auto document = [&](const std::string &last) {
        return Json::parse_or_throw(fmt::format(R"({{"graph":{{"nodes":[{},{},{},{},{}],"edges":[]}}}})",
                                                vertex("1", "socket", "/cluster0/rack0/node0/socket0", 0),
                                                vertex("2", "socket", "/cluster0/rack0/node1/socket0", 0),
                                                vertex("3", "core", "/cluster0/rack0/node0/socket0/core9", 9),
                                                vertex("4", "core", "/cluster0/rack0/node1/socket0/core9", 9),
                                                last));
    };
    // Both nodes are held as a whole while they grow.
    ASSERT_TRUE(matcher.match(MatchOp::allocate, 1, whole(1), 0));
    ASSERT_TRUE(matcher.match(MatchOp::allocate, 2, whole(1), 0));
    auto orphan = add_subgraph(matcher, document(vertex("5", "core", "/cluster0/rack9/node9/core0", 0)));
    ASSERT_FALSE(orphan);
    EXPECT_EQ(graph.vertex_count(), vertices);
    EXPECT_EQ(graph.edge_count(), edges);
    auto added = add_subgraph(matcher, document(vertex("5", "rack", "/cluster0/rack0", 0)));
    ASSERT_TRUE(added) << added.error().text();
    EXPECT_EQ(added->size(), 2u);
    EXPECT_EQ(graph.vertex_count(), vertices + 2);
    for (int64_t id : {1, 2})
        ASSERT_TRUE(matcher.cancel(id));
    ASSERT_TRUE(matcher.match(MatchOp::allocate, 3, whole(2), 0));
    ASSERT_TRUE(matcher.cancel(3));
    auto cores =
        request_of(graph, R"([{"type":"slot","count":10,"label":"s","with":[{"type":"core","count":1}]}])");
    EXPECT_TRUE(matcher.match(MatchOp::allocate, 4, cores, 0)) << "all ten cores are free";
}

TEST(Matcher, ShrinkFindsTheJobsThatAreThere)
{
    Matcher matcher(machine({.nodes = 3, .sockets = 2, .gpus = 0}), {.policy = policy("low")});
    const Graph &graph = matcher.graph();
    auto one = [&](const char *type, const char *exclusive) {
        return request_of(
            graph,
            fmt::format(
                R"([{{"type":"{}","count":1{},"with":[{{"type":"slot","count":1,"label":"s","with":[{{"type":"core","count":1}}]}}]}}])",
                type, exclusive));
    };
    ASSERT_TRUE(matcher.match(MatchOp::allocate, 1, one("node", R"(,"exclusive":true)"), 0)); // node0
    ASSERT_TRUE(matcher.match(MatchOp::allocate, 2, one("node", ""), 0)); // node1, socket0
    ASSERT_TRUE(matcher.match(MatchOp::allocate_orelse_reserve, 3, one("node", R"(,"exclusive":true)"), 0));
    auto at = [&](const char *path) {
        return matcher.jobs_touching(*graph.find_path(path));
    };
    EXPECT_EQ(at("/cluster0/rack0/node0/socket1"), std::vector<int64_t> {1});
    EXPECT_EQ(at("/cluster0/rack0/node0/socket1/core4"), std::vector<int64_t> {1});
    EXPECT_EQ(at("/cluster0/rack0/node1"), std::vector<int64_t> {2});
    EXPECT_EQ(at("/cluster0/rack0/node1/socket1"), std::vector<int64_t> {});
    EXPECT_EQ(at("/cluster0/rack0/node2"), std::vector<int64_t> {3});
    EXPECT_EQ(at("/cluster0/rack0").size(), 3u);
    size_t edges = graph.edge_count();
    matcher.shrink(*graph.find_path("/cluster0/rack0/node1"));
    EXPECT_EQ(graph.edge_count(), edges - 13);
    EXPECT_FALSE(matcher.find(2));
    EXPECT_TRUE(matcher.find(1) && matcher.find(3));
    // The slot of the job that is gone is used again, by another one.
    ASSERT_TRUE(matcher.cancel(1));
    ASSERT_TRUE(matcher.match(MatchOp::allocate, 4, one("node", ""), 0));
    EXPECT_EQ(at("/cluster0/rack0/node0"), std::vector<int64_t> {4});
}

TEST(Matcher, CountsItsMatches)
{
    Matcher matcher(machine({.nodes = 1, .sockets = 1, .cores = 1}), {.policy = policy("low")});
    auto core = request_of(matcher.graph(),
                           R"([{"type":"slot","count":1,"label":"s","with":[{"type":"core","count":1}]}])");
    ASSERT_TRUE(matcher.match(MatchOp::satisfiability, 0, core, 0));
    EXPECT_EQ(matcher.stats().succeeded.count(), 0u);
    ASSERT_TRUE(matcher.match(MatchOp::allocate, 1, core, 0));
    ASSERT_FALSE(matcher.match(MatchOp::allocate, 2, core, 0));
    EXPECT_EQ(matcher.stats().succeeded.count(), 1u);
    EXPECT_EQ(matcher.stats().failed.job_with_most(), 2);
    matcher.reset_stats();
    EXPECT_EQ(matcher.stats().succeeded.count(), 0u);
    EXPECT_EQ(matcher.stats().succeeded.total(), 1u);
    MatchTimes times;
    for (double seconds : {2.0, 4.0, 9.0})
        times.add(0, 1, seconds);
    EXPECT_DOUBLE_EQ(times.mean(), 5);
    EXPECT_DOUBLE_EQ(times.variance(), 13);
    EXPECT_DOUBLE_EQ(times.least(), 2);
}

TEST(Matcher, SaysWhyAJobWaits)
{
    Graph graph = machine({.nodes = 5});
    auto node = [&](int i) {
        return *graph.find_path(fmt::format("/cluster0/rack0/node{}", i));
    };
    for (int i = 0; i < 5; i++)
        graph.set_property(node(i), "gpu", "");
    graph.set_down(node(4), true, "fan");
    Matcher matcher(std::move(graph), {.policy = policy("low")});
    auto nodes = [&](int count) {
        return request_of(
            matcher.graph(),
            fmt::format(
                R"([{{"type":"node","count":{},"exclusive":true,"with":[{{"type":"slot","count":1,"label":"s","with":[{{"type":"core","count":1}}]}}]}}])",
                count),
            R"({"duration":60,"constraints":{"properties":["gpu"]}})");
    };
    ASSERT_TRUE(matcher.match(MatchOp::allocate, 1, nodes(3), 0));
    EXPECT_EQ(matcher.explain(nodes(2), 0),
              "needs 2 nodes with property gpu: 1 free, 3 allocated (next free 60), 1 drained: \"fan\"");
    EXPECT_EQ(matcher.explain(nodes(6), 0), "needs 6 nodes with property gpu: the machine has 5");
}

TEST(Matcher, SaysWhatIsNeverThereAtAnyTime)
{
    // Nothing is free: that is not the cause of what could never be.
    Matcher matcher(machine({.nodes = 3, .sockets = 2, .gpus = 0}), {.policy = policy("low")});
    const Graph &graph = matcher.graph();
    auto slot = [](int count, const std::string &with) {
        return fmt::format(R"([{{"type":"slot","count":{},"label":"s","with":[{}]}}])", count, with);
    };
    auto node = [&](int count, const std::string &below) {
        return fmt::format(R"([{{"type":"node","count":{},"with":{}}}])", count, slot(1, below));
    };
    auto core = [](int count) {
        return fmt::format(R"({{"type":"core","count":{}}})", count);
    };
    const std::string gpu = R"({"type":"gpu","count":1})";
    const char *all_nodes =
        R"([{"type":"node","count":3,"exclusive":true,"with":[{"type":"slot","count":1,"label":"s","with":[{"type":"core","count":1}]}]}])";
    ASSERT_TRUE(matcher.match(MatchOp::allocate, 1, request_of(graph, all_nodes), 0));
    struct Case {
        std::string resources, system, sentence;
    };
    const Case cases[] = {
        {node(4, core(1)), "{}", "needs 4 nodes: the machine has 3"},
        {slot(25, core(1)), "{}", "needs 25 cores: the machine has 24"},
        {node(1, core(9)), "{}",
         "needs 1 node with 9 cores: the machine has 0, no node has more than 8 cores"},
        {node(2, core(9)), "{}",
         "needs 2 nodes with 9 cores each: the machine has 0, no node has more than 8 cores"},
        {slot(1, core(9)), "{}", "needs 1 slot of 9 cores, each on one node: no node has so much"},
        {slot(4, core(5)), "{}", "needs 4 slots of 5 cores, each on one node: the machine has room for 3"},
        {slot(1, R"({"type":"socket","count":1,"with":[{"type":"core","count":5}]})"), "{}",
         "needs 1 socket with 5 cores: the machine has 0, no socket has more than 4 cores"},
        {node(1, core(1) + "," + gpu), "{}", "needs 1 gpu: the machine has 0"},
        {node(1, core(1)), R"({"constraints":{"properties":["gold"]}})",
         "needs 1 node with property gold: the machine has 0"},
        {slot(1, core(1)), R"({"constraints":{"hostlist":["n[7-8]"]}})",
         "needs 1 core on host n[7-8]: the machine has 0"},
        {node(2, core(1)), R"({"constraints":{"and":[{"ranks":["1"]},{"properties":["^gold"]}]}})",
         "needs 2 nodes on rank 1 and without property gold: the machine has 1"},
        {node(1, core(9)), R"({"constraints":{"ranks":["1"]}})",
         "needs 9 cores on rank 1: the machine has 8"},
    };
    for (const auto &one : cases) {
        auto request = request_of(graph, one.resources, one.system);
        auto match = matcher.match(MatchOp::satisfiability, 0, request, 0);
        ASSERT_FALSE(match) << one.sentence;
        EXPECT_EQ(match.error().errnum(), ENODEV);
        EXPECT_EQ(matcher.explain(request, 0), one.sentence);
        EXPECT_EQ(matcher.explain_never(request, 0), one.sentence);
    }
    // Of alternatives the one that is possible counts.
    auto either = request_of(
        graph,
        fmt::format(
            R"([{{"type":"xor_slot","count":1,"label":"s","with":[{}]}},{{"type":"xor_slot","count":1,"label":"b","with":[{}]}}])",
            gpu, core(1)));
    EXPECT_EQ(matcher.explain(either, 0), "needs 1 core: 0 free, 24 allocated");
}

TEST(Matcher, FindsByStateAndProperty)
{
    Graph graph = machine({.nodes = 2, .sockets = 1});
    graph.set_property(*graph.find_path("/cluster0/rack0/node1"), "ssd", "x");
    graph.set_down(*graph.find_path("/cluster0/rack0/node0"), true);
    Matcher matcher(std::move(graph), {.policy = policy("low")});
    ASSERT_TRUE(matcher.match(MatchOp::allocate, 7, request_of(matcher.graph(), one_core), 0));
    auto count = [&](const char *expression) {
        auto found = find_vertices(matcher, expression);
        return found ? int(found->size()) : -1;
    };
    EXPECT_EQ(count("status=down"), 1 + 1 + 4 + 1 + 1); // with all that is in it
    EXPECT_EQ(count("property=ssd"), 1);
    EXPECT_EQ(count("names=node[0-1]"), 2);
    EXPECT_EQ(count("sched-now=allocated"), 1);
    EXPECT_EQ(count("jobid-alloc=7"), 1);
    EXPECT_EQ(count("jobid-tag=7"), 5);
    EXPECT_EQ(count("jobid-span=7"), 4); // what counts it: all but the core
    EXPECT_EQ(count("jobid-reserved=7"), 0);
    EXPECT_EQ(count("(status=up and names=node0) or names=node1"), 1);
    EXPECT_EQ(count("status=up sched-now=free"), 2 + 8 - 1);
    auto listed = found_as_allocation(matcher, value_or_throw(find_vertices(matcher, "names=node0")),
                                      MatchFormat::simple);
    EXPECT_EQ(emit(matcher.graph(), listed, 0, 0, MatchFormat::simple),
              "      ---------node0[1:x]\n      ------rack0[1:x]\n      ---cluster0[1:x]\n");
    ASSERT_TRUE(matcher.cancel(7));
    ASSERT_TRUE(matcher.match(MatchOp::allocate, 8,
                              request_of(matcher.graph(), R"([{"type":"slot","count":1,"label":"s","with":[
                                  {"type":"socket","count":1}]}])"),
                              0));
    EXPECT_EQ(count("sched-now=allocated"), 1 + 4 + 1 + 1); // with all that is in it
    EXPECT_EQ(count("jobid-alloc=8"), 1);
    EXPECT_EQ(count("status=sideways"), -1);
    EXPECT_EQ(count("(status=up"), -1);
    EXPECT_EQ(find_vertices(matcher, "colour=red").error().text().substr(0, 33),
              "find: unknown predicate \"colour\";");
}

// Jobs of nodes, slots and cores come and go on a random machine; the model knows each core's users.
namespace {

struct ModelJob {
    int nodes, slots, cores, gpus;
    bool exclusive;
    Time start, end;
    std::vector<std::pair<int, int>> core_ids; // node, core
    std::vector<std::pair<int, int>> gpu_ids;
    std::set<int> node_ids;
};

class CountedMachine {
public:
    CountedMachine(int nodes, int cores, int gpus) : nodes_(nodes), cores_(cores), gpus_(gpus) {}
    std::map<int64_t, ModelJob> jobs;
    std::set<int> down;

    // The nodes that could take one node's share of the job from `start` on.
    std::vector<int> able(const ModelJob &job, Time start, Time duration, bool now) const
    {
        std::vector<int> out;
        for (int node = 0; node < nodes_; node++) {
            if (down.contains(node))
                continue;
            std::set<int> cores, gpus;
            bool blocked = false;
            for (const auto &[id, other] : jobs) {
                bool held = now && other.start <= start && other.start == 0;
                if (!other.node_ids.contains(node) || other.start >= start + duration ||
                    (other.end <= start && !held))
                    continue;
                blocked = blocked || other.exclusive || job.exclusive;
                for (auto [n, core] : other.core_ids)
                    if (n == node)
                        cores.insert(core);
                for (auto [n, gpu] : other.gpu_ids)
                    if (n == node)
                        gpus.insert(gpu);
            }
            if (!blocked && cores_ - int(cores.size()) >= job.slots * job.cores &&
                gpus_ - int(gpus.size()) >= job.slots * job.gpus)
                out.push_back(node);
        }
        return out;
    }

    std::optional<Time> earliest(const ModelJob &job, Time duration) const
    {
        std::set<Time> times;
        for (const auto &[id, other] : jobs)
            times.insert(other.end);
        for (Time at : times)
            if (int(able(job, at, duration, false).size()) >= job.nodes)
                return at;
        return std::nullopt;
    }

private:
    int nodes_, cores_, gpus_;
};

void take_over(ModelJob &job, const Matcher &matcher, const JobUse &use)
{
    const Graph &graph = matcher.graph();
    for (const auto &one : expanded(graph, use.allocation)) {
        VertexId node = graph.above(one.vertex, graph.node_type());
        if (node == no_vertex)
            continue;
        int node_id = int(graph[node].id);
        job.node_ids.insert(node_id);
        if (graph.type_name_of(one.vertex) == "core")
            job.core_ids.emplace_back(node_id, int(graph[one.vertex].id));
        if (graph.type_name_of(one.vertex) == "gpu")
            job.gpu_ids.emplace_back(node_id, int(graph[one.vertex].id));
    }
    job.start = use.start;
    job.end = use.end;
}

} // namespace

TEST(Matcher, AgreesWithAModelThatCounts)
{
    std::mt19937 random(31);
    auto upto = [&](int most) {
        return int(random() % unsigned(most));
    };
    for (int round = 0; round < 40; round++) {
        Size size {.racks = 1 + upto(3),
                   .nodes = 1 + upto(4),
                   .sockets = 1 + upto(2),
                   .cores = 1 + upto(4),
                   .gpus = upto(3)};
        int node_count = size.racks * size.nodes, core_count = size.sockets * size.cores,
            gpu_count = size.sockets * size.gpus;
        const char *name =
            std::array {"first", "low", "high", "lonode", "hinode", "compact"}[size_t(round) % 6];
        Matcher matcher(machine(size), {.policy = policy(name)});
        CountedMachine model(node_count, core_count, gpu_count);
        int64_t next_id = 1;
        for (int step = 0; step < 120; step++) {
            int what = upto(10);
            if (what < 2 && !model.jobs.empty()) {
                auto victim = std::next(model.jobs.begin(), upto(int(model.jobs.size())));
                ASSERT_TRUE(matcher.cancel(victim->first));
                model.jobs.erase(victim);
                continue;
            }
            if (what == 2) {
                int node = upto(node_count);
                bool down = !model.down.contains(node);
                if (down)
                    model.down.insert(node);
                else
                    model.down.erase(node);
                for (VertexId v : matcher.graph().of_rank(node))
                    matcher.set_down(v, down);
                continue;
            }
            ModelJob job {1 + upto(node_count + 1),
                          1 + upto(3),
                          1 + upto(3),
                          gpu_count ? upto(2) : 0,
                          upto(4) == 0,
                          0,
                          0,
                          {},
                          {},
                          {}};
            Time duration = 1 + upto(50);
            std::string gpu = job.gpus ? fmt::format(R"(,{{"type":"gpu","count":{}}})", job.gpus) : "";
            auto request = request_of(
                matcher.graph(),
                fmt::format(
                    R"([{{"type":"node","count":{},{}"with":[{{"type":"slot","count":{},"label":"s","with":[{{"type":"core","count":{}}}{}]}}]}}])",
                    job.nodes, job.exclusive ? "\"exclusive\":true," : "", job.slots, job.cores, gpu),
                fmt::format(R"({{"duration":{}}})", duration));
            auto able = model.able(job, 0, duration, true);
            bool now = int(able.size()) >= job.nodes;
            bool reserve = upto(2) == 0;
            auto later = reserve && !now ? model.earliest(job, duration) : std::nullopt;
            auto match = matcher.match(reserve ? MatchOp::allocate_orelse_reserve : MatchOp::allocate,
                                       next_id, request, 0);
            ASSERT_EQ(match.has_value(), now || later)
                << "round " << round << " step " << step << " " << name << ": " << job.nodes << " nodes of "
                << job.slots << " slots of " << job.cores << " cores, " << job.gpus << " gpus"
                << (job.exclusive ? ", exclusive" : "") << " for " << duration << "; "
                << matcher.explain(request, 0);
            if (!match) {
                bool ever = matcher.match(MatchOp::satisfiability, 0, request, 0).has_value();
                std::string why = matcher.explain(request, 0);
                ASSERT_EQ(why.find("the machine has") == why.npos, ever) << why;
                continue;
            }
            ASSERT_EQ(match->use.start, now ? 0 : *later)
                << "round " << round << " step " << step << " " << name;
            auto allowed = now ? able : model.able(job, *later, duration, false);
            take_over(job, matcher, match->use);
            ASSERT_EQ(int(job.node_ids.size()), job.nodes);
            ASSERT_EQ(int(job.core_ids.size()),
                      job.nodes * (job.exclusive ? core_count : job.slots * job.cores));
            for (int node : job.node_ids)
                ASSERT_TRUE(std::ranges::find(allowed, node) != allowed.end()) << "node " << node;
            std::set<int> expected;
            if (std::string_view(name).starts_with("lo"))
                expected = {allowed.begin(), allowed.begin() + job.nodes};
            else if (std::string_view(name).starts_with("hi"))
                expected = {allowed.end() - job.nodes, allowed.end()};
            if (!expected.empty()) {
                ASSERT_EQ(job.node_ids, expected) << name;
            }
            for (const auto &[id, other] : model.jobs) // nobody has what another has at the same time
                if (other.start < job.end && job.start < other.end) {
                    for (auto core : job.core_ids)
                        ASSERT_TRUE(std::ranges::find(other.core_ids, core) == other.core_ids.end());
                }
            model.jobs[next_id++] = job;
        }
        while (!model.jobs.empty()) {
            ASSERT_TRUE(matcher.cancel(model.jobs.begin()->first));
            model.jobs.erase(model.jobs.begin());
        }
        // All is as it was before.
        ASSERT_TRUE(matcher.first_order().nothing_given());
        for (VertexId v = 0; v < matcher.graph().size(); v++)
            ASSERT_TRUE(matcher.schedule().untouched(v, {0, Planner::forever, true}));
    }
}

TEST(Requests, OfTheRfcsCompile)
{
    Graph graph = machine({.racks = 2, .nodes = 20, .memories = 8});
    size_t seen = 0;
    for (int i = 1; i <= 2; i++)
        for (int j = 1; j <= 9; j++) {
            std::string path = fmt::format("data/rfc/spec_14_use_case_{}.{}.json", i, j);
            std::ifstream there(path);
            if (!there)
                continue;
            auto jobspec = Jobspec::parse(Json::parse_or_throw(read_file(path)));
            ASSERT_TRUE(jobspec) << path;
            std::function<void(const ResourceVertex &)> know = [&](const ResourceVertex &vertex) {
                graph.type(vertex.type);
                std::ranges::for_each(vertex.with, know);
            };
            std::ranges::for_each(jobspec->resources(), know);
            auto request = compile_request(*jobspec, graph);
            ASSERT_TRUE(request) << path << ": " << request.error().text();
            Matcher matcher(graph, {});
            auto match = matcher.match(MatchOp::allocate_orelse_reserve, 1, *request, 0);
            EXPECT_TRUE(match || match.error().errnum() == ENODEV) << path << ": " << match.error().text();
            seen++;
        }
    EXPECT_EQ(seen, 17u);
}
