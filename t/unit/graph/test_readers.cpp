// Graphs from files, round trips of every format, and mistakes in them.
#include "unit/graph/graph_help.hpp"

#include <random>

#include "common/graph/emit.hpp"
#include "common/graph/formats/formats.hpp"
#include "common/graph/readers.hpp"

using namespace flux;
using namespace flux::graph;

namespace {

Graph load(const std::string &file, const std::string &format)
{
    return value_or_throw(load_graph(read_file("data/graph/" + file), format));
}

std::string why(Expected<Graph> graph)
{
    return graph ? "no error" : graph.error().text();
}

std::string recipe(const std::string &body)
{
    return R"(<graphml><key id="root" for="node" attr.name="root"><default>0</default></key>
<key id="type" for="node" attr.name="type"/><key id="multi_scale" for="edge" attr.name="multi_scale"/>
<key id="gen_method" for="edge" attr.name="gen_method"/>
<graph>)" + body +
           "</graph></graphml>";
}

} // namespace

TEST(Grug, GivesTheVerticesOfTheRecipe)
{
    Graph graph = load("tiny.graphml", "grug");
    EXPECT_EQ(graph.vertex_count(), 100u);
    EXPECT_EQ(graph.edge_count(), 99u);
    auto core = graph.find_path("/tiny0/rack0/node1/socket1/core35");
    ASSERT_TRUE(core);
    EXPECT_EQ(graph[*core].uniq_id, 79);
    EXPECT_EQ(graph.path(*core), "/tiny0/rack0/node1/socket1/core35");
    EXPECT_EQ(graph[*graph.find_path("/tiny0/rack0/node1")].rank, 1);
    EXPECT_EQ(graph[*graph.find_path("/tiny0/rack0/node1/socket0/memory3")].size, 2);
    auto total = graph.total(graph.root());
    EXPECT_EQ(total[size_t(graph.column(*graph.find_type("core")))], 72);
    EXPECT_EQ(total[size_t(graph.column(*graph.find_type("memory")))], 32);
}

TEST(Grug, ExpandsABigMachineInLittleMemory)
{
    Graph graph = load("sierra.graphml", "grug");
    EXPECT_EQ(graph.vertex_count(), 350473u);
    EXPECT_TRUE(graph.find_path("/Sierra0/rack239/node4319/socket1/core43"));
    EXPECT_LE(graph.bytes() / graph.size(), 100u);
}

TEST(Grug, LinksFurtherSubsystems)
{
    Graph graph = load("power.graphml", "grug");
    auto node = graph.find_path("/power0/rack2/node36");
    auto pdu = graph.find_path("/power0/rack2/pdu2");
    ASSERT_TRUE(node && pdu);
    ASSERT_EQ(graph.links_to(*node).size(), 1u);
    const Link &link = graph.links()[graph.links_to(*node)[0]];
    EXPECT_EQ(link.from, *pdu);
    EXPECT_EQ(graph.subsystems()[link.subsystem], "power");
    ASSERT_EQ(graph.links_to(*pdu).size(), 1u);
    EXPECT_EQ(graph.type_name_of(graph.links()[graph.links_to(*pdu)[0]].from), "powerpanel");
}

TEST(Grug, SaysWhatIsWrong)
{
    EXPECT_EQ(why(read_grug("<graphml>")), "GRUG: line 1: no element found");
    EXPECT_NE(
        why(read_grug(recipe("<node id='a'><data key='type'>cluster</data></node>"))).find("marked as root"),
        std::string::npos);
    EXPECT_NE(why(read_grug(recipe("<node id='a'/>"))).find("node \"a\" has no type"), std::string::npos);
    EXPECT_NE(why(read_grug(recipe("<node id='a'><data key='nope'>x</data></node>"))).find("\"nope\""),
              std::string::npos);
    std::string two = "<node id='a'><data key='root'>1</data><data key='type'>cluster</data></node>"
                      "<node id='b'><data key='type'>node</data></node>";
    EXPECT_NE(why(read_grug(recipe(two + "<edge id='e' source='a' target='c'/>")))
                  .find("\"c\", which does not exist"),
              std::string::npos);
    EXPECT_NE(why(read_grug(recipe(
                      two + "<edge id='e' source='a' target='b'><data key='multi_scale'>-1</data></edge>")))
                  .find("multi_scale is \"-1\""),
              std::string::npos);
    EXPECT_NE(why(read_grug(recipe(
                      two + "<edge id='e' source='a' target='b'><data key='gen_method'>ADD</data></edge>")))
                  .find("gen_method is \"ADD\""),
              std::string::npos);
    EXPECT_EQ(why(read_grug(recipe(two + "<edge id='e' source='a' target='b'/>"))), "no error");
    EXPECT_NE(why(read_grug(recipe(
                      two + "<edge id='e' source='a' target='b'/><edge id='f' source='b' target='b'/>")))
                  .find("a second time"),
              std::string::npos);
}

TEST(Jgf, ReadsTheLongAndTheShortForm)
{
    Graph tiny = load("tiny.json", "jgf");
    EXPECT_EQ(tiny.vertex_count(), 100u);
    EXPECT_EQ(tiny.path(79), "/tiny0/rack0/node1/socket1/core35");
    Graph rabbit = load("rabbit.json", "jgf");
    auto chassis = rabbit.find_path("/hetchy/chassis0");
    ASSERT_TRUE(chassis);
    EXPECT_EQ(*rabbit.property(*chassis, "rabbit"), "hetchy201");
    EXPECT_EQ(rabbit[*rabbit.find_path("/hetchy/chassis0/hetchy1002")].rank, 2);
    EXPECT_EQ(rabbit[*rabbit.find_path("/hetchy/chassis0/hetchy1002")].id, 1002);
}

TEST(Jgf, ComesBackTheSame)
{
    for (auto [file, format] : {std::pair("tiny.graphml", "grug"),
                                {"tiny.json", "jgf"},
                                {"rabbit.json", "jgf"},
                                {"power.graphml", "grug"},
                                {"small.graphml", "grug"}}) {
        Graph before = load(file, format);
        before.set_property(before.root(), "site", "here");
        Json jgf = emit_jgf(before, whole_graph(before), false);
        auto after = read_jgf(Json::parse_or_throw(jgf.dump()));
        ASSERT_TRUE(after) << file << ": " << after.error().text();
        ASSERT_EQ(after->vertex_count(), before.vertex_count()) << file;
        for (VertexId v = 0; v < before.size(); v++) {
            auto same = after->find_path(before.path(v));
            ASSERT_TRUE(same) << before.path(v);
            ASSERT_EQ((*after)[*same].size, before[v].size);
            ASSERT_EQ((*after)[*same].id, before[v].id);
            ASSERT_EQ((*after)[*same].uniq_id, before[v].uniq_id);
            ASSERT_EQ((*after)[*same].rank, before[v].rank);
            ASSERT_EQ(after->properties(*same), before.properties(v));
        }
        EXPECT_EQ(emit_jgf(*after, whole_graph(*after), false).size(), jgf.size());
    }
}

TEST(Jgf, SaysWhatIsWrong)
{
    auto read = [](const char *text) {
        return why(read_jgf(Json::parse_or_throw(text)));
    };
    EXPECT_EQ(read("{}"), "JGF: graph: expected an object, found absent");
    EXPECT_EQ(read(R"({"graph":{"nodes":[]}})"), "JGF: there are no nodes");
    EXPECT_EQ(read(R"({"graph":{"nodes":[{"id":1}]}})"),
              "JGF: graph.nodes[0].id: expected a string, found integer");
    EXPECT_NE(read(R"({"graph":{"nodes":[{"id":"1","metadata":{"type":"x"}}]}})")
                  .find(".paths: expected an object"),
              std::string::npos);
    EXPECT_EQ(read(R"({"graph":{"nodes":[{"id":"1","metadata":{"type":"x","paths":{"containment":"/a"}}},
                      {"id":"b","metadata":{"type":"y","uniq_id":1,"paths":{"containment":"/a/b"}}}]}})"),
              "JGF: the uniq_id 1 of /a/b is used twice");
    EXPECT_EQ(
        read(
            R"({"graph":{"nodes":[{"id":"1","metadata":{"type":"x","name":"a/b","paths":{"containment":"/a"}}}]}})"),
        "a vertex cannot be named \"a/b\": / separates the names in a path");
    EXPECT_NE(
        read(R"({"graph":{"nodes":[{"id":"1","metadata":{"type":"x","paths":{"containment":"/a/b"}}}]}})")
            .find("/a/b has no parent"),
        std::string::npos);
    EXPECT_NE(read(R"({"graph":{"nodes":[{"id":"1","metadata":{"type":"x","paths":{"containment":"/a"}}}],
                      "edges":[{"source":"1","target":"2"}]}})")
                  .find("no node with the id \"2\""),
              std::string::npos);
}

TEST(Hwloc, ReadsWhatNodesExport)
{
    for (auto file : {"corona.xml", "sierra.xml"}) {
        Graph graph = load(file, "hwloc");
        EXPECT_EQ(graph.type_name_of(graph.root()), "cluster") << file;
        auto total = graph.total(graph.root());
        for (auto type : {"core", "socket"})
            EXPECT_GT(total[size_t(graph.column(*graph.find_type(type)))], 0) << file << " " << type;
        auto few =
            load_graph(read_file(std::string("data/graph/") + file), "hwloc", {"cluster", "node", "core"});
        ASSERT_TRUE(few);
        EXPECT_EQ(few->type_name_of(few->root()), "cluster");
        EXPECT_EQ(few->column(*few->find_type("socket")), -1); // there is none
    }
    EXPECT_NE(why(read_hwloc("<nonsense/>")), "no error");
}

TEST(Rv1, MakesAGraphAndComesBack)
{
    const char *text =
        R"({"version":1,"execution":{"R_lite":[{"rank":"0-1","children":{"core":"0-3","gpu":"0"}},
        {"rank":"2","children":{"core":"0-7"}}],"nodelist":["fluke[0-2]"],"properties":{"ssd":"1-2"},
        "starttime":0,"expiration":0}})";
    Graph graph = value_or_throw(read_rv1(Json::parse_or_throw(text)));
    EXPECT_EQ(graph.vertex_count(), 1 + 3 + 16 + 2u);
    EXPECT_TRUE(graph.property(*graph.find_path("/cluster0/fluke2"), "ssd"));
    auto picks = value_or_throw(rv1_picks(graph, Json::parse_or_throw(text)));
    Json r = emit_r(graph, make_allocation(graph, picks, false), 5, 10);
    EXPECT_EQ(
        r.dump(0),
        R"({"version": 1, "execution": {"R_lite": [{"rank": "0-1", "children": {"core": "0-3", "gpu": "0"}}, {"rank": "2", "children": {"core": "0-7"}}], "nodelist": ["fluke[0-2]"], "properties": {"ssd": "1-2"}, "starttime": 5, "expiration": 10}})");
    // With a scheduling key the graph there counts, unless forced.
    Json with = Json::parse_or_throw(text);
    Graph tiny = load("tiny.graphml", "grug");
    with.set("scheduling", emit_jgf(tiny, whole_graph(tiny), false));
    EXPECT_EQ(read_rv1(with)->vertex_count(), 100u);
    EXPECT_EQ(read_rv1(with, true)->vertex_count(), 22u);
}

TEST(Yaml, ReadsWhatJobspecsHave)
{
    auto json = parse_yaml("a: 1\nb: [x, 'y', 2.5, ~, true]\nc: &anchor {d: \"1\"}\ne: *anchor\n");
    ASSERT_TRUE(json) << json.error().text();
    EXPECT_EQ(json->dump(), R"({"a":1,"b":["x","y",2.5,null,true],"c":{"d":"1"},"e":{"d":"1"}})");
    EXPECT_EQ(parse_yaml("a: [1\nb: 2").error().text().substr(0, 11), "YAML: line ");
    EXPECT_FALSE(parse_yaml("a: *nothing"));
    EXPECT_FALSE(parse_yaml("a: 1\na: 2"));
}

// libhwloc itself does not survive all damage that is well-formed; files that break off it must. (Every other
// reader is a decoder of t/fuzz.)
TEST(Readers, HwlocWithstandsFilesThatBreakOff)
{
#ifdef __SANITIZE_ADDRESS__
    GTEST_SKIP() << "libhwloc loses memory when it gives up";
#endif
    std::string whole = read_file("data/graph/sierra.xml");
    std::mt19937 random(20);
    for (int round = 0; round < 100; round++)
        EXPECT_FALSE(load_graph(whole.substr(0, random() % whole.size()), "hwloc"));
}
