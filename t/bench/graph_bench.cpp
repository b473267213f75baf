// flux-graph-bench: the resource graph by itself. Loading, bytes per vertex, match latency of several
// requests under every policy on an empty, a half full and a full machine, reservations behind many others.
// Needs no instance.
//
//     build/t/flux-graph-bench [--smoke] [--recipe FILE] [--nodes N --cores N]
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <random>
#include <sstream>

#include "common/graph/formats/formats.hpp"
#include "common/graph/matcher.hpp"

using namespace flux;
using namespace flux::graph;

namespace {

double now()
{
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Kind {
    const char *name;
    const char *resources;
};

constexpr Kind kinds[] = {
    {"node-local",
     R"([{"type":"node","count":1,"with":[{"type":"slot","count":1,"label":"s","with":[{"type":"core","count":4}]}]}])"},
    {"whole node",
     R"([{"type":"node","count":1,"exclusive":true,"with":[{"type":"slot","count":1,"label":"s","with":[{"type":"core","count":1}]}]}])"},
    {"wide",
     R"([{"type":"node","count":1000,"with":[{"type":"slot","count":1,"label":"s","with":[{"type":"core","count":4}]}]}])"},
    {"never",
     R"([{"type":"node","count":1,"with":[{"type":"slot","count":1,"label":"s","with":[{"type":"core","count":100000}]}]}])"},
};

JobRequest request_of(const Graph &graph, const char *resources, int64_t duration)
{
    Json json = Json::parse_or_throw(fmt::format(
        R"({{"version":9999,"resources":{},"tasks":[{{"command":["x"],"slot":"s","count":{{"per_slot":1}}}}],)"
        R"("attributes":{{"system":{{"duration":{}}}}}}})",
        resources, duration));
    return value_or_throw(compile_request(value_or_throw(Jobspec::parse(json)), graph));
}

Graph generated(size_t nodes, size_t cores)
{
    constexpr size_t nodes_per_rack = 100;
    Graph graph;
    graph.reserve(1 + nodes / nodes_per_rack + 1 + nodes * (cores + 1));
    VertexId cluster = graph.add(no_vertex, {.type = "cluster"});
    VertexId rack = cluster;
    for (size_t i = 0; i < nodes; i++) {
        if (i % nodes_per_rack == 0)
            rack = graph.add(cluster, {.type = "rack", .id = int64_t(i / nodes_per_rack)});
        VertexId node = graph.add(rack, {.type = "node", .id = int64_t(i), .rank = int(i)});
        graph.add_many(node, {.type = "core"}, cores, 1);
    }
    graph.finish();
    return graph;
}

void row(const std::string &name, const std::string &value, const std::string &rest = "")
{
    fmt::print("{:<44} {:>14}  {}\n", name, value, rest);
    std::fflush(stdout);
}

std::string microseconds(double seconds)
{
    return fmt::format("{:.1f} us", seconds * 1e6);
}

void latency(const std::string &name, std::vector<double> times)
{
    if (times.empty())
        return row(name, "-");
    std::ranges::sort(times);
    row(name, microseconds(times[times.size() / 2]),
        fmt::format("p99 {} worst {}", microseconds(times[times.size() * 99 / 100]),
                    microseconds(times.back())));
}

// Takes node-local shares until so much of the cores is in use.
int64_t fill(Matcher &matcher, double share, int64_t next_id)
{
    auto request = request_of(matcher.graph(), kinds[1].resources, 3600);
    const Graph &graph = matcher.graph();
    auto node = uint32_t(graph.column(graph.node_type()));
    auto wanted = int64_t(double(graph.total(graph.root())[node]) * share);
    for (int64_t i = 0; i < wanted; i++)
        if (!matcher.match(MatchOp::allocate, next_id++, request, 0))
            break;
    return next_id;
}

void match_rows(const Graph &graph, const char *policy, int repeats)
{
    for (auto [state, share] : {std::pair("empty", 0.0), {"half full", 0.5}, {"full", 1.0}}) {
        // Looks at all nodes for each job: to fill the machine with it takes a minute.
        if (std::string_view(policy) == "locality" && share > 0)
            continue;
        Matcher matcher(graph, {.policy = value_or_throw(Policy::parse(policy))});
        int64_t next_id = fill(matcher, share, 1);
        for (const auto &kind : kinds) {
            auto request = request_of(graph, kind.resources, 3600);
            std::vector<double> times;
            int count = std::string_view(kind.name) == "wide" ? std::max(1, repeats / 10) : repeats;
            for (int i = 0; i < count; i++) {
                double begin = now();
                auto match = matcher.match(MatchOp::allocate, next_id, request, 0);
                times.push_back(now() - begin);
                if (match && !matcher.cancel(next_id))
                    throw Error(EIO, "a job is lost");
                next_id++;
            }
            latency(fmt::format("{}, {}: {}", policy, state, kind.name), times);
        }
    }
}

void reservation_rows(const Graph &graph, int count)
{
    Matcher matcher(graph, {.policy = value_or_throw(Policy::parse("low"))});
    int64_t next_id = fill(matcher, 1.0, 1);
    std::mt19937 random(1);
    std::vector<double> times;
    for (int i = 0; i < count; i++) {
        std::string resources = fmt::format(
            R"([{{"type":"node","count":{},"exclusive":true,"with":[{{"type":"slot","count":1,"label":"s","with":[{{"type":"core","count":1}}]}}]}}])",
            1 + random() % 64);
        auto request = request_of(graph, resources.c_str(), 60 + int64_t(random() % 7200));
        double begin = now();
        auto match = matcher.match(MatchOp::allocate_orelse_reserve, next_id++, request, 0);
        times.push_back(now() - begin);
        if (!match)
            throw Error(EIO, "a reservation is not possible: {}", match.error().text());
    }
    std::vector<double> last(times.end() - std::min<long>(long(times.size()), 200), times.end());
    latency(fmt::format("reservation, behind {} others", count), last);
    row("  bytes of use", fmt::format("{}", matcher.schedule().bytes()));
}

int run(int argc, char **argv)
{
    bool smoke = false;
    std::string recipe = "t/data/graph/sierra.graphml";
    size_t nodes = 100000, cores = 128;
    for (int i = 1; i < argc; i++) {
        std::string arg = argv[i];
        if (arg == "--smoke")
            smoke = true, nodes = 2000, cores = 4, recipe = "t/data/graph/medium.graphml";
        else if (arg == "--recipe" && i + 1 < argc)
            recipe = argv[++i];
        else if (arg == "--nodes" && i + 1 < argc)
            nodes = std::stoul(argv[++i]);
        else if (arg == "--cores" && i + 1 < argc)
            cores = std::stoul(argv[++i]);
        else {
            fmt::print(stderr, "Usage: flux-graph-bench [--smoke] [--recipe FILE] [--nodes N] [--cores N]\n");
            return 1;
        }
    }
    std::ifstream file(recipe);
    std::stringstream text;
    text << file.rdbuf();
    if (!file)
        throw Error(ENOENT, "cannot read {}; start this in the top folder or use --recipe", recipe);
    double begin = now();
    Graph graph = value_or_throw(read_grug(text.str()));
    double seconds = now() - begin;
    rusage usage {};
    getrusage(RUSAGE_SELF, &usage);
    row("load " + recipe.substr(recipe.rfind('/') + 1), fmt::format("{:.3f} s", seconds),
        fmt::format("{} vertices; first rung 1 s, record 0.3 s", graph.vertex_count()));
    row("  memory of the whole process", fmt::format("{} MB", usage.ru_maxrss / 1024),
        "first rung 250 MB, record 60 MB");
    row("  bytes per vertex", fmt::format("{}", graph.bytes() / graph.vertex_count()), "100");
    int repeats = smoke ? 20 : 1000;
    for (auto policy :
         {"first", "firstnodex", "high", "low", "hinode", "lonode", "lonodex", "locality", "compact"})
        match_rows(graph, policy, std::string_view(policy) == "locality" ? repeats / 20 : repeats);
    reservation_rows(graph, smoke ? 200 : 10000);
    begin = now();
    Graph big = generated(nodes, cores);
    row(fmt::format("generate {} nodes x {} cores", nodes, cores), fmt::format("{:.3f} s", now() - begin),
        fmt::format("{} vertices, {} bytes each", big.vertex_count(), big.bytes() / big.vertex_count()));
    for (auto policy : {"first", "lonode"})
        match_rows(big, policy, repeats);
    return 0;
}

} // namespace

int main(int argc, char **argv)
{
    try {
        return run(argc, argv);
    } catch (const Error &error) {
        fmt::print(stderr, "flux-graph-bench: {}\n", error.text());
        return 1;
    }
}
