// Readers of the graph scheduler: machines, requests, expressions, traces; and of configurations.
#include "fuzz/decoders.hpp"

#include <algorithm>

#include "common/config/config.hpp"
#include "common/graph/emit.hpp"
#include "common/graph/find.hpp"
#include "common/graph/formats/formats.hpp"
#include "common/graph/matcher.hpp"
#include "common/graph/swf.hpp"

namespace flux::fuzz {

namespace {

using namespace flux::graph;

constexpr size_t max_vertices = 5000; // of a recipe: fuzzers look for faults, not for large machines

std::string as_jgf(const Graph &graph)
{
    return emit(graph, whole_graph(graph), 0, 0, MatchFormat::jgf);
}

// A graph that was read can be written, and read again as the same one.
void same_again(const Graph &graph)
{
    std::string written = as_jgf(graph);
    if (written.empty())
        return;
    auto back = load_graph(written, "jgf");
    if (!back)
        throw RoundTripError("a graph was written but is refused: " + back.error().text() + "\n" + written);
    if (as_jgf(*back) != written)
        throw RoundTripError("a graph reads back differently: " + written);
}

void grug(std::string_view text)
{
    if (auto graph = read_grug(text, max_vertices))
        same_again(*graph);
}

void jgf(std::string_view text)
{
    if (auto graph = load_graph(std::string(text), "jgf"))
        same_again(*graph);
}

void jgf_shorthand(std::string_view text)
{
    (void)load_graph(std::string(text), "jgf_shorthand");
}

void rv1_graph(std::string_view text)
{
    if (auto graph = load_graph(std::string(text), "rv1exec"); graph && graph->size() <= max_vertices)
        same_again(*graph);
}

void yaml(std::string_view text)
{
    if (auto json = parse_yaml(text))
        (void)json->dump();
}

// Without what is not ASCII: toml++ 3.3 calls a branch unreachable that some letters reach.
void config(std::string_view text)
{
    if (std::ranges::any_of(text, [](uint8_t c) { return c > 0x7f; }))
        return;
    try {
        (void)parse_config(std::string(text), "fuzz");
    } catch (const Error &) { // with the line of what is wrong
    }
}

// Two nodes of two sockets, each with cores, a gpu and 8 GB, beside a power unit that supplies the nodes.
Graph small_machine()
{
    Graph graph;
    VertexId cluster = graph.add(no_vertex, {.type = "cluster"});
    for (int n = 0; n < 2; n++) {
        VertexId node = graph.add(cluster, {.type = "node", .id = n, .rank = n});
        for (int s = 0; s < 2; s++) {
            VertexId socket = graph.add(node, {.type = "socket", .id = s});
            graph.add_many(socket, {.type = "core", .id = s * 4}, 4, 1);
            graph.add(socket, {.type = "gpu", .id = s});
            graph.add(socket, {.type = "memory", .id = s, .size = 8, .unit = "GB"});
        }
    }
    graph.finish();
    return graph;
}

void find(std::string_view text)
{
    static const Matcher matcher(small_machine(), {});
    (void)find_vertices(matcher, text);
}

void policy(std::string_view text)
{
    (void)Policy::parse(text);
}

void trace(std::string_view text)
{
    (void)parse_swf(text, 8);
}

std::string resources_of(const Matcher &matcher, const Expected<Match> &match)
{
    return match ? emit(matcher.graph(), match->use.allocation, 0, 0, MatchFormat::jgf)
                 : match.error().text();
}

// The resources of a jobspec on a small machine: what is taken can be given back, and then the same request
// gets the same again.
void request(std::string_view text)
{
    Matcher matcher(small_machine(), {.policy = value_or_throw(Policy::parse("lonode")),
                                      .subsystems = {"containment"},
                                      .divisible = {"memory"},
                                      .or_slots = true});
    auto json = Json::parse(fmt::format(R"({{"version":9999,"resources":{},"tasks":[{{"command":["app"],"slot":"s",)"
                                        R"("count":{{"per_slot":1}}}}],"attributes":{{"system":{{"duration":60}}}}}})",
                                        text));
    auto jobspec = json ? Jobspec::parse(*json) : fail(EINVAL, "no JSON");
    auto request = jobspec ? compile_request(*jobspec, matcher.graph()) : fail(EINVAL, "no jobspec");
    if (!request)
        return;
    auto first = matcher.match(MatchOp::allocate_orelse_reserve, 1, *request, 0);
    std::string taken = resources_of(matcher, first);
    for (int64_t id = 2; id < 5; id++)
        (void)matcher.match(MatchOp::allocate_orelse_reserve, id, *request, 0);
    for (int64_t id = 4; id > 0; id--)
        if (matcher.find(id) && !matcher.cancel(id))
            throw RoundTripError("a job cannot be cancelled");
    auto again = matcher.match(MatchOp::allocate_orelse_reserve, 1, *request, 0);
    if (resources_of(matcher, again) != taken)
        throw RoundTripError("after all was given back, not " + taken + " but " +
                             resources_of(matcher, again));
}

} // namespace

std::vector<Decoder> graph_decoders()
{
    return {
        {"grug",
         grug,
         {R"(<graphml><key id="root" for="node" attr.name="root"><default>0</default></key>
<key id="type" for="node" attr.name="type"/><key id="size" for="node" attr.name="size"/>
<key id="unit" for="node" attr.name="unit"/><key id="basename" for="node" attr.name="basename"/>
<key id="subsystem" for="node" attr.name="subsystem"/>
<key id="e_subsystem" for="edge" attr.name="e_subsystem"/><key id="multi_scale" for="edge" attr.name="multi_scale"/>
<key id="gen_method" for="edge" attr.name="gen_method"/><key id="id_scope" for="edge" attr.name="id_scope"/>
<key id="id_start" for="edge" attr.name="id_start"/><key id="id_stride" for="edge" attr.name="id_stride"/>
<graph id="g" edgedefault="directed">
<node id="a"><data key="root">1</data><data key="type">cluster</data><data key="basename">c</data></node>
<node id="b"><data key="type">node</data></node>
<node id="m"><data key="type">memory</data><data key="size">4</data><data key="unit">GB</data></node>
<edge id="e" source="a" target="b"><data key="multi_scale">3</data></edge>
<edge id="f" source="b" target="m"><data key="multi_scale">2</data><data key="id_start">1</data><data key="id_stride">2</data></edge>
</graph></graphml>)"}},
        {"jgf",
         jgf,
         {R"({"graph":{"nodes":[{"id":"0","metadata":{"type":"cluster","basename":"c","name":"c0","id":0,"uniq_id":0,"rank":-1,"exclusive":false,"unit":"","size":1,"paths":{"containment":"/c0"}}},{"id":"1","metadata":{"type":"node","basename":"n","name":"n3","id":3,"uniq_id":1,"rank":0,"exclusive":true,"unit":"","size":1,"properties":{"p":"q"},"paths":{"containment":"/c0/n3"}}}],"edges":[{"source":"0","target":"1","metadata":{"subsystem":"containment"}}]}})"}},
        {"jgf_shorthand",
         jgf_shorthand,
         {R"({"graph":{"nodes":[{"id":"0","metadata":{"type":"cluster","paths":{"containment":"/cluster0"}}},{"id":"1","metadata":{"type":"node","rank":0,"paths":{"containment":"/cluster0/node0"}}}],"edges":[{"source":"0","target":"1"}]}})"}},
        {"rv1_graph",
         rv1_graph,
         {R"({"version":1,"execution":{"R_lite":[{"rank":"0-1","children":{"core":"0-3","gpu":"0"}}],"nodelist":["a[0-1]"],"properties":{"p":"1"},"starttime":0,"expiration":0}})"}},
        {"yaml", yaml, {"a: [1, {b: c}]\nd: &x |\n  text\ne: *x\n", "- 0x1f\n- 1.5e3\n- ~\n- \"q\\n\"\n- 'r'\n"}},
        {"config",
         config,
         {"[bootstrap]\nhosts = [{host=\"a[0-1]\", bind='tcp://eth0:%p'}]\n[queues.debug]\nrequires = [\"x\"]\n",
          "a.b = 1979-05-27T07:32:00Z\nc = [0x1, 1_000, 1e3, inf, true]\nd = '''x'''\n", "{\"a\":{\"b\":1}}"}},
        {"find",
         find,
         {"status=up and (sched-now=free or property=x) names=node[0-1] agfilter=t jobid-tag=1",
          "not sched-future=reserved and jobid-span=3"}},
        {"policy", policy, {"policy=low node_centric=true stop_on_1_matches=false compact=true", "hinodex", "variation"}},
        {"trace", trace, {"; MaxProcs: 8\n1 0 -1 10 4 -1 -1 4 20\n2 5 -1 10 4\n"}},
        {"request",
         request,
         {R"([{"type":"node","count":"1-2:2:*","with":[{"type":"slot","count":1,"label":"s","with":[{"type":"core","count":{"min":1,"max":4,"operator":"+","operand":1}},{"type":"memory","count":3,"unit":"GB"}]}]}])",
          R"([{"type":"slot","count":2,"label":"s","with":[{"type":"socket","count":1,"exclusive":true,"with":[{"type":"gpu","count":1}]}]}])",
          R"([{"type":"xor_slot","count":1,"label":"s","with":[{"type":"core","count":6}]},{"type":"xor_slot","count":2,"label":"s","with":[{"type":"core","count":2},{"type":"gpu","count":1}]}])"}},
    };
}

} // namespace flux::fuzz
