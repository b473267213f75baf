#include "sim/instance_replay.hpp"

#include <chrono>
#include <cmath>

#include "common/graph/emit.hpp"
#include "common/job/jobspec_builder.hpp"
#include "common/job/sign.hpp"
#include "common/types/job_id.hpp"
#include "sim/forget.hpp"
#include "sim/world.hpp"

namespace flux::sim {

namespace {

constexpr size_t max_machine_vertices = 200'000;
constexpr int urgency = 16;
constexpr Duration longest_replay = std::chrono::hours(24 * 365 * 200); // virtual
constexpr size_t kept_jobs = 1000;           // inactive ones; others are purged, that memory stays in bounds
constexpr size_t least_forgotten = 64 << 20; // bytes
constexpr const char *modules = R"(content
kvs
resource
job-manager
job-ingest
sched
job-exec
)";

const char *policy_name(graph::QueueOptions::Policy policy)
{
    static constexpr const char *names[] = {"fcfs", "easy", "hybrid", "conservative"};
    return names[size_t(policy)];
}

Json configuration(const InstanceOptions &options)
{
    Json depths {{"queue-depth", options.queue.queue_depth},
                 {"max-queue-depth", options.queue.max_queue_depth},
                 {"reservation-depth", options.queue.reservation_depth},
                 {"max-reservation-depth", options.queue.max_reservation_depth}};
    Json matching = Json::object();
    if (!options.match_policy.empty())
        matching.set("match-policy", options.match_policy);
    return Json {{"fake-resources", Json {{"R", options.machine.to_json()}}},
                 {"sched-fluxion-resource", matching},
                 {"sched-fluxion-qmanager",
                  Json {{"queue-policy", policy_name(options.queue.policy)}, {"queue-params", depths}}}};
}

// One processor a task.
std::string signed_jobspec(const graph::TraceJob &job)
{
    TaskRequest request;
    request.command = {"task"};
    request.ntasks = uint64_t(job.procs);
    request.cores_per_task = 1;
    auto builder = value_or_throw(JobspecBuilder::for_tasks(request));
    builder.duration(double(job.estimate)).cwd("/").environment(Json::object());
    builder.attribute("system.exec.test.run_duration", fmt::format("{}s", job.run));
    return sign_none(instance_owner, builder.json().dump());
}

class InstanceReplay {
public:
    InstanceReplay(std::span<const graph::TraceJob> jobs, const InstanceOptions &options)
        : jobs_(jobs), ends_(jobs.size(), -1), procs_(int64_t(options.machine.ncores()))
    {
        Setup setup;
        setup.durable = false;
        setup.config = configuration(options);
        setup.modules = parse_module_list(modules, "modules of a replay");
        setup.socket_delay = {};
        world_.emplace(run_, setup);
        world_->stores().delay = {};
        result_.starts.assign(jobs.size(), -1);
    }

    graph::ReplayResult run()
    {
        auto begin = std::chrono::steady_clock::now();
        try {
            world_->boot();
            client_ = world_->connect(0);
            world_->spawn("journal", follow_journal());
            submit_all();
            while (ended_ < jobs_.size() && world_->sound()) {
                auto pause = [&] {
                    return ended_ == jobs_.size() || !world_->sound() || much_stored();
                };
                if (!world_->run_until(pause, longest_replay))
                    throw Error(EPROTO, "{} of {} jobs never ended", jobs_.size() - ended_, jobs_.size());
                finish_instant(world_->loop().now());
            }
            world_->run("statistics", count_passes(), std::chrono::seconds(1));
            client_.reset();
        } catch (const Stuck &) {
        }
        if (!world_->sound())
            throw Error(EPROTO, "the simulated instance failed: {}", run_.violations.front());
        look_back();
        result_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
        return std::move(result_);
    }

private:
    // What is due at an instant happens before anything is submitted then.
    void submit_all()
    {
        begin_ = std::chrono::ceil<std::chrono::seconds>(world_->loop().now());
        for (size_t next = 0; next < jobs_.size() && world_->sound();) {
            int64_t now = jobs_[next].submit;
            finish_instant(begin_ + std::chrono::seconds(now - jobs_[0].submit));
            for (; next < jobs_.size() && jobs_[next].submit == now; next++)
                world_->spawn("submit", submit(next));
        }
    }
    bool much_stored() { return world_->stores().bytes() > forget_above_; }
    // Then nothing is under way.
    void finish_instant(Duration when)
    {
        world_->loop().run_until_time(when);
        if (much_stored())
            world_->run("forgetting", forget(), std::chrono::seconds(1));
    }
    Task<> submit(size_t job)
    {
        Json args {{"J", signed_jobspec(jobs_[job])}, {"urgency", urgency}, {"flags", 0}};
        auto answer = co_await client_->handle().rpc("job-ingest.submit", args);
        job_of_[answer.json().get<uint64_t>("id")] = job;
    }

    Task<> follow_journal()
    {
        Json wanted {{"start", 1}, {"finish", 1}, {"exception", 1}};
        auto journal = client_->handle().stream("job-manager.events-journal", Json {{"allow", wanted}});
        while (ended_ < jobs_.size()) {
            auto message = co_await journal.next();
            if (!message)
                co_return;
            for (auto event : message->json()["events"].elements())
                note(message->json().get<uint64_t>("id"), event);
            if (ended_ >= purged_ + 2 * kept_jobs)
                world_->spawn("purge", purge());
        }
    }
    void note(uint64_t id, const Json &event)
    {
        auto found = job_of_.find(id);
        auto name = event["name"].string_view();
        if (found == job_of_.end())
            throw Error(EPROTO, "event {} of job {}, which was not submitted", name, JobId(id));
        size_t job = found->second;
        double since = event.get<double>("timestamp") - SimClock::wall_start - to_seconds(begin_);
        auto when = jobs_[0].submit + std::llround(since);
        if (name == "start") {
            result_.starts[job] = when;
        } else if (name == "finish") {
            ends_[job] = when;
            ended_++;
            job_of_.erase(found);
            if (when - result_.starts[job] != jobs_[job].run)
                throw Error(EPROTO, "job {} of the trace ran for {} s, not for {}", jobs_[job].number,
                            when - result_.starts[job], jobs_[job].run);
        } else if (auto type = event["context"]["type"].string_view(); type != "timeout") {
            throw Error(EPROTO, "job {} of the trace failed: {}: {}", jobs_[job].number, type,
                        event["context"]["note"].string_view());
        }
    }
    Task<> purge()
    {
        purged_ += kept_jobs;
        Json args {{"num_limit", kept_jobs}, {"batch", kept_jobs}, {"force", true}};
        co_await client_->handle().rpc("job-manager.purge", args);
    }
    Task<> forget()
    {
        auto left = co_await forget_unreachable(client_->handle(), world_->stores());
        forget_above_ = 2 * left + least_forgotten;
    }
    Task<> count_passes()
    {
        auto stats = co_await client_->handle().rpc("sched.stats-get");
        for (auto [name, queue] : stats.json()["queues"].members())
            result_.passes += queue["action_counts"].get<uint64_t>("passes");
    }

    // The queue and the processors in use over time, from when jobs were submitted, began and ended.
    void look_back()
    {
        struct Change {
            int64_t used = 0, submitted = 0, started = 0;
        };
        std::map<int64_t, Change> changes;
        for (size_t job = 0; job < jobs_.size(); job++) {
            changes[jobs_[job].submit].submitted++;
            auto &start = changes[result_.starts[job]];
            start.started++;
            start.used += jobs_[job].procs;
            changes[ends_[job]].used -= jobs_[job].procs;
        }
        graph::ReplaySample now {};
        for (const auto &[time, change] : changes) {
            now.time = time;
            now.used += change.used;
            result_.longest_queue = std::max(result_.longest_queue, size_t(now.queued + change.submitted));
            now.queued += change.submitted - change.started;
            if (now.used > procs_)
                throw Error(EPROTO, "at {} s {} processors of {} were in use", time, now.used, procs_);
            result_.samples.push_back(now);
        }
    }

    std::span<const graph::TraceJob> jobs_;
    std::vector<int64_t> ends_;
    int64_t procs_;
    graph::ReplayResult result_;
    Run run_ {.workload = "replay", .seed = 1, .size = 1};
    std::optional<World> world_;
    Duration begin_ {};                           // of the trace
    std::unordered_map<uint64_t, size_t> job_of_; // active ones
    size_t ended_ = 0;
    size_t purged_ = 0;
    size_t forget_above_ = least_forgotten; // bytes in the content store
    ClientPtr client_;
};

} // namespace

ResourceSet flat_resources(int64_t cores)
{
    ResourceSet out;
    out.add_node(0, "node0", Idset::iota(uint32_t(cores)));
    return out;
}

Expected<ResourceSet> resources_of(const graph::Graph &machine)
{
    constexpr const char *instead = "; --engine=graph takes it";
    if (machine.size() > max_machine_vertices)
        return fail(EINVAL, "it has {} vertices, and an instance takes at most {}{}", machine.size(),
                    max_machine_vertices, instead);
    if (!machine.links().empty())
        return fail(EINVAL, "it has links of subsystem {} beside the tree, which R cannot carry{}",
                    machine.subsystems()[machine.links()[0].subsystem], instead);
    std::map<int, std::pair<graph::VertexId, ResourceSet::NodeShape>> hosts;
    for (graph::VertexId host : machine.hosts()) {
        int rank = machine[host].rank;
        if (rank < 0)
            return fail(EINVAL, "{} has no rank, and R is of ranks{}", machine.path(host), instead);
        if (!hosts.try_emplace(rank, host, ResourceSet::NodeShape {}).second)
            return fail(EINVAL, "{} and {} have the same rank {}, and R has one node of each rank{}",
                        machine.path(hosts.at(rank).first), machine.path(host), rank, instead);
    }
    auto core = machine.find_type("core"), gpu = machine.find_type("gpu");
    for (graph::VertexId v = 0; v < machine.size(); v++) {
        bool is_core = machine[v].type == core;
        if (machine[v].removed || (!is_core && machine[v].type != gpu))
            continue;
        graph::VertexId host = v;
        while (host != graph::no_vertex && !machine.is_host(machine[host].type))
            host = machine[host].parent;
        if (host == graph::no_vertex)
            return fail(EINVAL, "{} is in no node, and R is of nodes{}", machine.path(v), instead);
        if (machine[v].size != 1 || machine[v].id < 0 || machine[v].id > int64_t(Idset::max_id))
            return fail(EINVAL, "{} has size {} and id {}: R has single cores and gpus by their ids{}",
                        machine.path(v), machine[v].size, machine[v].id, instead);
        auto &shape = hosts.at(machine[host].rank).second;
        auto &ids = is_core ? shape.cores : shape.gpus;
        if (ids.contains(uint32_t(machine[v].id)))
            return fail(EINVAL, "{}: its node has another {} with id {}, and R has one of each id{}",
                        machine.path(v), machine.type_name_of(v), machine[v].id, instead);
        ids.add(uint32_t(machine[v].id));
    }
    ResourceSet out;
    for (const auto &[rank, host] : hosts)
        if (!host.second.empty())
            out.add_node(uint32_t(rank), machine.name(host.first), host.second.cores, host.second.gpus);
    out.set_scheduling(graph::emit_jgf(machine, graph::whole_graph(machine), false));
    return out;
}

graph::ReplayResult replay_on_instance(std::span<const graph::TraceJob> jobs, const InstanceOptions &options)
{
    if (jobs.empty())
        return {};
    return InstanceReplay(jobs, options).run();
}

} // namespace flux::sim
