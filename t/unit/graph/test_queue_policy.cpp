// Queue policies over the real matcher in virtual time. Where resources are interchangeable, jobs must start
// when the replay on a flat pool starts them; where they are not, no job may start later than it was told at
// first while it was the first that waits.
#include "unit/graph/graph_help.hpp"

#include <functional>
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

// A job of the trace as a request to a graph: `procs` of something.
using Ask = std::function<std::string(const TraceJob &)>;

std::string ask_cores(const TraceJob &job)
{
    return fmt::format(R"([{{"type":"slot","count":{},"label":"s","with":[{{"type":"core","count":1}}]}}])",
                       job.procs);
}

std::string ask_nodes(const TraceJob &job)
{
    return fmt::format(
        R"([{{"type":"node","count":{},"exclusive":true,"with":[{{"type":"slot","count":1,"label":"s","with":[
           {{"type":"core","count":1}}]}}]}}])",
        job.procs);
}

QueuedJob queued(const Graph &graph, const TraceJob &job, int64_t id, const Ask &ask = ask_cores)
{
    auto request = request_of(graph, ask(job), fmt::format(R"({{"duration":{}}})", job.estimate));
    return {id, 16, double(job.submit), std::make_shared<const JobRequest>(std::move(request))};
}

// Where nodes are taken whole: slots that fill so many of the nodes of machine(), or nearly.
std::string ask_slots(const TraceJob &job)
{
    auto slots = job.procs * 2 - job.number % 2; // two on a node: it has 8 cores
    return fmt::format(
        R"([{{"type":"slot","count":{},"label":"s","with":[{{"type":"core","count":3}},{{"type":"gpu","count":1}}]}}])",
        slots);
}

std::vector<int64_t> starts_of(const std::vector<TraceJob> &jobs, Graph graph, const Ask &ask,
                               QueueOptions options, std::mt19937 &random, const char *match_policy = "low")
{
    Matcher matcher(std::move(graph), {.policy = value_or_throw(Policy::parse(match_policy))});
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
            queue.freed(matcher.find(ends.begin()->second)->end);
            EXPECT_TRUE(matcher.cancel(ends.begin()->second));
            ends.erase(ends.begin());
        }
        for (; next < jobs.size() && jobs[next].submit == now; next++)
            queue.insert(queued(matcher.graph(), jobs[next], int64_t(next), ask));
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

std::vector<TraceJob> random_trace(std::mt19937 &random, int64_t procs)
{
    std::vector<TraceJob> jobs;
    int64_t submit = 0;
    for (int i = 0; i < 60; i++) {
        submit += int64_t(random() % 6);
        TraceJob job {i, submit, 1 + int64_t(random() % 30), 0, 1 + int64_t(random()) % procs};
        job.estimate = job.run + (random() % 2 ? int64_t(random() % 30) : 0);
        jobs.push_back(job);
    }
    return jobs;
}

constexpr std::pair<QueueOptions::Policy, ReplayPolicy> policies[] = {
    {QueueOptions::Policy::fcfs, ReplayPolicy::fcfs},
    {QueueOptions::Policy::easy, ReplayPolicy::easy},
    {QueueOptions::Policy::hybrid, ReplayPolicy::hybrid},
    {QueueOptions::Policy::conservative, ReplayPolicy::conservative},
};

// What a queue says, and when its jobs are expected to start.
struct Watched {
    Matcher matcher;
    JobQueue queue;
    std::map<int64_t, std::optional<Time>> estimates;
    std::map<int64_t, Time> starts;

    Watched(int64_t procs, QueueOptions options) : matcher(flat(procs), {}), queue(options) {}
    // Returns the ends of those that start, as they were planned.
    std::map<int64_t, Time> pass(Time now, size_t effort)
    {
        std::vector<QueueDecision> decisions;
        while (!queue.plan(matcher, now, effort, decisions)) {
        }
        std::map<int64_t, Time> ends;
        for (const auto &decision : decisions) {
            estimates.erase(decision.id);
            if (decision.kind == QueueDecision::Kind::start)
                ends[decision.id] = matcher.find(decision.id)->end;
            else
                estimates[decision.id] = decision.estimate;
        }
        return ends;
    }
};

// Jobs come with any priority, leave the queue, change places, end early or late, and slices end anywhere:
// what holds of a plan is what planning everything anew gives.
TEST(QueuePolicy, KeepsWhatPlanningAnewWouldGive)
{
    std::mt19937 random(11);
    for (int round = 0; round < 80; round++) {
        auto policy = policies[size_t(round) % std::size(policies)].first;
        QueueOptions options {
            .policy = policy, .queue_depth = 5 + random() % 40, .reservation_depth = 1 + random() % 8};
        int64_t procs = 4 + int64_t(random() % 30);
        Watched kept(procs, options), anew(procs, options);
        Graph graph = flat(procs);
        std::map<int64_t, Time> running;
        Time now = 0;
        int64_t next = 1;
        std::vector<int64_t> queued_ids;
        for (int step = 0; step < 120; step++) {
            now += Time(random() % 4);
            for (auto [id, end] : std::map(running))
                if (end <= now ? random() % 4 != 0 : random() % 8 == 0) {
                    kept.queue.freed(end);
                    ASSERT_TRUE(kept.matcher.cancel(id) && anew.matcher.cancel(id));
                    running.erase(id);
                }
            for (unsigned count = random() % 4; count > 0; count--) {
                TraceJob job {int(next), now, 1, 1 + int64_t(random() % 40), 1 + int64_t(random()) % procs};
                auto one = queued(graph, job, next++);
                one.priority = random() % 4 ? 16 : int64_t(random() % 32);
                kept.queue.insert(one);
                anew.queue.insert(one);
                queued_ids.push_back(one.id);
            }
            std::erase_if(queued_ids, [&](int64_t id) { return !kept.queue.find(id); });
            if (random() % 3 == 0 && !queued_ids.empty()) {
                int64_t id = queued_ids[random() % queued_ids.size()];
                if (random() % 2) {
                    auto priority = int64_t(random() % 32);
                    ASSERT_TRUE(kept.queue.set_priority(id, priority) &&
                                anew.queue.set_priority(id, priority));
                } else {
                    ASSERT_TRUE(kept.queue.remove(id, kept.matcher) && anew.queue.remove(id, anew.matcher));
                    kept.estimates.erase(id);
                    anew.estimates.erase(id);
                }
            }
            anew.queue.restart();
            if (kept.queue.next_estimate() <= now) // as a scheduler does when somebody goes on after his time
                kept.queue.restart();
            auto started = kept.pass(now, 1 + random() % 5);
            ASSERT_EQ(started, anew.pass(now, 1000)) << "round " << round << " step " << step;
            ASSERT_EQ(kept.estimates, anew.estimates) << "round " << round << " step " << step;
            running.insert(started.begin(), started.end());
        }
    }
}

TEST(QueuePolicy, PlansInterchangeableResourcesAsAPool)
{
    std::mt19937 random(5);
    for (int round = 0; round < 40; round++) {
        int64_t procs = 1 + int64_t(random() % 20);
        auto jobs = random_trace(random, procs);
        for (auto [policy, replayed] : policies) {
            QueueOptions options {.policy = policy, .queue_depth = 1000, .reservation_depth = 3};
            auto expected = replay(jobs, {.policy = replayed, .procs = procs, .depth = 3}).starts;
            ASSERT_EQ(starts_of(jobs, flat(procs), ask_cores, options, random), expected);
            ASSERT_EQ(starts_of(jobs, machine({.nodes = int(procs)}), ask_nodes, options, random), expected);
            auto mixed = [](const TraceJob &job) {
                return job.number % 3 ? ask_slots(job) : ask_nodes(job);
            };
            for (const auto *exclusive : {"lonodex", "firstnodex"})
                ASSERT_EQ(starts_of(jobs, machine({.nodes = int(procs)}), mixed, options, random, exclusive),
                          expected);
        }
    }
}

TEST(QueuePolicy, KeepsItsPromisesWhereResourcesDiffer)
{
    constexpr int nodes = 4;
    auto ask = [](const TraceJob &job) {
        switch (job.number % 3) {
        case 0:
            return ask_cores(job);
        case 1: // together on a node
            return fmt::format(
                R"([{{"type":"slot","count":1,"label":"s","with":[{{"type":"core","count":{}}}]}}])",
                1 + job.procs % 8);
        default:
            return ask_nodes({.procs = 1 + job.procs % nodes});
        }
    };
    std::mt19937 random(6);
    for (int round = 0; round < 40; round++)
        for (auto [policy, replayed] : policies) {
            auto jobs = random_trace(random, 16);
            QueueOptions options {.policy = policy, .queue_depth = 1000, .reservation_depth = 3};
            auto starts = starts_of(jobs, machine({.nodes = nodes}), ask, options, random);
            EXPECT_EQ(std::ranges::count(starts, -1), 0);
        }
}

// Others, and what goes down, leave no more than is held.
TEST(QueuePolicy, HoldsNumbersAgainstEverybody)
{
    Matcher matcher(machine({.nodes = 4}), {.policy = value_or_throw(Policy::parse("low"))});
    const Graph &graph = matcher.graph();
    JobQueue queue({.policy = QueueOptions::Policy::easy});
    queue.insert(queued(graph, {1, 0, 100, 100, 2}, 1, ask_nodes)); // starts, until 100
    queue.insert(queued(graph, {2, 0, 100, 100, 4}, 2, ask_nodes)); // waits until 100
    std::vector<QueueDecision> decisions;
    EXPECT_TRUE(queue.plan(matcher, 0, 100, decisions));
    ASSERT_TRUE(matcher.find(2));
    EXPECT_EQ(matcher.find(2)->start, 100);
    EXPECT_TRUE(matcher.find(2)->allocation.empty());
    auto cores = [&](Time duration) {
        auto request =
            request_of(graph, R"([{"type":"slot","count":1,"label":"s","with":[{"type":"core","count":2}]}])",
                       fmt::format(R"({{"duration":{}}})", duration));
        return matcher.match(MatchOp::allocate_orelse_reserve, 3, request, 0);
    };
    auto beside = cores(101); // reaches into the time of the four nodes
    ASSERT_TRUE(beside);
    EXPECT_EQ(beside->use.start, 200);
    EXPECT_TRUE(matcher.cancel(3));
    beside = cores(100);
    ASSERT_TRUE(beside);
    EXPECT_EQ(beside->use.start, 0);
    EXPECT_TRUE(matcher.cancel(3));
    auto third = queued(graph, {3, 0, 300, 300, 2}, 3, ask_nodes);
    EXPECT_EQ(matcher.explain(*third.request, 0), "needs 2 nodes: 0 free, 2 allocated (next free 100), 2 "
                                                  "reserved for other jobs");
    EXPECT_TRUE(queue.remove(2, matcher));
    matcher.set_down(graph.hosts()[3], true);
    queue.machine_changed();
    queue.insert(queued(graph, {4, 0, 50, 50, 3}, 4, ask_nodes));
    queue.insert(queued(graph, {5, 0, 100, 100, 4}, 5, ask_nodes)); // more than is up: nobody knows when
    decisions.clear();
    EXPECT_TRUE(queue.plan(matcher, 0, 100, decisions));
    EXPECT_EQ(matcher.find(4)->start, 100);
    EXPECT_FALSE(matcher.find(5));
    EXPECT_TRUE(queue.is_blocked(5));
}

// A type that is new to the machine makes all use be entered anew: what is held is counted once all the same.
TEST(QueuePolicy, ForgetsWhatWasHeldAlsoWhenTheMachineHasGrownMeanwhile)
{
    Matcher matcher(machine({.nodes = 4}), {.policy = value_or_throw(Policy::parse("low"))});
    const Graph &graph = matcher.graph();
    JobQueue queue({.policy = QueueOptions::Policy::easy});
    queue.insert(queued(graph, {1, 0, 100, 100, 2}, 1, ask_nodes)); // starts
    queue.insert(queued(graph, {2, 0, 100, 100, 4}, 2, ask_nodes)); // waits
    std::vector<QueueDecision> decisions;
    EXPECT_TRUE(queue.plan(matcher, 0, 100, decisions));
    VertexId rack = graph[graph.hosts()[0]].parent;
    matcher.grow({rack}, [&](Graph &grown) {
        VertexId node = grown.add(rack, {.type = "node", .id = 4, .rank = 4});
        grown.add(node, {.type = "fpga"});
    });
    EXPECT_TRUE(queue.remove(2, matcher));
    EXPECT_TRUE(matcher.cancel(1));
    auto core =
        request_of(graph, R"([{"type":"slot","count":1,"label":"s","with":[{"type":"core","count":1}]}])");
    for (int64_t id = 10; id < 10 + 4 * 8; id++)
        ASSERT_TRUE(matcher.match(MatchOp::allocate, id, core, 0)) << id;
}

TEST(QueuePolicy, PlansInSlices)
{
    Matcher matcher(flat(1), {.policy = value_or_throw(Policy::parse("low"))});
    JobQueue queue({.policy = QueueOptions::Policy::conservative});
    for (int64_t id = 1; id <= 10; id++)
        queue.insert(queued(matcher.graph(), {id, id, 10, 10, 1}, id));
    std::vector<QueueDecision> decisions;
    for (size_t slice = 1; slice <= 10; slice++) {
        EXPECT_EQ(queue.plan(matcher, 0, 1, decisions), slice == 10);
        EXPECT_EQ(decisions.size(), slice);
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

TEST(QueuePolicy, WhatHasBecomeImpossibleWaitsAndHoldsUpNobody)
{
    for (auto policy :
         {QueueOptions::Policy::fcfs, QueueOptions::Policy::easy, QueueOptions::Policy::conservative}) {
        Matcher matcher(machine({.nodes = 4}), {.policy = value_or_throw(Policy::parse("low"))});
        const Graph &graph = matcher.graph();
        JobQueue queue({.policy = policy});
        auto wide = queued(graph, {1, 0, 10, 10, 4}, 1, ask_nodes);
        wide.was_possible = true;
        queue.insert(wide);
        queue.insert(queued(graph, {2, 1, 10, 10, 1}, 2, ask_nodes));
        matcher.shrink(graph.hosts()[3]);
        queue.machine_changed();
        std::vector<QueueDecision> decisions;
        EXPECT_TRUE(queue.plan(matcher, 0, 100, decisions));
        ASSERT_EQ(decisions.size(), 1u);
        EXPECT_EQ(decisions[0].id, 2);
        EXPECT_EQ(decisions[0].kind, QueueDecision::Kind::start);
        EXPECT_TRUE(matcher.cancel(2));
        matcher.grow({graph.root()}, [](Graph &growing) {
            VertexId node = growing.add(growing.root(), {.type = "node", .id = 3, .rank = 3});
            growing.add_many(node, {.type = "core"}, 8, 1);
        });
        queue.machine_changed();
        decisions.clear();
        EXPECT_TRUE(queue.plan(matcher, 0, 100, decisions));
        ASSERT_EQ(decisions.size(), 1u);
        EXPECT_EQ(decisions[0].id, 1);
    }
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
    for (auto [policy, replayed] : policies) {
        Matcher matcher(machine({.nodes = 4, .gpus = 0}),
                        {.policy = value_or_throw(graph::Policy::parse("lonode"))});
        auto result = replay_on_graph(jobs, matcher, {.policy = policy, .queue_depth = 1000});
        EXPECT_EQ(std::ranges::count(result.starts, -1), 0);
        EXPECT_TRUE(matcher.jobs().empty());
        EXPECT_EQ(result.starts, replay(jobs, {.policy = replayed, .procs = 32}).starts);
    }
}
