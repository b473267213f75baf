// Tasks that write more than is stored wait for the store: whatever it does, the instance holds a bounded
// part of what they write, and in the end all of it is on record, in order.
#include "common/base/encoding.hpp"
#include "common/kvs/lookup.hpp"
#include "sim/faults.hpp"
#include "sim/jobs.hpp"
#include "sim/workload.hpp"

namespace flux::sim {

namespace {

// As doc/job-exec.md promises: what a job's shells may have said that is not stored, and what each had on its
// way.
constexpr uint64_t most_of_job = 4u << 20;
constexpr uint64_t least_of_rank = 64u << 10;
constexpr uint64_t on_the_way = 64u << 10; // of each shell

struct Flood {
    World &world;
    std::map<JobId, JobPlan> jobs;
    uint64_t allowed = 0; // bytes that rank 0 may hold
    size_t submitters = 0;
};

Task<> submitter(Flood &flood, uint32_t rank)
{
    auto &world = flood.world;
    auto client = world.connect(rank);
    JobPlan plan;
    plan.nnodes = 1 + world.random().below(world.size());
    plan.ntasks = plan.nnodes * (1 + world.random().below(2));
    plan.command = {"flood", fmt::format("{}", (900 + world.random().below(300)) / plan.ntasks)};
    if (world.random().chance(0.3))
        plan = {.command = {"lines", "5"}};
    auto id = co_await submit(client, plan);
    flood.jobs[id] = plan;
    auto ranks = std::max<uint64_t>(plan.nnodes, 1);
    flood.allowed += std::max(most_of_job, ranks * least_of_rank) + ranks * on_the_way;
    flood.submitters--;
}

// Job-exec's record of a job may come to its end later than the job.
Task<> await_record(Flood &flood, ClientPtr client, JobId id)
{
    for (bool done = false; !done;) {
        auto events = value_or_throw(
            parse_eventlog(co_await kvs::get(client->handle(), id.kvs_path("guest.exec.eventlog"))));
        done = events.back().name == "done";
        if (!done)
            co_await flood.world.sleep(100ms);
    }
}

// Each task's lines count down to 1.
Task<> check_output(Flood &flood, ClientPtr client)
{
    for (const auto &[id, plan] : flood.jobs) {
        co_await await_record(flood, client, id);
        std::map<std::string, std::vector<int>> seen; // by task
        auto text = co_await kvs::get(client->handle(), id.kvs_path("guest.output"));
        for (const auto &event : value_or_throw(parse_eventlog(text)))
            if (auto data = event.context.find<std::string>("data"); data && plan.command[0] == "flood")
                seen[event.context.get<std::string>("rank")].push_back(std::stoi(*data));
        if (plan.command[0] != "flood")
            continue;
        int count = std::stoi(plan.command[1]);
        flood.world.expect(seen.size() == plan.ntasks, "job {}: {} of {} tasks have output", id, seen.size(),
                           plan.ntasks);
        std::vector<int> expected(static_cast<size_t>(count));
        std::iota(expected.rbegin(), expected.rend(), 1);
        for (const auto &[task, lines] : seen)
            flood.world.expect(lines == expected,
                               "job {}: task {} wrote {} lines, {} are on record, from {} to {}", id, task,
                               count, lines.size(), lines.front(), lines.back());
    }
}

Task<> check_memory(Flood &flood, ClientPtr client)
{
    auto stats = co_await client->handle().rpc("job-exec.stats-get");
    auto most = stats.json().get<Json>("unstored").get<uint64_t>("most");
    flood.world.expect(most <= flood.allowed,
                       "rank 0 held {} bytes of output that was not stored, {} are allowed", most,
                       flood.allowed);
}

} // namespace

SIM_WORKLOAD(flood, 1, 6)
{
    World world(run);
    auto &random = world.random();
    world.boot();
    Flood flood {world};
    flood.submitters = 1 + random.below(2);
    for (size_t n = flood.submitters; n > 0; n--)
        world.spawn("submitter", submitter(flood, uint32_t(random.below(world.size()))));
    world.finish_clients(patience);
    bool over = false;
    world.spawn("disk", fill_disk(world, over, {.between = 0.1, .repair = 3}));
    world.run_for(seconds(random.unit() * 20));
    over = true;
    world.finish_clients(patience);
    world.stores().failure = 0;
    auto client = world.connect(0);
    world.run("drain", drain(world, client), patience);
    std::set<JobId> ids;
    for (const auto &[id, plan] : flood.jobs)
        ids.insert(id);
    world.run("check", check_jobs(world, client, ids), patience);
    world.run("check output", check_output(flood, client), patience);
    world.run("check memory", check_memory(flood, client), patience);
    client.reset();
    world.shutdown();
}

} // namespace flux::sim
