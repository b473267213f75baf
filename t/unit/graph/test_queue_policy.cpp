// Queue policies over the real matcher in virtual time. First come first served must start jobs when the
// replay on a flat pool does; with reservations, which are of certain cores, no job may start later than it
// was told at first while it was the first that waits.
#include "unit/graph/graph_help.hpp"

#include <random>

#include "common/graph/graph_replay.hpp"
#include "common/graph/queue_policy.hpp"
#include "common/graph/replay.hpp"

using namespace flux;
using namespace flux::graph;

namespace {

Graph flat(int64_t procs)
{
    Graph graph;
    VertexId cluster = graph.add(no_vertex, {.type = "cluster"});
    VertexId node = graph.add(cluster, {.type = "node", .rank = 0});
    graph.add_many(node, {.type = "core"}, size_t(procs), 1);
    graph.finish();
    return graph;
}

QueuedJob queued(const Graph &graph, const TraceJob &job, int64_t id)
{
    auto request = request_of(
        graph,
        fmt::format(R"([{{"type":"slot","count":{},"label":"s","with":[{{"type":"core","count":1}}]}}])",
                    job.procs),
        fmt::format(R"({{"duration":{}}})", job.estimate));
    return {id, 16, double(job.submit), std::make_shared<const JobRequest>(std::move(request))};
}

std::vector<int64_t> starts_of(const std::vector<TraceJob> &jobs, int64_t procs, QueueOptions options,
                               std::mt19937 &random)
{
    Matcher matcher(flat(procs), {.policy = value_or_throw(Policy::parse("low"))});
    JobQueue queue(options);
    std::vector<int64_t> starts(jobs.size(), -1);
    std::multimap<Time, int64_t> ends;
    std::map<int64_t, Time> promised; // to jobs that were the first to wait
    size_t next = 0;
    while (next < jobs.size() || !ends.empty()) {
        Time now = next < jobs.size() ? jobs[next].submit : Planner::forever;
        if (!ends.empty())
            now = std::min(now, ends.begin()->first);
        while (!ends.empty() && ends.begin()->first == now) {
            EXPECT_TRUE(matcher.cancel(ends.begin()->second));
            ends.erase(ends.begin());
            queue.restart();
        }
        for (; next < jobs.size() && jobs[next].submit == now; next++)
            queue.insert(queued(matcher.graph(), jobs[next], int64_t(next)));
        std::vector<QueueDecision> decisions;
        while (!queue.plan(matcher, now, 1 + random() % 5, decisions)) {
        }
        for (const auto &decision : decisions)
            if (decision.kind == QueueDecision::Kind::start) {
                if (promised.contains(decision.id)) {
                    EXPECT_LE(now, promised[decision.id]);
                }
                starts[size_t(decision.id)] = now;
                ends.emplace(now + jobs[size_t(decision.id)].run, decision.id);
            } else {
                EXPECT_EQ(decision.kind, QueueDecision::Kind::estimate);
                if (queue.first(1)[0]->id == decision.id && decision.estimate)
                    promised.emplace(decision.id, *decision.estimate);
            }
    }
    EXPECT_EQ(queue.size(), 0u);
    EXPECT_TRUE(matcher.jobs().empty());
    return starts;
}

} // namespace

TEST(QueuePolicy, KeepsItsPromises)
{
    std::mt19937 random(5);
    for (int round = 0; round < 40; round++) {
        int64_t procs = 1 + int64_t(random() % 20);
        std::vector<TraceJob> jobs;
        int64_t submit = 0;
        for (int i = 0; i < 60; i++) {
            submit += int64_t(random() % 6);
            TraceJob job {i, submit, 1 + int64_t(random() % 30), 0, 1 + int64_t(random()) % procs};
            job.estimate = job.run + (random() % 2 ? int64_t(random() % 30) : 0);
            jobs.push_back(job);
        }
        using Policy = QueueOptions::Policy;
        for (auto policy : {Policy::fcfs, Policy::easy, Policy::hybrid, Policy::conservative}) {
            QueueOptions options {.policy = policy, .queue_depth = 1000, .reservation_depth = 3};
            auto starts = starts_of(jobs, procs, options, random);
            EXPECT_EQ(std::ranges::count(starts, -1), 0);
            if (policy == Policy::fcfs) {
                ASSERT_EQ(starts, replay(jobs, {.policy = ReplayPolicy::fcfs, .procs = procs}).starts);
            }
        }
    }
}

TEST(QueuePolicy, OrdersByPriorityThenTime)
{
    Matcher matcher(flat(1), {.policy = value_or_throw(Policy::parse("low"))});
    JobQueue queue({.policy = QueueOptions::Policy::easy});
    for (int64_t id = 1; id <= 4; id++)
        queue.insert(queued(matcher.graph(), {id, id, 10, 10, 1}, id));
    std::vector<QueueDecision> decisions;
    EXPECT_TRUE(queue.plan(matcher, 0, 100, decisions));
    ASSERT_EQ(decisions.size(), 2u);
    EXPECT_EQ(decisions[0].id, 1);
    EXPECT_EQ(decisions[1].id, 2);
    EXPECT_EQ(decisions[1].estimate, 10);
    EXPECT_TRUE(queue.set_priority(4, 31)); // it gets the reservation now
    decisions.clear();
    EXPECT_TRUE(queue.plan(matcher, 0, 100, decisions));
    EXPECT_EQ(matcher.find(4)->start, 10);
    EXPECT_FALSE(matcher.find(2));
    EXPECT_EQ(queue.next_estimate(), 10);
    EXPECT_TRUE(queue.remove(4, matcher));
    EXPECT_FALSE(matcher.find(4));
    decisions.clear();
    EXPECT_TRUE(queue.plan(matcher, 0, 100, decisions));
    EXPECT_EQ(matcher.find(2)->start, 10);
}

TEST(QueuePolicy, DeniesWhatCanNeverRun)
{
    Matcher matcher(flat(4), {.policy = value_or_throw(Policy::parse("low"))});
    JobQueue queue({.policy = QueueOptions::Policy::easy});
    queue.insert(queued(matcher.graph(), {1, 0, 10, 10, 5}, 1));
    std::vector<QueueDecision> decisions;
    EXPECT_TRUE(queue.plan(matcher, 0, 100, decisions));
    ASSERT_EQ(decisions.size(), 1u);
    EXPECT_EQ(decisions[0].kind, QueueDecision::Kind::deny);
    EXPECT_EQ(decisions[0].text, "never satisfiable: needs 5 cores: the machine has 4");
}

TEST(GraphReplay, StartsEveryJobAndLeavesNothing)
{
    std::mt19937 random(12);
    std::vector<TraceJob> jobs;
    for (int i = 0; i < 300; i++) {
        TraceJob job {i, i * 3, 1 + int64_t(random() % 40), 0, 1 + int64_t(random() % 16)};
        job.estimate = job.run + int64_t(random() % 20);
        jobs.push_back(job);
    }
    using Policy = QueueOptions::Policy;
    for (auto policy : {Policy::fcfs, Policy::easy, Policy::hybrid, Policy::conservative}) {
        Matcher matcher(machine({.nodes = 4, .gpus = 0}),
                        {.policy = value_or_throw(graph::Policy::parse("lonode"))});
        auto result = replay_on_graph(jobs, matcher, {.policy = policy, .queue_depth = 1000});
        EXPECT_EQ(std::ranges::count(result.starts, -1), 0);
        EXPECT_TRUE(matcher.jobs().empty());
        if (policy == Policy::fcfs) {
            EXPECT_EQ(result.starts, replay(jobs, {.policy = ReplayPolicy::fcfs, .procs = 32}).starts);
        }
    }
}
