// flux-graph-bench: the resource graph by itself. Loading, bytes per vertex, match latency of several
// requests under every policy on an empty, a half full and a full machine, reservations behind many others,
// passes over long queues, replays of generated traces. Needs no instance.
//
//     build/t/flux-graph-bench [--smoke] [--json FILE] [--only TEXT] [--recipe FILE] [--nodes N --cores N]
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <random>
#include <sstream>

#include "bench/report.hpp"
#include "common/graph/formats/formats.hpp"
#include "common/graph/matcher.hpp"
#include "common/graph/queue_policy.hpp"
#include "common/graph/replay.hpp"

using namespace flux;
using namespace flux::graph;
using flux::bench::now;

namespace {

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

// A row of times in seconds.
void latency(bench::Report &report, bench::Row row, std::vector<double> times)
{
    std::ranges::sort(times);
    double unit = row.unit == "us" ? 1e6 : row.unit == "ms" ? 1e3 : 1;
    row.value = times[times.size() / 2] * unit;
    row.p99 = times[times.size() * 99 / 100] * unit;
    row.worst = times.back() * unit;
    report.add(row);
}

std::string nodes_request(int64_t nodes)
{
    return fmt::format(
        R"([{{"type":"node","count":{},"exclusive":true,"with":[{{"type":"slot","count":1,"label":"s","with":[{{"type":"core","count":1}}]}}]}}])",
        nodes);
}

// Takes whole nodes, so many with each job, until that share of the machine is in use.
int64_t fill(Matcher &matcher, double share, int64_t next_id, int64_t nodes_each = 1)
{
    const Graph &graph = matcher.graph();
    auto node = uint32_t(graph.column(graph.node_type()));
    auto wanted = int64_t(double(graph.total(graph.root())[node]) * share);
    auto request = request_of(graph, nodes_request(nodes_each).c_str(), 3600);
    for (; wanted >= nodes_each; wanted -= nodes_each)
        if (!matcher.match(MatchOp::allocate, next_id++, request, 0))
            break;
    if (wanted > 0)
        matcher.match(MatchOp::allocate, next_id++, request_of(graph, nodes_request(wanted).c_str(), 3600),
                      0);
    return next_id;
}

struct PolicyCase {
    const char *name;
    bool looks_at_all; // at every node for each request: fewer repeats, and filled by larger jobs
};

constexpr PolicyCase policies[] = {{"first", false},    {"firstnodex", false}, {"high", false},
                                   {"low", false},      {"hinode", false},     {"lonode", false},
                                   {"hinodex", false},  {"lonodex", false},    {"locality", true},
                                   {"variation", true}, {"compact", false}};

void match_rows(bench::Report &report, const Graph &graph, const std::string &machine,
                const PolicyCase &policy, int repeats)
{
    if (policy.looks_at_all)
        repeats = std::max(1, repeats / 20);
    for (auto [state, share] : {std::pair("empty", 0.0), {"half full", 0.5}, {"full", 1.0}}) {
        auto name = [&](const Kind &kind) {
            return fmt::format("{}, {}, {}: {}", machine, policy.name, state, kind.name);
        };
        if (std::ranges::none_of(kinds, [&](const Kind &kind) { return report.wants(name(kind)); }))
            continue;
        Matcher matcher(graph, {.policy = value_or_throw(Policy::parse(policy.name))});
        int64_t next_id = fill(matcher, share, 1, policy.looks_at_all ? 256 : 1);
        for (const auto &kind : kinds) {
            if (!report.wants(name(kind)))
                continue;
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
            bench::Row row {.name = name(kind), .unit = "us"};
            if (std::string_view(kind.name) == "node-local")
                row.rung = policy.name == std::string_view("first") ? 500 : 5000,
                row.record = policy.name == std::string_view("first") ? 50 : 500;
            latency(report, row, times);
        }
    }
}

void reservation_rows(bench::Report &report, const Graph &graph, int count)
{
    auto name = fmt::format("reservation behind {} others", count);
    if (!report.wants(name))
        return;
    Matcher matcher(graph, {.policy = value_or_throw(Policy::parse("low"))});
    int64_t next_id = fill(matcher, 1.0, 1);
    std::mt19937 random(1);
    std::vector<double> times;
    for (int i = 0; i < count; i++) {
        auto request = request_of(graph, nodes_request(1 + int64_t(random() % 64)).c_str(),
                                  60 + int64_t(random() % 7200));
        double begin = now();
        auto match = matcher.match(MatchOp::allocate_orelse_reserve, next_id++, request, 0);
        times.push_back(now() - begin);
        if (!match)
            throw Error(EIO, "a reservation is not possible: {}", match.error().text());
    }
    std::vector<double> last(times.end() - std::min<long>(long(times.size()), 200), times.end());
    latency(report, {.name = name, .unit = "us"}, last);
    report.add({.name = "  bytes of use", .value = double(matcher.schedule().bytes()), .unit = "B"});
}

// A pass of the conservative policy over a queue on a full machine, and those after single jobs have ended: what
// still holds of the plan is kept.
void pass_rows(bench::Report &report, const Graph &graph, bool smoke)
{
    for (int length : {100, 1000, 5000, 20000}) {
        auto name = fmt::format("conservative pass, queue of {}", length);
        if (!report.wants(name) || (smoke && length > 100))
            continue;
        Matcher matcher(graph, {.policy = value_or_throw(Policy::parse("low"))});
        int64_t next_id = fill(matcher, 1.0, 1, 16), running = next_id;
        JobQueue queue({.policy = QueueOptions::Policy::conservative,
                        .queue_depth = size_t(length),
                        .max_queue_depth = size_t(length)});
        std::mt19937 random(1);
        for (int i = 0; i < length; i++) {
            auto request = std::make_shared<JobRequest>(request_of(
                graph, nodes_request(1 + int64_t(random() % 64)).c_str(), 60 + int64_t(random() % 7200)));
            queue.insert({next_id++, 0, double(i), request});
        }
        std::vector<double> times;
        for (int64_t ended = 1; ended < std::min<int64_t>(running, 22); ended++) {
            queue.freed(matcher.find(ended)->end);
            if (auto gone = matcher.cancel(ended); !gone)
                throw gone.error();
            std::vector<QueueDecision> decisions;
            double begin = now();
            while (!queue.plan(matcher, 0, SIZE_MAX / 2, decisions)) {
            }
            times.push_back(now() - begin);
        }
        if (times.empty())
            continue;
        report.add({.name = name, .value = times.front() * 1e3, .unit = "ms"});
        times.erase(times.begin());
        if (!times.empty())
            latency(report, {.name = name + ", after a job has ended", .unit = "ms"}, times);
    }
}

// A trace as machines have it: single jobs, and the same job submitted some ten, hundred or thousand times;
// most end long before their estimate. The queue is as long as load makes it.
std::vector<TraceJob> generated_trace(size_t count, int64_t procs, double load)
{
    std::mt19937 random(2);
    auto share = [&] {
        return double(random()) / 4294967296.0;
    };
    constexpr int64_t estimates[] = {1800, 7200, 21600, 86400, 86400, 86400, 259200};
    std::vector<TraceJob> jobs;
    double area = 0;
    while (jobs.size() < count) {
        TraceJob job;
        job.procs = int64_t(std::pow(2.0, share() * std::log2(double(procs) / 8)));
        job.estimate = estimates[random() % std::size(estimates)];
        job.submit = int64_t(area / (double(procs) * load));
        auto times = share() < 0.5 ? size_t(std::min(5000.0, 1 / (1 - share()))) : 1;
        double part = share() * share();
        auto gap = int64_t(random() % 5);
        for (size_t i = 0; i < times && jobs.size() < count; i++) {
            job.run =
                std::clamp(int64_t(double(job.estimate) * part * (0.5 + share())), int64_t(1), job.estimate);
            area += double(job.run * job.procs);
            jobs.push_back(job);
            job.submit += gap;
        }
    }
    std::ranges::stable_sort(jobs, {}, &TraceJob::submit);
    for (size_t i = 0; i < jobs.size(); i++)
        jobs[i].number = int64_t(i) + 1;
    return jobs;
}

void replay_rows(bench::Report &report, bool smoke)
{
    constexpr int64_t procs = 93312;
    size_t count = smoke ? 2000 : 100'000;
    for (auto [policy_name, load] :
         {std::pair("easy", 0.85), {"easy", 1.0}, {"conservative", 0.85}, {"conservative", 1.0}}) {
        auto name = fmt::format("replay {} jobs, {}, load {}", count, policy_name, load);
        if (!report.wants(name))
            continue;
        auto jobs = generated_trace(count, procs, load);
        double begin = now();
        auto result = replay(jobs, {.policy = *parse_replay_policy(policy_name), .procs = procs});
        report.add({.name = name, .value = now() - begin, .unit = "s"});
        report.add({.name = "  longest queue", .value = double(result.longest_queue), .unit = ""});
    }
}

int run(int argc, char **argv)
{
    bool smoke = false;
    std::string recipe = "t/data/graph/sierra.graphml", json, only;
    size_t nodes = 100000, cores = 128;
    for (int i = 1; i < argc; i++) {
        std::string arg = argv[i], value;
        if (auto equals = arg.find('='); equals != arg.npos) {
            value = arg.substr(equals + 1);
            arg.resize(equals);
        } else if (arg != "--smoke" && i + 1 < argc) {
            value = argv[++i];
        }
        if (arg == "--smoke")
            smoke = true, nodes = 2000, cores = 4, recipe = "t/data/graph/medium.graphml";
        else if (arg == "--recipe")
            recipe = value;
        else if (arg == "--json")
            json = value;
        else if (arg == "--only")
            only = value;
        else if (arg == "--nodes")
            nodes = std::stoul(value);
        else if (arg == "--cores")
            cores = std::stoul(value);
        else {
            fmt::print(stderr,
                       "Usage: flux-graph-bench [--smoke] [--json FILE] [--only TEXT] [--recipe FILE] "
                       "[--nodes N] [--cores N]\n");
            return 1;
        }
    }
    bench::Report report(json, only);
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
    std::string machine = recipe.substr(recipe.rfind('/') + 1);
    machine.resize(machine.rfind('.'));
    report.add({.name = fmt::format("load {}, {} vertices", machine, graph.vertex_count()),
                .value = seconds,
                .unit = "s",
                .rung = 1,
                .record = 0.3});
    report.add({.name = "  memory of the whole process",
                .value = double(usage.ru_maxrss) / 1024,
                .unit = "MB",
                .rung = 250,
                .record = 60});
    report.add(
        {.name = "  bytes per vertex", .value = double(graph.bytes() / graph.vertex_count()), .unit = "B"});
    int repeats = smoke ? 20 : 1000;
    for (const auto &policy : policies)
        match_rows(report, graph, machine, policy, repeats);
    reservation_rows(report, graph, smoke ? 200 : 10000);
    pass_rows(report, graph, smoke);
    replay_rows(report, smoke);
    begin = now();
    Graph big = generated(nodes, cores);
    std::string size = fmt::format("{} x {}", nodes, cores);
    report.add({.name = "generate " + size, .value = now() - begin, .unit = "s"});
    report.add(
        {.name = "  bytes per vertex", .value = double(big.bytes() / big.vertex_count()), .unit = "B"});
    for (const auto &policy : policies)
        if (!policy.looks_at_all)
            match_rows(report, big, size, policy, repeats);
    report.write();
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
