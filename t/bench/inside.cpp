// The client's side: every scenario returns {"value": ...} in the unit of its row.
#include <unistd.h>

#include <fstream>
#include <list>
#include <sstream>

#include "bench/bench.hpp"
#include "common/client/session.hpp"
#include "common/job/jobspec_builder.hpp"
#include "common/job/sign.hpp"
#include "common/kvs/txn.hpp"

namespace flux::bench {

namespace {

constexpr size_t window = 1000; // requests under way in a pipelined scenario

Task<double> serial_rpcs(Handle &handle, std::string topic, Payload payload, uint32_t nodeid, int count)
{
    RpcOptions options {.nodeid = nodeid};
    double start = now();
    for (int i = 0; i < count; i++)
        co_await handle.rpc(topic, payload, options);
    co_return count / (now() - start);
}

using MakePayload = std::function<Payload(int)>;

Task<double> pipelined_rpcs(Handle &handle, std::string topic, MakePayload make, int count)
{
    std::list<Rpc> under_way;
    RpcOptions options;
    double start = now();
    for (int i = 0; i < count; i++) {
        if (under_way.size() == window) {
            Rpc &oldest = under_way.front();
            co_await oldest;
            under_way.pop_front();
        }
        under_way.emplace_back(handle, Message::request(topic, make(i)), options);
    }
    for (auto &rpc : under_way)
        co_await rpc;
    co_return count / (now() - start);
}

Json rank_request()
{
    return Json {{"name", "rank"}};
}

Json commit_request(int i)
{
    kvs::Txn txn;
    txn.put(fmt::format("bench.{}", i % 1000), std::to_string(i));
    return Json {{"namespace", "primary"}, {"flags", 0}, {"ops", txn.ops()}};
}

Task<double> serial_commits(Handle &handle, int count)
{
    double start = now();
    for (int i = 0; i < count; i++) {
        Json request = commit_request(i);
        co_await handle.rpc("kvs.commit", request);
    }
    co_return count / (now() - start);
}

// One signed jobspec: what a thousand submissions of one command share.
Json submission(bool mock)
{
    TaskRequest request;
    request.command = {"/bin/true"};
    auto builder = value_or_throw(JobspecBuilder::for_tasks(request));
    builder.cwd("/").environment(Json {{"PATH", "/bin:/usr/bin"}});
    if (mock)
        builder.attribute("exec.test.run_duration", Json("0.001s"));
    return Json {{"J", sign_none(uint32_t(getuid()), builder.json().dump())}, {"urgency", 16}, {"flags", 0}};
}

Task<> drained(Handle &handle)
{
    co_await handle.rpc("job-manager.drain");
}

// Jobs per second, from the first submission until none is active.
Task<double> run_jobs(Handle &handle, int count, bool mock)
{
    Payload request(submission(mock));
    double start = now();
    co_await pipelined_rpcs(
        handle, "job-ingest.submit", [&](int) { return request; }, count);
    co_await drained(handle);
    co_return count / (now() - start);
}

// Submissions alone; the jobs wait for a queue that is stopped.
Task<double> submissions(Handle &handle, int count)
{
    Payload request(submission(true));
    Json stop {{"start", false}, {"all", true}, {"nocheckpoint", true}, {"reason", "bench"}};
    co_await handle.rpc("job-manager.queue-start", stop);
    co_return co_await pipelined_rpcs(
        handle, "job-ingest.submit", [&](int) { return request; }, count);
}

// From /proc/PID/status or smaps_rollup, bytes.
double memory_of(const std::string &pid, std::string file, std::string field)
{
    std::ifstream in("/proc/" + pid + "/" + file);
    for (std::string line; std::getline(in, line);)
        if (line.starts_with(field + ":"))
            return std::stod(line.substr(field.size() + 1)) * 1024;
    return 0;
}

// User and system time of a process so far, seconds.
double cpu_of(const std::string &pid)
{
    std::ifstream in("/proc/" + pid + "/stat");
    std::string text {std::istreambuf_iterator<char>(in), {}};
    std::istringstream fields(text.substr(text.rfind(')') + 2));
    std::string field;
    constexpr int before_utime = 11; // fields between the name and utime
    for (int i = 0; i < before_utime; i++)
        fields >> field;
    double user = 0, system = 0;
    fields >> user >> system;
    return (user + system) / double(sysconf(_SC_CLK_TCK));
}

Json memory_per_job(Session &flux, int count)
{
    auto pid = flux.attribute("broker.pid");
    flux.run(run_jobs(flux.handle(), count / 4, true));
    double before = memory_of(pid, "status", "VmRSS");
    flux.run(run_jobs(flux.handle(), count - count / 4, true));
    double after = memory_of(pid, "status", "VmRSS");
    return Json {{"value", after / 1e6}, {"per_job", (after - before) / double(count - count / 4)}};
}

Json memory_of_all(Session &flux)
{
    double sum = 0;
    uint32_t size = flux.size();
    for (uint32_t rank = 0; rank < size; rank++) {
        Json answer = flux.rpc("attr.get", Json {{"name", "broker.pid"}}, {.nodeid = rank});
        sum += memory_of(answer.get<std::string>("value"), "smaps_rollup", "Pss");
    }
    return Json {{"value", sum / 1e6}};
}

// Wall time of a command, in ms; `between` one and the next is not counted.
double command_ms(
    const std::vector<std::string> &argv, int count, const std::function<void()> &between = [] {})
{
    std::vector<double> times;
    for (int i = 0; i < count; i++) {
        auto done = run_program(argv, 20);
        if (done.status != 0)
            throw Error(EIO, "{} failed with status {:#x}", argv[1], done.status);
        times.push_back(done.seconds * 1e3);
        between();
    }
    return median(times);
}

} // namespace

Json run_inside(const std::string &scenario, int count, const std::string &bin)
{
    Session flux;
    auto &handle = flux.handle();
    auto pid = flux.attribute("broker.pid");
    double value = 0, cpu = cpu_of(pid);
    if (scenario == "rpc-serial")
        value = flux.run(serial_rpcs(handle, "attr.get", rank_request(), nodeid_any, count));
    else if (scenario == "rpc-hop")
        value = flux.run(serial_rpcs(handle, "attr.get", rank_request(), 1, count));
    else if (scenario == "rpc-pipelined")
        value = flux.run(pipelined_rpcs(
            handle, "attr.get", [request = Payload(rank_request())](int) { return request; }, count));
    else if (scenario == "kvs-serial")
        value = flux.run(serial_commits(handle, count));
    else if (scenario == "kvs-pipelined")
        value = flux.run(pipelined_rpcs(handle, "kvs.commit", commit_request, count));
    else if (scenario == "submit")
        value = flux.run(submissions(handle, count));
    else if (scenario == "jobs-mock" || scenario == "jobs-real")
        value = flux.run(run_jobs(handle, count, scenario == "jobs-mock"));
    else if (scenario == "memory-per-job")
        return memory_per_job(flux, count);
    else if (scenario == "memory-of-all")
        return memory_of_all(flux);
    else if (scenario == "flux-submit") // alone: the job that it submits ends before the next begins
        value = command_ms({bin + "/flux", "submit", "--quiet", "true"}, count, [&] { flux.run(drained(handle)); });
    else if (scenario == "flux-submit-row")
        value = command_ms({bin + "/flux", "submit", "--quiet", "true"}, count);
    else if (scenario == "flux-jobs")
        value = command_ms({bin + "/flux", "jobs", "-a"}, count);
    else
        throw Error(EINVAL, "there is no scenario {}", scenario);
    return Json {{"value", value}, {"cpu_us", (cpu_of(pid) - cpu) / count * 1e6}};
}

} // namespace flux::bench
