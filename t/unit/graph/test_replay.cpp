// Trace replay: the figures of known traces, and random traces against a scheduler that plans everything anew
// at every event on an array of seconds.
#include <gtest/gtest.h>

#include <random>
#include <zlib.h>

#include "common/graph/replay.hpp"
#include "common/graph/swf.hpp"

using namespace flux::graph;

namespace {

std::string read_gzip(const char *path)
{
    gzFile file = gzopen(path, "rb");
    EXPECT_TRUE(file) << path;
    std::string text;
    char buffer[1 << 16];
    for (int got; (got = gzread(file, buffer, sizeof buffer)) > 0;)
        text.append(buffer, size_t(got));
    gzclose(file);
    return text;
}

class SlowScheduler {
public:
    SlowScheduler(const std::vector<TraceJob> &jobs, const ReplayOptions &options)
        : jobs_(jobs), options_(options), starts_(jobs.size(), -1), horizon_(1)
    {
        for (const auto &job : jobs)
            horizon_ += job.submit + job.estimate;
    }
    std::vector<int64_t> run()
    {
        for (now_ = 0; std::ranges::count(starts_, -1) > 0; now_++)
            if (event())
                pass();
        return starts_;
    }

private:
    bool event() const
    {
        for (size_t i = 0; i < jobs_.size(); i++)
            if (jobs_[i].submit == now_ || (starts_[i] >= 0 && starts_[i] + jobs_[i].run == now_))
                return true;
        return false;
    }
    void use(size_t job, int64_t start)
    {
        for (int64_t t = start; t < start + jobs_[job].estimate; t++)
            used_[size_t(t)] += jobs_[job].procs;
    }
    bool fits(size_t job, int64_t start) const
    {
        for (int64_t t = start; t < start + jobs_[job].estimate; t++)
            if (used_[size_t(t)] + jobs_[job].procs > options_.procs)
                return false;
        return true;
    }
    void pass()
    {
        used_.assign(size_t(2 * horizon_), 0);
        for (size_t i = 0; i < jobs_.size(); i++)
            if (starts_[i] >= 0 && starts_[i] + jobs_[i].run > now_)
                use(i, starts_[i]);
        size_t reserved = 0;
        size_t depth = options_.policy == ReplayPolicy::conservative ? jobs_.size()
                       : options_.policy == ReplayPolicy::hybrid     ? options_.depth
                       : options_.policy == ReplayPolicy::easy       ? 1
                                                                     : 0;
        for (size_t i = 0; i < jobs_.size(); i++) {
            if (starts_[i] >= 0 || jobs_[i].submit > now_)
                continue;
            int64_t at = now_;
            if (reserved < depth || depth == 0)
                while (!fits(i, at))
                    at++;
            else if (!fits(i, at))
                continue;
            if (depth == 0 && at > now_)
                return;
            use(i, at);
            if (at == now_)
                starts_[i] = now_;
            else
                reserved++;
        }
    }

    std::vector<TraceJob> jobs_;
    ReplayOptions options_;
    std::vector<int64_t> starts_;
    int64_t horizon_;
    int64_t now_ = 0;
    std::vector<int64_t> used_;
};

std::vector<TraceJob> random_jobs(std::mt19937 &random, size_t count, int64_t procs)
{
    std::vector<TraceJob> jobs;
    int64_t submit = 0;
    for (size_t i = 0; i < count; i++) {
        submit += int64_t(random() % 8);
        TraceJob job {int64_t(i), submit, 1 + int64_t(random() % 30), 0, 1 + int64_t(random()) % procs};
        if (random() % 2)
            job.procs = 1 + job.procs / 4;
        job.estimate = job.run + (random() % 2 ? int64_t(random() % 30) : 0);
        // Jobs of one shape that follow each other are planned together.
        if (!jobs.empty() && random() % 3 == 0) {
            job.procs = jobs.back().procs;
            job.estimate = jobs.back().estimate;
            job.run = std::min(job.run, job.estimate);
        }
        jobs.push_back(job);
    }
    return jobs;
}

} // namespace

struct Known {
    const char *trace;
    int64_t procs;
    size_t jobs;
    ReplayPolicy policy;
    int64_t mean_wait;
    const char *slowdown;
};

class KnownTraces : public testing::TestWithParam<Known> {};

TEST_P(KnownTraces, ComeOutExactly)
{
    const auto &known = GetParam();
    auto trace = parse_swf(read_gzip(known.trace), known.procs);
    ASSERT_TRUE(trace) << trace.error().text();
    EXPECT_EQ(trace->jobs.size(), known.jobs);
    auto result = replay(trace->jobs, {.policy = known.policy, .procs = known.procs});
    auto summary = summarize(trace->jobs, result, known.procs);
    EXPECT_EQ(std::llround(summary.mean_wait), known.mean_wait);
    EXPECT_EQ(fmt::format("{:.2f}", summary.bounded_slowdown), known.slowdown);
}

constexpr const char *kth = "data/traces/KTH-SP2-1996-2.1-cln.swf.gz";
constexpr const char *lublin = "data/traces/lublin_256.swf.gz";
INSTANTIATE_TEST_SUITE_P(Replay, KnownTraces,
                         testing::Values(Known {kth, 100, 28467, ReplayPolicy::fcfs, 353950, "6818.32"},
                                         Known {kth, 100, 28467, ReplayPolicy::easy, 6837, "92.73"},
                                         Known {kth, 100, 28467, ReplayPolicy::conservative, 7940, "101.87"},
                                         Known {lublin, 256, 10000, ReplayPolicy::easy, 97156, "590.05"},
                                         Known {lublin, 256, 10000, ReplayPolicy::conservative, 131568,
                                                "489.20"}));

TEST(Replay, GivesWhatPlanningEverythingAtEveryEventGives)
{
    std::mt19937 random(99);
    for (int round = 0; round < 200; round++) {
        int64_t procs = 1 + int64_t(random() % 20);
        auto jobs = random_jobs(random, 5 + random() % 60, procs);
        for (auto policy :
             {ReplayPolicy::fcfs, ReplayPolicy::easy, ReplayPolicy::hybrid, ReplayPolicy::conservative}) {
            ReplayOptions options {.policy = policy, .procs = procs, .depth = 1 + random() % 4};
            options.mark_distance = 1 + random() % 5; // many marks in queues that are short here
            auto starts = replay(jobs, options).starts;
            ASSERT_EQ(starts, SlowScheduler(jobs, options).run())
                << "round " << round << " policy " << int(policy);
        }
    }
}

TEST(Swf, SaysWhichLineIsWrong)
{
    auto trace = parse_swf("; MaxProcs: 8\n1 0 -1 10 4\n2 x -1 10 4\n");
    ASSERT_FALSE(trace);
    EXPECT_EQ(trace.error().text(), "line 3: field 2 of a job is \"x\", not a number");
    EXPECT_FALSE(parse_swf("1 2 3\n"));
    trace = parse_swf("; MaxNodes: 8\n2 5 -1 10 4 -1 -1 -1 7\n\n1 5 -1 10 9\n3 1 -1 0 1\n");
    ASSERT_TRUE(trace);
    EXPECT_EQ(trace->max_procs, 8);
    EXPECT_EQ(trace->skipped, 2u);
    ASSERT_EQ(trace->jobs.size(), 1u);
    EXPECT_EQ(trace->jobs[0].run, 7);
}
