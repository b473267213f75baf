// The requests that rank 0 answers: start, kill, raise, expiration, critical-ranks (RFC 32).
#include "modules/job-exec/job_exec.hpp"

#include <csignal>

#include "common/client/follow_service.hpp"
#include "common/job/eventlog.hpp"
#include "common/job/job_exit.hpp"
#include "common/job/jobspec.hpp"
#include "common/types/duration.hpp"

namespace flux::job_exec {

namespace {

constexpr std::string_view default_topology = "kary:32";
constexpr std::string_view custom_topology = "custom"; // the parents of [bootstrap] hosts

Topology tree_of(const Context &context)
{
    auto topo = context.attribute("tbon.topo").value_or(std::string(default_topology));
    if (topo == custom_topology) // start() asks for it
        topo = default_topology;
    return value_or_throw(Topology::parse(topo, context.rank(), context.size()));
}

void read_parents(const Json &node, std::vector<uint32_t> &parents)
{
    auto rank = node.get<uint32_t>("rank");
    for (auto child : node["children"].elements()) {
        auto below = child.get<uint32_t>("rank");
        if (below == 0 || below > parents.size())
            throw Error(EPROTO, "overlay.topology: rank {} is not in this instance", below);
        parents[below - 1] = rank;
        read_parents(child, parents);
    }
}

int signal_at(const Json &exec, std::string_view key, int fallback)
{
    Json value = exec[key];
    if (!value)
        return fallback;
    int signum = value.is_integer() ? value.as<int>() : parse_signal(std::string(value.string_view()));
    if (signum <= 0 || signum > 64)
        throw Error(EINVAL, "exec.{}: {} is no signal", key, value.dump());
    return signum;
}

// Seconds, of a number or a duration (RFC 23).
double duration_at(const Json &exec, std::string_view key, double fallback)
{
    Json value = exec[key];
    if (!value)
        return fallback;
    auto seconds = value.is_number() ? Expected<double>(value.as<double>()) : parse_duration(value.string_view());
    if (!seconds || *seconds <= 0)
        throw Error(EINVAL, "exec.{}: {} is no duration such as 5s", key, value.dump());
    return *seconds;
}

constexpr int64_t most_kills = 1000;
constexpr int kvs_readdir = 1; // flag of kvs.lookup

std::string namespace_of(JobId id)
{
    return "job-" + id.dec();
}

uint32_t ntasks_of(const Json &json)
{
    uint64_t ntasks = 1;
    if (auto jobspec = Jobspec::parse(json))
        ntasks = jobspec->ntasks().value_or(1);
    return uint32_t(std::min<uint64_t>(ntasks, Idset::max_id));
}

double run_duration_of(const Json &test)
{
    auto duration = test["run_duration"];
    if (duration.is_number())
        return duration.as<double>();
    return value_or_throw(parse_duration(duration ? duration.string_view() : "0"));
}

} // namespace

Limits Limits::from(const Json &config)
{
    Limits out;
    Json exec = config["exec"];
    if (!exec)
        return out;
    if (!exec.is_object())
        throw Error(EINVAL, "[exec]: expected a table, found {}", exec.type_name());
    out.kill_timeout = duration_at(exec, "kill-timeout", out.kill_timeout);
    out.max_kill_timeout = duration_at(exec, "max-kill-timeout", out.max_kill_timeout);
    if (Json count = exec["max-kill-count"]) {
        if (!count.is_integer() || count.as<int64_t>() < 1 || count.as<int64_t>() > most_kills)
            throw Error(EINVAL, "exec.max-kill-count: {} is no number from 1 to {}", count.dump(), most_kills);
        out.max_kill_count = count.as<int>();
    }
    out.term_signal = signal_at(exec, "term-signal", out.term_signal);
    out.kill_signal = signal_at(exec, "kill-signal", out.kill_signal);
    if (Json shell = exec["job-shell"]; shell && (!shell.is_string() || shell.string_view().empty()))
        throw Error(EINVAL, "exec.job-shell: {} is no path of a program", shell.dump());
    return out;
}

JobExec::JobExec(Context &context)
    : Module(context), topology_(tree_of(context)), limits_(Limits::from(context.config())),
      writer_(handle(), KvsWriter::OnFailure::retry,
              [this](const Error *error) {
                  if (error)
                      log(LogLevel::err, "output and events of jobs cannot be stored: {}; trying until they can",
                          error->text());
                  else
                      log(LogLevel::err, "output and events of jobs are stored again");
              }),
      changed_(loop())
{
    serve("link", role::owner, &JobExec::link);
    serve("orders", role::owner, &JobExec::orders);
    serve("task-pids", role::user, &JobExec::task_pids);
    serve("tasks-end", role::owner, &JobExec::tasks_end);
    handle().serve_rest(role::any,
                        Handle::KeepingHandler([this](Request request) { shell_service(std::move(request)); }));
    auto parent_gone = [this](const RouteId &sender) {
        if (link_ && link_->sender() == sender)
            drop_all();
    };
    handle().on_cancel([this, parent_gone](const RouteId &sender, uint32_t matchtag) {
        parent_gone(sender);
        leave_terminals(sender, matchtag);
    });
    handle().on_disconnect([this, parent_gone](const RouteId &sender) {
        parent_gone(sender);
        leave_terminals(sender, {});
    });
    if (rank() != 0)
        return;
    serve("start", role::owner, &JobExec::start_job);
    serve("detach", role::owner, &JobExec::detach);
    serve("kill", role::owner, &JobExec::kill);
    serve("raise", role::owner, &JobExec::raise);
    serve("expiration", role::owner, &JobExec::expiration);
    serve("critical-ranks", role::any, &JobExec::critical_ranks);
}

Task<> JobExec::start()
{
    if (context().attribute("tbon.topo") == custom_topology) {
        Json args {{"rank", 0}};
        auto answer = co_await rpc("overlay.topology", args, {.nodeid = rank()});
        std::vector<uint32_t> parents(size() - 1);
        read_parents(answer.json(), parents);
        topology_ = value_or_throw(Topology::from_parents(rank(), std::move(parents)));
    }
    if (rank() != 0)
        co_return;
    std::function<Task<>()> meet = [this] { return meet_job_manager(); };
    spawn(follow_service(handle(), "job-manager", meet, [this] { job_manager_gone(); }));
}

Task<> JobExec::meet_job_manager()
{
    Json args {{"service", context().name()}};
    co_await rpc("job-manager.exec-hello", args);
}

// Jobs that still run end with the module: their tasks are killed, not left behind.
Task<> JobExec::stop()
{
    stopping_ = true;
    std::erase_if(runs_, [](const auto &entry) { return entry.second->over; }); // nobody hears of those any more
    for (auto &[id, run] : runs_) {
        raise_exception(*run, 0, "exec", "the execution service was stopped");
        stop_job(*run);
        to_shells(*run, Json {{"type", "shutdown"}});
    }
    if (rank() != 0)
        end_all();
    bool waited_enough = false;
    Timer limit(loop(), seconds(stop_timeout), [&] {
        waited_enough = true;
        changed_.notify_all();
    });
    while (!waited_enough && (!runs_.empty() || !jobs_.empty() || !dying_.empty()))
        co_await changed_.wait();
    for (auto &[id, run] : runs_)
        write_held(*run); // who takes up what is left sees that it was launched
    idle_.clear();
    link_.reset();
    co_await writer_.close();
}

// Jobs that are being ended already meet the new limits from their next signal on.
void JobExec::config_changed()
{
    limits_ = Limits::from(context().config());
}

Json JobExec::stats() const
{
    return Json {{"kill-timeout", limits_.kill_timeout},
                 {"max-kill-count", limits_.max_kill_count},
                 {"max-kill-timeout", limits_.max_kill_timeout > 0 ? limits_.max_kill_timeout : -1.0},
                 {"term-signal", signal_name(limits_.term_signal)},
                 {"kill-signal", signal_name(limits_.kill_signal)},
                 {"jobs", runs_.size()},
                 {"shells", jobs_.size()},
                 {"launched", launched_},
                 {"processes", processes_},
                 {"idle", idle_.size()},
                 {"links", open_links_.size()},
                 {"unstored", Json {{"bytes", unstored_bytes_}, {"most", most_unstored_}}},
                 {"commits", writer_.commits()}};
}

void JobExec::respond(Run &run, std::string_view type, Json data)
{
    bool dispensable = type == "exception" && data.get<int>("severity") > 0;
    Json response {{"id", run.id.value()}, {"type", type}, {"data", std::move(data)}};
    if (run.request)
        run.request->respond(response);
    else if (!dispensable || run.untold.size() < max_untold)
        run.untold.push_back(response);
}

// Whoever takes up a job again is told so whether or not it knows already that it had started.
void JobExec::respond_started(Run &run)
{
    run.started = true;
    if (run.request)
        respond(run, run.reattached ? "reattached" : "start", Json::object());
}

void JobExec::exec_event(Run &run, std::string_view name, Json context)
{
    auto line = Event {wall_time(), std::string(name), std::move(context)}.encode();
    if (run.holding)
        run.held_events += line;
    else
        writer_.append(run.id.kvs_path("guest.exec.eventlog"), line);
}

void JobExec::write_held(Run &run)
{
    if (!std::exchange(run.holding, false))
        return;
    if (!run.held_events.empty())
        writer_.append(run.id.kvs_path("guest.exec.eventlog"), std::exchange(run.held_events, {}));
    if (!run.held_output.empty())
        writer_.append(run.id.kvs_path("guest.output"), std::exchange(run.held_output, {}));
}

void JobExec::start_job(Request request)
{
    if (stopping_) // as if it were gone already: the job waits for the next
        throw Error(ENOSYS, "the execution service is being stopped");
    request.require_streaming();
    JobId id(request.get<uint64_t>("id"));
    bool reattach = request.find<bool>("reattach").value_or(false);
    if (auto found = runs_.find(id); found != runs_.end()) {
        if (!reattach)
            throw Error(EEXIST, "job {} runs already", id);
        return attach(*found->second, std::move(request));
    }
    auto run = std::make_shared<Run>(loop());
    run->id = id;
    run->userid = request.get<uint32_t>("userid");
    run->jobspec = request.get<Json>("jobspec");
    run->environment = request.json()["environment"];
    run->R = value_or_throw(ResourceSet::from_json(request.get<Json>("R")));
    run->ranks = run->R.ranks();
    run->reattached = reattach;
    run->request = std::move(request);
    runs_[id] = run;
    spawn(reattach ? take_up_lost(run) : conduct(run));
}

// A job manager that was loaded again goes on with a job that runs here, or ended while there was none.
void JobExec::attach(Run &run, Request request)
{
    run.request = std::move(request);
    run.reattached = true;
    if (run.started)
        respond_started(run);
    for (const auto &response : std::exchange(run.untold, {}))
        run.request->respond(response);
    if (run.over)
        conclude(run);
}

// The job manager is about to go: what it was told until now it has on record, what comes then the next one hears.
Json JobExec::detach(Request &)
{
    for (auto &[id, run] : runs_) {
        if (!run->request)
            continue;
        left_.push_back(std::move(*run->request));
        run->request.reset();
    }
    return {};
}

void JobExec::job_manager_gone()
{
    for (auto &[id, run] : runs_)
        run->request.reset();
    left_.clear();
}

// Everything is said of a job, and somebody has heard it or will.
void JobExec::conclude(Run &run)
{
    run.over = true;
    for (auto *timer : {&run.limit, &run.kill, &run.exit_timer})
        timer->cancel();
    if (auto local = jobs_.find(run.id); local != jobs_.end()) { // it could not be followed to its end
        to_shells(run, Json {{"type", "shutdown"}});
        local->second.run = nullptr;
    }
    if (run.request) {
        run.request->finish();
        runs_.erase(run.id);
    } else if (stopping_) {
        runs_.erase(run.id);
    }
    changed_.notify_all();
}

Task<> JobExec::conduct(std::shared_ptr<Run> run)
{
    exec_event(*run, "init");
    exec_event(*run, "starting");
    set_limit(*run);
    Json test = run->jobspec.at("attributes", "system", "exec", "test");
    std::optional<Error> failed;
    try {
        if (test) {
            run->mock = true;
            co_await run_mock(run, run_duration_of(test));
        } else
            co_await run_shells(run);
    } catch (const Error &error) {
        failed = error;
    }
    if (failed) {
        run->status = std::max(run->status, wait_status_of_exit(1));
        raise_exception(*run, 0, "exec", failed->text());
    }
    exec_event(*run, "complete", Json {{"status", run->status}});
    exec_event(*run, "done");
    write_held(*run);
    respond(*run, "finish", Json {{"status", run->status}});
    respond(*run, "release", Json {{"ranks", "all"}, {"final", true}});
    conclude(*run);
}

// A job that was launched by an execution service that is no more. Shells never outlive their broker or this module, so
// there is nothing to go back to; but it may be on record how it ended.
Task<> JobExec::take_up_lost(std::shared_ptr<Run> run)
{
    while (jobs_.contains(run->id)) // what is left of it is being ended
        co_await changed_.wait();
    std::optional<int> status;
    try {
        co_await writer_.flush();
        auto events = co_await stored_events(run->id.kvs_path("guest.exec.eventlog"));
        bool done = !events.empty() && events.back().name == "done";
        for (const auto &event : events)
            if (done && event.name == "complete")
                status = event.context.get<int>("status");
        if (!status) {
            raise_exception(*run, 0, "exec", "the job was running when the instance stopped: its tasks are lost");
            co_await complete_record(run, done);
        }
    } catch (const Error &error) {
        log(LogLevel::err, "{}: the end of its output is not on record: {}", run->id, error.text());
    }
    if (status) {
        respond_started(*run);
        respond(*run, "finish", Json {{"status", *status}});
    }
    respond(*run, "release", Json {{"ranks", "all"}, {"final", true}});
    conclude(*run);
}

Task<> JobExec::run_mock(std::shared_ptr<Run> run, double duration)
{
    respond_started(*run);
    if (duration > short_mock)
        write_held(*run);
    bool over = false;
    Timer end(loop(), seconds(duration), [&] {
        over = true;
        run->changed.notify_all();
    });
    while (!over && !run->stopping)
        co_await run->changed.wait();
    if (run->stopping)
        run->status = wait_status_of_signal(limits_.term_signal);
}

Task<> JobExec::run_shells(std::shared_ptr<Run> run)
{
    run->held_output = run->output.begin(wall_time(), ntasks_of(run->jobspec));
    handle().notify("kvs.namespace-create",
                    Json {{"namespace", namespace_of(run->id)}, {"owner", run->userid}, {"flags", 0}});
    obey(Json {{"id", run->id.value()},
               {"type", "launch"},
               {"ranks", run->ranks.format()},
               {"job", Json {{"id", run->id.value()},
                             {"userid", run->userid},
                             {"jobspec", run->jobspec},
                             {"environment", std::exchange(run->environment, Json())},
                             {"R", run->R.to_json()}}}});
    while (!run->ended)
        co_await run->changed.wait();
    write_held(*run);
    if (auto rest = run->output.end(wall_time()); !rest.empty())
        writer_.append(run->id.kvs_path("guest.output"), rest);
    try {
        co_await keep_namespace(run->id);
    } catch (const Error &error) {
        log(LogLevel::err, "{}: what its tasks left in the KVS is lost: {}", run->id, error.text());
    }
}

// The ends that a job's logs lack because the instance was lost: who reads them waits for those.
Task<> JobExec::complete_record(std::shared_ptr<Run> run, bool done)
{
    if (!done)
        exec_event(*run, "done");
    write_held(*run);
    if (!run->jobspec.at("attributes", "system", "exec", "test")) { // those have no output
        auto key = run->id.kvs_path("guest.output");
        auto output = co_await stored_events(key);
        if (output.empty())
            writer_.append(key, run->output.begin(wall_time(), ntasks_of(run->jobspec)));
        for (const auto &event : output)
            run->output.resume(event);
        if (auto rest = run->output.end(wall_time()); !rest.empty())
            writer_.append(key, rest);
    }
    co_await writer_.flush(); // before the job is clean
}

Task<std::vector<Event>> JobExec::stored_events(std::string key)
{
    Json args {{"key", key}, {"namespace", "primary"}, {"flags", 0}};
    std::vector<Event> out;
    try {
        auto answer = co_await rpc("kvs.lookup", args);
        out = value_or_throw(parse_eventlog(value_or_throw(treeobj::decode_val(answer.json()["val"]))));
    } catch (const Error &error) {
        if (error.errnum() != ENOENT)
            throw;
    }
    co_return out;
}

// What the tasks put into the job's KVS namespace becomes part of its record.
Task<> JobExec::keep_namespace(JobId id)
{
    auto space = namespace_of(id);
    Json root_args {{"namespace", space}, {"flags", 0}};
    auto root = co_await rpc("kvs.getroot", root_args);
    if (root.json().value<int64_t>("rootseq", 0) > 0) {
        Json args {{"key", "."}, {"namespace", space}, {"flags", kvs_readdir}};
        auto answer = co_await rpc("kvs.lookup", args);
        for (auto [name, object] : treeobj::entries(answer.json()["val"]).members())
            if (name != "exec" && name != "output" && name != "input") // those are ours
                writer_.set(id.kvs_path("guest." + std::string(name)), object);
        co_await writer_.flush();
    }
    Json remove_args {{"namespace", space}};
    handle().notify("kvs.namespace-remove", remove_args);
}

void JobExec::set_limit(Run &run)
{
    run.limit.cancel();
    if (run.R.expiration() <= 0 || run.ended || run.over)
        return;
    run.limit = Timer(loop(), seconds(run.R.expiration() - wall_time()), [this, &run] {
        raise_exception(run, 0, "timeout", "resource allocation expired");
        stop_job(run, SIGALRM);
    });
}

JobExec::Run &JobExec::need(const Request &request)
{
    auto found = runs_.find(JobId(request.get<uint64_t>("id")));
    if (found == runs_.end())
        throw Error(ENOENT, "the job is not running");
    return *found->second;
}

Json JobExec::kill(Request &request)
{
    auto &run = need(request);
    auto signum = request.get<int>("signum");
    run.signalled = true;
    if (run.mock) { // its only task does what most do
        if (signum == SIGTERM || signum == SIGKILL || signum == SIGINT || signum == SIGHUP)
            stop_job(run);
    } else
        to_shells(run, Json {{"type", "signal"}, {"signum", signum}});
    return {};
}

Json JobExec::raise(Request &request)
{
    auto found = runs_.find(JobId(request.get<uint64_t>("id")));
    if (found != runs_.end() && request.find<int>("severity").value_or(0) == 0)
        stop_job(*found->second);
    return {};
}

Json JobExec::expiration(Request &request)
{
    auto &run = need(request);
    run.R.set_expiration(request.get<double>("expiration"));
    set_limit(run);
    to_shells(run, Json {{"type", "expiration"}, {"expiration", run.R.expiration()}});
    return {};
}

// Of a job that is an instance: it says the loss of which of its ranks it cannot survive.
Json JobExec::critical_ranks(Request &request)
{
    auto &run = need(request);
    if (!request.credentials().is_owner() && request.credentials().userid != run.userid)
        throw Error(EPERM, "job {} belongs to another user", run.id);
    auto nodeids = value_or_throw(Idset::parse(request.get<std::string>("ranks")));
    Idset critical;
    for (uint32_t nodeid : nodeids)
        if (nodeid < run.ranks.count())
            critical.add(run.ranks.nth(nodeid));
    run.critical = critical;
    return {};
}

FLUX_MODULE(job_exec, "job-exec", JobExec)

} // namespace flux::job_exec
