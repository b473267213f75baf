#include "common/graph/graph_replay.hpp"

#include <algorithm>
#include <chrono>
#include <queue>

namespace flux::graph {

namespace {

constexpr size_t unlimited_effort = SIZE_MAX / 2;

class GraphSimulation {
public:
    GraphSimulation(std::span<const TraceJob> jobs, Matcher &matcher, const QueueOptions &options)
        : jobs_(jobs), matcher_(matcher), queue_(options)
    {
        result_.starts.assign(jobs.size(), -1);
    }

    ReplayResult run()
    {
        size_t next = 0;
        while (next < jobs_.size() || !ends_.empty()) {
            now_ = next < jobs_.size() ? jobs_[next].submit : INT64_MAX;
            if (!ends_.empty())
                now_ = std::min(now_, ends_.top().first);
            for (; !ends_.empty() && ends_.top().first == now_; ends_.pop())
                complete(ends_.top().second);
            for (; next < jobs_.size() && jobs_[next].submit == now_; next++)
                queue_.insert({int64_t(next), 0, double(now_), request_of(jobs_[next])});
            result_.longest_queue = std::max(result_.longest_queue, queue_.size());
            pass();
            result_.samples.push_back({now_, used_, int64_t(queue_.size())});
        }
        return std::move(result_);
    }

private:
    std::shared_ptr<const JobRequest> request_of(const TraceJob &job)
    {
        auto &shape = shapes_[job.procs];
        if (shape.resources.empty()) {
            Json core {{"type", "core"}, {"count", 1}};
            Json slot {{"type", "slot"},
                       {"count", job.procs},
                       {"label", "task"},
                       {"with", Json::array().append(core)}};
            Json task {{"command", Json::array().append("task")},
                       {"slot", "task"},
                       {"count", Json {{"per_slot", 1}}}};
            Json jobspec {{"version", 1},
                          {"resources", Json::array().append(slot)},
                          {"tasks", Json::array().append(task)},
                          {"attributes", Json {{"system", Json {{"duration", 0}}}}}};
            shape =
                value_or_throw(compile_request(value_or_throw(Jobspec::parse(jobspec)), matcher_.graph()));
        }
        auto request = std::make_shared<JobRequest>(shape);
        request->duration = job.estimate;
        return request;
    }

    void complete(size_t job)
    {
        queue_.freed(matcher_.find(int64_t(job))->end);
        if (auto gone = matcher_.cancel(int64_t(job)); !gone)
            throw gone.error();
        used_ -= jobs_[job].procs;
    }

    void pass()
    {
        std::vector<QueueDecision> decisions;
        auto begin = std::chrono::steady_clock::now();
        while (!queue_.plan(matcher_, now_, unlimited_effort, decisions)) {
        }
        result_.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
        result_.passes++;
        for (const auto &decision : decisions) {
            if (decision.kind != QueueDecision::Kind::start)
                continue;
            auto job = size_t(decision.id);
            result_.starts[job] = now_;
            used_ += jobs_[job].procs;
            ends_.emplace(now_ + jobs_[job].run, job);
        }
    }

    using Event = std::pair<int64_t, size_t>; // time, job

    std::span<const TraceJob> jobs_;
    Matcher &matcher_;
    JobQueue queue_;
    ReplayResult result_;
    std::map<int64_t, JobRequest> shapes_; // by processors
    std::priority_queue<Event, std::vector<Event>, std::greater<Event>> ends_;
    Time now_ = 0;
    int64_t used_ = 0;
};

} // namespace

ReplayResult replay_on_graph(std::span<const TraceJob> jobs, Matcher &matcher, const QueueOptions &options)
{
    return GraphSimulation(jobs, matcher, options).run();
}

} // namespace flux::graph
