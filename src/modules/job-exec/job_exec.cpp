#include "modules/job-exec/job_exec.hpp"

#include <csignal>

#include "common/job/eventlog.hpp"
#include "common/job/job_exit.hpp"
#include "common/types/duration.hpp"

namespace flux {

JobExec::JobExec(Context &context) : Module(context), writer_(handle())
{
    serve("launch", role::owner, &JobExec::launch);
    serve("to-shell", role::owner, &JobExec::to_shell);
    if (rank() != 0)
        return;
    serve("start", role::owner, &JobExec::start_job);
    serve("kill", role::owner, &JobExec::kill);
    serve("raise", role::owner, &JobExec::raise);
}

Task<> JobExec::start()
{
    if (rank() != 0)
        co_return;
    Json args {{"service", context().name()}};
    co_await rpc("job-manager.exec-hello", args);
}

Task<> JobExec::stop()
{
    co_await writer_.flush();
}

Json JobExec::stats() const
{
    return Json {{"jobs", runs_.size()}, {"shells", shells_.size()}, {"commits", writer_.commits()}};
}

void JobExec::respond(Run &run, std::string_view type, Json data)
{
    run.request->respond(Json {{"id", run.id.value()}, {"type", type}, {"data", data}});
}

void JobExec::exec_event(const Run &run, std::string_view name, Json context)
{
    writer_.append(run.id.kvs_path("guest.exec.eventlog"),
                   Event {wall_time(), std::string(name), std::move(context)}.encode());
}

Task<> JobExec::start_job(Request request)
{
    auto run = std::make_shared<Run>(loop());
    run->id = JobId(request.get<uint64_t>("id"));
    run->userid = request.get<uint32_t>("userid");
    run->request = &request;
    run->jobspec = request.get<Json>("jobspec");
    run->R = value_or_throw(ResourceSet::from_json(request.get<Json>("R")));
    for (const auto &node : run->R.nodes())
        run->ranks.push_back(node.rank);
    runs_[run->id] = run;
    exec_event(*run, "init");
    exec_event(*run, "starting");
    if (run->R.expiration() > 0)
        run->limit = Timer(loop(), seconds(run->R.expiration() - wall_time()), [this, raw = run.get()] {
            respond(*raw, "exception",
                    Json {{"severity", 0}, {"type", "timeout"}, {"note", "resource allocation expired"}});
            stop_job(*raw);
        });
    Json test = run->jobspec.at("attributes", "system", "exec", "test");
    if (test) {
        auto duration = test["run_duration"];
        co_await run_mock(run, duration.is_number()
                                   ? duration.as<double>()
                                   : value_or_throw(parse_duration(duration ? duration.string_view() : "0")));
    } else {
        begin_output(*run);
        co_await run_shells(run);
    }
    run->limit.cancel();
    run->kill.cancel();
    exec_event(*run, "complete", Json {{"status", run->status}});
    exec_event(*run, "done");
    respond(*run, "finish", Json {{"status", run->status}});
    respond(*run, "release", Json {{"ranks", run->R.ranks().format()}, {"final", true}});
    runs_.erase(run->id);
}

Task<> JobExec::run_mock(std::shared_ptr<Run> run, double duration)
{
    respond(*run, "start", Json::object());
    bool over = false;
    Timer end(loop(), seconds(duration), [&] {
        over = true;
        run->changed.notify_all();
    });
    while (!over && !run->stopping)
        co_await run->changed.wait();
    if (run->stopping)
        run->status = wait_status_of_signal(SIGTERM);
}

Task<> JobExec::run_shells(std::shared_ptr<Run> run)
{
    run->running = run->ranks.size();
    for (uint32_t nodeid = 0; nodeid < run->ranks.size(); nodeid++)
        spawn(follow(run, nodeid));
    while (run->running > 0)
        co_await run->changed.wait();
    end_output(*run);
    run->exchanges.clear();
}

Task<> JobExec::follow(std::shared_ptr<Run> run, uint32_t nodeid)
{
    Json args {{"id", run->id.value()},
               {"userid", run->userid},
               {"jobspec", run->jobspec},
               {"R", run->R.to_json()},
               {"nodeid", nodeid},
               {"nnodes", run->ranks.size()},
               {"hosts", run->R.nodelist().encode()}};
    auto stream = handle().stream("job-exec.launch", args, {.nodeid = run->ranks[nodeid]});
    try {
        while (auto message = co_await stream.next())
            from_shell(*run, nodeid, message->json());
    } catch (const Error &error) {
        run->status = std::max(run->status, wait_status_of_exit(1));
        respond(*run, "exception",
                Json {{"severity", 0},
                      {"type", "exec"},
                      {"note", fmt::format("rank {}: {}", run->ranks[nodeid], error.text())}});
        stop_job(*run);
    }
    --run->running;
    run->changed.notify_all();
}

void JobExec::from_shell(Run &run, uint32_t nodeid, const Json &message)
{
    auto type = message["type"].string_view();
    if (type == "started") {
        if (++run.started == run.ranks.size())
            respond(run, "start", Json::object());
        if (run.stopping)
            to_shells(run, Json {{"type", "signal"}, {"signum", SIGTERM}});
    } else if (type == "event")
        exec_event(run, message.get<std::string>("name"), message["context"]);
    else if (type == "output")
        output(run, message);
    else if (type == "pmi-exchange")
        exchange(run, message);
    else if (type == "log")
        log(LogLevel::info, "{}: shell {}: {}", run.id, nodeid, message.dump());
    else if (type == "exception") {
        int severity = message.get<int>("severity");
        respond(run, "exception",
                Json {{"severity", severity},
                      {"type", message.get<std::string>("exception")},
                      {"note", message["note"]}});
        if (severity == 0)
            stop_job(run);
    } else if (type == "finish" || type == "exit")
        run.status = std::max(run.status, message.get<int>("status"));
}

// guest.output (RFC 24) begins with a header, written before the shells say anything: who follows the output of a job
// without any must see it end.
void JobExec::begin_output(Run &run)
{
    if (std::exchange(run.output_begun, true))
        return;
    uint64_t ntasks = 1;
    if (auto jobspec = Jobspec::parse(run.jobspec))
        ntasks = jobspec->ntasks().value_or(1);
    run.ntasks = ntasks;
    run.open_outputs = 2 * int64_t(ntasks);
    Json header {{"version", 1},
                 {"encoding", Json {{"stdout", "UTF-8"}, {"stderr", "UTF-8"}}},
                 {"count", Json {{"stdout", ntasks}, {"stderr", ntasks}}},
                 {"options", Json::object()}};
    writer_.append(run.id.kvs_path("guest.output"), Event {wall_time(), "header", header}.encode());
}

// Tasks that never started, or whose shell was lost, did not say that their output ended: it did.
void JobExec::end_output(Run &run)
{
    if (run.open_outputs <= 0)
        return;
    auto ranks = Idset::iota(uint32_t(run.ntasks)).format();
    for (auto *stream : {"stdout", "stderr"})
        writer_.append(run.id.kvs_path("guest.output"),
                       Event {wall_time(), "data", Json {{"stream", stream}, {"rank", ranks}, {"eof", true}}}.encode());
}

void JobExec::output(Run &run, const Json &message)
{
    std::string key = run.id.kvs_path("guest.output");
    begin_output(run);
    Json rank = message["rank"];
    Json context {{"stream", message.get<std::string>("stream")},
                  {"rank", rank.is_integer() ? Json(fmt::format("{}", rank.as<uint32_t>())) : rank}};
    if (message["data"] && !message["data"].string_view().empty())
        context.set("data", message["data"]);
    if (message["encoding"])
        context.set("encoding", message["encoding"]);
    if (message.value("eof", false)) {
        context.set("eof", true);
        auto ranks = Idset::parse(context["rank"].string_view());
        run.open_outputs -= ranks ? int64_t(ranks->count()) : 1;
    }
    writer_.append(key, Event {wall_time(), "data", context}.encode());
}

// Every shell gives its pairs; when the last has, all get the union.
void JobExec::exchange(Run &run, const Json &message)
{
    auto seq = message.get<uint64_t>("seq");
    auto &[count, pairs] = run.exchanges[seq];
    if (!pairs)
        pairs = Json::object();
    for (auto [key, value] : message["pairs"].members())
        pairs.set(key, value);
    if (++count < run.ranks.size())
        return;
    to_shells(run, Json {{"type", "pmi-exchange-result"}, {"seq", seq}, {"pairs", pairs}});
    run.exchanges.erase(seq);
}

void JobExec::to_shells(const Run &run, const Json &message)
{
    for (uint32_t node : run.ranks)
        handle().notify("job-exec.to-shell", Json {{"id", run.id.value()}, {"message", message}},
                        {.nodeid = node});
}

void JobExec::stop_job(Run &run)
{
    if (std::exchange(run.stopping, true))
        return;
    run.changed.notify_all();
    if (run.started > 0) // later ones get it when they say that they started
        to_shells(run, Json {{"type", "signal"}, {"signum", SIGTERM}});
    run.kill = Timer(loop(), seconds(kill_timeout), [this, &run] {
        to_shells(run, Json {{"type", "signal"}, {"signum", SIGKILL}});
    });
}

Json JobExec::kill(Request &request)
{
    auto found = runs_.find(JobId(request.get<uint64_t>("id")));
    if (found == runs_.end())
        throw Error(ENOENT, "the job is not running");
    to_shells(*found->second, Json {{"type", "signal"}, {"signum", request.get<int>("signum")}});
    return {};
}

void JobExec::raise(Request request)
{
    auto found = runs_.find(JobId(request.get<uint64_t>("id")));
    if (found != runs_.end())
        stop_job(*found->second);
}

FLUX_MODULE(job_exec, "job-exec", JobExec)

} // namespace flux
