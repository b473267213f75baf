// flux simulate TRACE.swf: replays a workload trace (Standard Workload Format, plain or gzip) under a queue
// policy.
#include <chrono>
#include <cstdio>
#include <fstream>
#include <unistd.h>
#include <zlib.h>

#include "cmd/command.hpp"
#include "cmd/print.hpp"
#include "cmd/simulate.hpp"
#include "common/graph/formats/formats.hpp"
#include "common/graph/graph_replay.hpp"
#include "common/graph/replay.hpp"
#include "common/graph/swf.hpp"
#include "sim/instance_replay.hpp"

namespace flux::cmd {

namespace {

constexpr size_t max_trace_bytes = size_t(4) << 30;
constexpr size_t many_jobs = 2000; // through an instance, they take seconds

std::string read_trace_file(const std::string &path)
{
    gzFile file = gzopen(path.c_str(), "rb"); // reads what is not compressed as it is
    if (!file)
        throw Error(errno, "cannot open the trace {}: {}", path, errno_text(errno));
    std::string text;
    char buffer[1 << 16];
    int got;
    while ((got = gzread(file, buffer, sizeof buffer)) > 0 && text.size() <= max_trace_bytes)
        text.append(buffer, size_t(got));
    int status;
    std::string why = got < 0 ? gzerror(file, &status) : "";
    gzclose(file);
    if (got < 0)
        throw Error(EIO, "cannot read the trace {}: {}", path, why);
    if (text.size() > max_trace_bytes)
        throw Error(EFBIG, "the trace {} is larger than {} bytes", path, max_trace_bytes);
    return text;
}

void write_file(const std::string &path, const std::string &text)
{
    std::ofstream out(path);
    out << text;
    out.close();
    if (!out)
        throw Error(errno ? errno : EIO, "cannot write {}: {}", path, errno_text(errno ? errno : EIO));
}

std::string csv_of(const graph::Trace &trace, const graph::ReplayResult &result)
{
    std::string out = "job,submit,procs,run,estimate,start,wait\n";
    for (size_t i = 0; i < trace.jobs.size(); i++) {
        const auto &job = trace.jobs[i];
        fmt::format_to(std::back_inserter(out), "{},{},{},{},{},{},{}\n", job.number, job.submit, job.procs,
                       job.run, job.estimate, result.starts[i], result.starts[i] - job.submit);
    }
    return out;
}

graph::Graph load_machine(const std::string &path, const std::string &format)
{
    std::ifstream file(path, std::ios::binary);
    std::string text {std::istreambuf_iterator<char>(file), {}};
    if (!file)
        throw Error(ENOENT, "cannot read the machine {}", path);
    auto machine = graph::load_graph(text, format);
    if (!machine)
        throw Error(machine.error().errnum(), "{}: {}", path, machine.error().text());
    return std::move(*machine);
}

// One node with so many cores.
graph::Graph flat_machine(int64_t procs)
{
    graph::Graph machine;
    auto cluster = machine.add(graph::no_vertex, {.type = "cluster"});
    auto node = machine.add(cluster, {.type = "node", .rank = 0});
    machine.add_many(node, {.type = "core"}, size_t(procs), 1);
    machine.finish();
    return machine;
}

int64_t cores_of(const graph::Graph &machine)
{
    auto core = machine.find_type("core");
    int column = core ? machine.column(*core) : -1;
    int64_t cores = column < 0 ? 0 : machine.total(machine.root())[size_t(column)];
    if (cores == 0)
        throw Error(EINVAL, "the machine has no cores");
    return cores;
}

graph::QueueOptions queue_options(const Args &args, size_t depth)
{
    graph::QueueOptions queue;
    queue.policy = graph::QueueOptions::parse_policy(args.value("policy", "easy")).value();
    queue.queue_depth = queue.max_queue_depth;
    queue.reservation_depth = depth;
    if (args.has("queue-depth")) {
        int64_t value = args.integer("queue-depth", 0);
        if (value < 1)
            throw UsageError(fmt::format("--queue-depth={}: expected a positive number", value));
        queue.queue_depth = size_t(value);
    }
    return queue;
}

graph::Policy match_policy(const Args &args)
{
    auto policy = graph::Policy::parse(args.value("match-policy", "low"));
    if (!policy)
        throw UsageError(policy.error().text());
    return *policy;
}

// Through the queue policies and the matcher of the sched module.
graph::ReplayResult replay_on_graph(const Args &args, const graph::Trace &trace, graph::Graph machine,
                                    size_t depth)
{
    graph::Matcher matcher(std::move(machine), {.policy = match_policy(args)});
    return graph::replay_on_graph(trace.jobs, matcher, queue_options(args, depth));
}

// Through a whole instance with that module.
graph::ReplayResult replay_on_instance(const Args &args, const graph::Trace &trace,
                                       const std::optional<graph::Graph> &machine, int64_t procs,
                                       size_t depth)
{
    auto resources = machine ? sim::resources_of(*machine) : sim::flat_resources(procs);
    if (!resources)
        throw Error(resources.error().errnum(), "--machine={}: {}", args.value("machine"),
                    resources.error().text());
    match_policy(args); // says what is wrong with it
    if (trace.jobs.size() > many_jobs && ::isatty(STDERR_FILENO))
        warn("{} jobs pass through an instance, about a thousand a second; --engine=library is quicker",
             trace.jobs.size());
    return sim::replay_on_instance(trace.jobs, {.machine = std::move(*resources),
                                                .queue = queue_options(args, depth),
                                                .match_policy = args.value("match-policy", "low")});
}

int run_simulate(const Args &args, Session &)
{
    std::string engine = args.value("engine", "instance");
    if (engine != "library" && engine != "graph" && engine != "instance")
        throw UsageError(fmt::format("--engine={}: expected library, graph or instance", engine));
    auto policy = graph::parse_replay_policy(args.value("policy", "easy"));
    if (!policy)
        throw UsageError(
            fmt::format("--policy={}: expected fcfs, easy, hybrid or conservative", args.value("policy")));
    auto begin = std::chrono::steady_clock::now();
    int64_t procs = args.integer("procs", 0);
    if (args.has("procs") && procs < 1)
        throw UsageError(fmt::format("--procs={}: expected a positive number", procs));
    if (args.has("procs") && args.has("machine"))
        throw UsageError("--procs and --machine: only one of them is possible");
    std::optional<graph::Graph> machine;
    if (args.has("machine")) {
        machine = load_machine(args.value("machine"), args.value("format", "rv1exec"));
        procs = cores_of(*machine);
    }
    auto parsed = graph::parse_swf(read_trace_file(args[0]), procs);
    if (!parsed)
        throw Error(parsed.error().errnum(), "{}: {}", args[0], parsed.error().text());
    const graph::Trace trace = std::move(*parsed);
    if (procs == 0)
        procs = trace.max_procs;
    if (procs == 0)
        throw UsageError(
            fmt::format("{} does not say how many processors the machine has; use --procs", args[0]));
    graph::ReplayOptions options {.policy = *policy, .procs = procs};
    if (args.has("depth")) {
        int64_t depth = args.integer("depth", 0);
        if (depth < 1)
            throw UsageError(fmt::format("--depth={}: expected a positive number", depth));
        options.depth = size_t(depth);
    }
    graph::ReplayResult result;
    if (engine == "library")
        result = graph::replay(trace.jobs, options);
    else if (engine == "graph")
        result =
            replay_on_graph(args, trace, machine ? std::move(*machine) : flat_machine(procs), options.depth);
    else
        result = replay_on_instance(args, trace, machine, procs, options.depth);
    auto summary = graph::summarize(trace.jobs, result, procs);
    if (args.has("csv"))
        write_file(args.value("csv"), csv_of(trace, result));
    if (args.has("plot"))
        write_file(args.value("plot"),
                   replay_plot(fmt::format("{} on {} processors, {}", args[0].substr(args[0].rfind('/') + 1),
                                           procs, args.value("policy", "easy")),
                               result, procs));
    std::chrono::duration<double> wall = std::chrono::steady_clock::now() - begin;
    print("trace:                     {}\n", args[0]);
    print("processors:                {}\n", procs);
    print("policy:                    {}\n", args.value("policy", "easy"));
    print("jobs:                      {} ({} left out)\n", trace.jobs.size(), trace.skipped);
    print("mean wait:                 {:.0f} s\n", summary.mean_wait);
    print("median wait:               {:.0f} s\n", summary.median_wait);
    print("average bounded slowdown:  {:.2f}\n", summary.bounded_slowdown);
    print("utilisation:               {:.2f} %\n", summary.utilisation * 100);
    print("makespan:                  {} s\n", summary.makespan);
    print("longest queue:             {}\n", result.longest_queue);
    print("scheduling passes:         {}\n", result.passes);
    print("time per pass:             {:.2f} us\n",
          result.passes ? result.seconds * 1e6 / double(result.passes) : 0);
    print("wall time:                 {:.2f} s\n", wall.count());
    return 0;
}

const Command simulate_command {
    .name = "simulate",
    .args = "TRACE.swf[.gz]",
    .summary = "replay a workload trace under a queue policy",
    .options = {{"--engine=ENGINE",
                 "instance (default): a whole instance in virtual time; graph: what schedules its jobs; "
                 "library: a flat pool of processors, the quickest"},
                {"--policy=POLICY", "fcfs, easy (default), hybrid or conservative"},
                {"--procs=N", "the machine's processors; the trace's header says them otherwise"},
                {"--machine=FILE", "a machine; its cores are the processors"},
                {"--format=FORMAT", "of --machine: rv1exec (default), jgf, grug, hwloc"},
                {"--depth=N", "hybrid: how many waiting jobs get a reservation (64)"},
                {"--match-policy=POLICY", "graph, instance: which cores are taken (low)"},
                {"--queue-depth=N", "graph, instance: how many waiting jobs a pass looks at"},
                {"--csv=FILE", "write one line per job"},
                {"--plot=FILE", "draw utilisation and queue length over time (SVG)"}},
    .min_args = 1,
    .max_args = 1,
    .run = run_simulate,
};

} // namespace

} // namespace flux::cmd

int main(int argc, char **argv)
{
    return flux::cmd::run_program(flux::cmd::simulate_command, "simulate", {argv + 1, argv + argc});
}
