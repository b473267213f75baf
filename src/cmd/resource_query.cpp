// flux resource-query (and resource-query): options, graph, and the loop over the commands.
#include <getopt.h>

#include <chrono>
#include <fstream>
#include <iostream>
#include <set>
#include <sstream>
#include <unordered_set>

#include "cmd/resource_query.hpp"
#include "common/base/text.hpp"
#include "common/graph/formats/formats.hpp"

namespace flux::cmd {

namespace {

constexpr char usage_text[] =
    R"(Usage: resource-query [OPTIONS]
Matches jobspecs against a resource graph, without an instance. Commands are read from standard input: try help.

  -L, --load-file=FILE          the graph (conf/default)
  -f, --load-format=FORMAT      grug (default), hwloc, jgf, jgf_shorthand, rv1exec, rv1exec_force
  -W, --load-allowlist=TYPES    hwloc: only these types
  -S, --match-subsystems=NAME   CA (default), IBA, IBBA, PFS1BA, PA, C+IBA, C+IBBA, C+PFS1BA, C+PA, IB+IBBA, C+P+IBA,
                                VA, V+PFS1BA, ALL
  -P, --match-policy=POLICY     first (default), firstnodex, high, low, hinode, lonode, hinodex, lonodex, locality,
                                variation, compact, or "policy=low node_centric=true ..."
  -F, --match-format=FORMAT     simple (default), pretty_simple, rlite, rv1, rv1_nosched, rv1_shorthand, jgf,
                                jgf_shorthand
  -T, --traverser=NAME          simple (default), flexible: slots beside each other are alternatives
  -p, --prune-filters=HL:LL,... what is counted below what (ALL:core,ALL:node); more than once: all of them
  -g, --graph-format=FORMAT     dot (default)
  -o, --graph-output=FILE       write the graph there
  -t, --test-output=FILE        what commands print goes there
  -r, --reserve-vtx-vec=N       accepted
  -e, --elapse-time             print times and numbers of visits
  -d, --disable-prompt          no prompt
      --divisible=TYPES         pools of these types are given out in parts
      --why                     say why a request did not match
  -h, --help                    this text
)";

[[noreturn]] void usage(int status)
{
    std::fputs(usage_text, stderr);
    std::exit(status);
}

[[noreturn]] void refuse(const std::string &why)
{
    fmt::print(stderr, "resource-query: ERROR: {}\n", why);
    usage(1);
}

constexpr int64_t max_reserved = 2000000; // vertices

enum LongOnly { option_divisible = 1000, option_why };

QueryOptions parse_command_line(int argc, char **argv)
{
    static const option long_options[] = {{"load-file", required_argument, nullptr, 'L'},
                                          {"load-format", required_argument, nullptr, 'f'},
                                          {"load-allowlist", required_argument, nullptr, 'W'},
                                          {"match-subsystems", required_argument, nullptr, 'S'},
                                          {"match-policy", required_argument, nullptr, 'P'},
                                          {"match-format", required_argument, nullptr, 'F'},
                                          {"traverser", required_argument, nullptr, 'T'},
                                          {"graph-format", required_argument, nullptr, 'g'},
                                          {"graph-output", required_argument, nullptr, 'o'},
                                          {"prune-filters", required_argument, nullptr, 'p'},
                                          {"test-output", required_argument, nullptr, 't'},
                                          {"reserve-vtx-vec", required_argument, nullptr, 'r'},
                                          {"elapse-time", no_argument, nullptr, 'e'},
                                          {"disable-prompt", no_argument, nullptr, 'd'},
                                          {"divisible", required_argument, nullptr, option_divisible},
                                          {"why", no_argument, nullptr, option_why},
                                          {"help", no_argument, nullptr, 'h'},
                                          {}};
    QueryOptions out;
    int letter;
    while ((letter = getopt_long(argc, argv, "L:f:W:S:P:F:T:g:o:p:t:r:edh", long_options, nullptr)) != -1) {
        std::string value = optarg ? optarg : "";
        switch (letter) {
        case 'L':
            out.load_file = value;
            break;
        case 'f':
            if (!graph::is_load_format(value))
                refuse("unknown load format \"" + value + "\"");
            out.load_format = value;
            break;
        case 'W':
            out.allowlist = "cluster," + value;
            break;
        case 'S':
            if (matcher_subsystems(value).empty())
                refuse("unknown subsystems \"" + value + "\"");
            out.subsystems = value;
            break;
        case 'P':
            if (auto policy = graph::Policy::parse(value); !policy)
                refuse(policy.error().text());
            out.policy = value;
            break;
        case 'F':
            if (!graph::parse_match_format(value))
                refuse("unknown match format \"" + value + "\"");
            out.match_format = value;
            break;
        case 'T':
            if (value != "simple" && value != "flexible")
                refuse("unknown traverser \"" + value + "\"");
            out.traverser = value;
            break;
        case 'g':
            if (value != "dot" && value != "graphml")
                refuse("unknown graph format \"" + value + "\"");
            out.graph_format = value;
            break;
        case 'o':
            out.graph_output = value;
            break;
        case 'p':
            if (!out.prune_filters && !value.empty())
                out.prune_filters.emplace();
            if (out.prune_filters)
                if (auto added = out.prune_filters->add(value); !added)
                    refuse("--prune-filters: " + added.error().text());
            break;
        case 't':
            out.test_output = value;
            break;
        case 'r':
            if (int64_t count = std::atoll(value.c_str()); count < 1 || count > max_reserved)
                refuse("--reserve-vtx-vec=" + value +
                       fmt::format(": expected a number from 1 to {}", max_reserved));
            break;
        case 'e':
            out.elapse = true;
            break;
        case 'd':
            out.prompt = false;
            break;
        case option_divisible:
            out.divisible = value;
            break;
        case option_why:
            out.why = true;
            break;
        case 'h':
            usage(0);
        default:
            usage(1);
        }
    }
    if (optind < argc)
        refuse(fmt::format("stray argument \"{}\"", argv[optind]));
    return out;
}

void print_load_statistics(const graph::Graph &graph, double seconds)
{
    std::set<graph::TypeId> types;
    std::unordered_set<std::string> names;
    std::map<int, size_t> ranks;
    for (graph::VertexId v = 0; v < graph.size(); v++) {
        types.insert(graph[v].type);
        names.insert(graph.name(v));
        ranks[graph[v].rank]++;
    }
    fmt::print("INFO: Graph Load Time: {:.6f}\n", seconds);
    fmt::print("INFO: Vertex Count: {}\n", graph.vertex_count());
    fmt::print("INFO: Edge Count: {}\n", graph.edge_count());
    fmt::print("INFO: by_type Key-Value Pairs: {}\n", types.size());
    fmt::print("INFO: by_name Key-Value Pairs: {}\n", names.size());
    fmt::print("INFO: by_path Key-Value Pairs: {}\n", graph.vertex_count());
    for (auto [rank, count] : ranks)
        fmt::print("INFO: number of vertices with rank {}: {}\n", rank, count);
}

int run(int argc, char **argv)
{
    QueryOptions options = parse_command_line(argc, argv);
    auto begin = std::chrono::steady_clock::now();
    auto allowed = split_words(options.allowlist, ",");
    auto graph = graph::load_graph(read_text_file(options.load_file), options.load_format,
                                   std::set<std::string>(allowed.begin(), allowed.end()));
    if (!graph)
        throw Error(graph.error().errnum(), "{}: {}", options.load_file, graph.error().text());
    std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    if (options.elapse)
        print_load_statistics(*graph, seconds.count());
    if (!options.graph_output.empty()) {
        if (options.graph_format != "dot")
            throw Error(EINVAL, "a graph can be written in the format dot, not {}", options.graph_format);
        std::ofstream file(options.graph_output);
        file << graph::emit_dot(*graph);
        if (!file.flush())
            throw Error(EIO, "cannot write {}", options.graph_output);
    }
    std::unique_ptr<std::FILE, int (*)(std::FILE *)> test_output(nullptr, std::fclose);
    if (!options.test_output.empty()) {
        test_output.reset(std::fopen(options.test_output.c_str(), "w"));
        if (!test_output)
            throw Error(errno, "can't open {}: {}", options.test_output, errno_text(errno));
    }
    ResourceQuery query(options, std::move(*graph), test_output ? test_output.get() : stdout);
    std::string line;
    for (;;) {
        if (options.prompt) {
            std::fputs("resource-query> ", stdout);
            std::fflush(stdout);
        }
        if (!std::getline(std::cin, line) || !query.run_line(line))
            break;
    }
    return 0;
}

} // namespace

std::vector<std::string> matcher_subsystems(std::string name)
{
    for (char &c : name)
        c = char(std::toupper(uint8_t(c)));
    const std::string c = "containment", ib = "ibnet", bw = "ibnetbw", pfs = "pfs1bw", power = "power",
                      v = "virtual1";
    static const std::map<std::string, std::vector<std::string>> known {{"CA", {c}},
                                                                        {"IBA", {ib}},
                                                                        {"IBBA", {bw}},
                                                                        {"PFS1BA", {pfs}},
                                                                        {"PA", {power}},
                                                                        {"C+IBA", {c, ib}},
                                                                        {"C+IBBA", {c, bw}},
                                                                        {"C+PFS1BA", {c, pfs}},
                                                                        {"C+PA", {c, power}},
                                                                        {"IB+IBBA", {ib, bw}},
                                                                        {"C+P+IBA", {c, power, ib}},
                                                                        {"VA", {v}},
                                                                        {"V+PFS1BA", {v, pfs}},
                                                                        {"ALL", {c, ib, bw, pfs, power, v}}};
    auto found = known.find(name);
    return found == known.end() ? std::vector<std::string>() : found->second;
}

std::string read_text_file(const std::string &path)
{
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    if (!file || !(text << file.rdbuf()))
        throw Error(errno ? errno : EIO, "can't open {}", path);
    return text.str();
}

} // namespace flux::cmd

int main(int argc, char **argv)
{
    try {
        return flux::cmd::run(argc, argv);
    } catch (const std::exception &error) {
        fmt::print(stderr, "resource-query: Runtime error: {}\n", error.what());
        return 1;
    }
}
