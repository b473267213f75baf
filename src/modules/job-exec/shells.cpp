// One rank's shells: processes that talk JSON lines on their channel (doc/shell-channel.md).
#include <csignal>

#include "common/job/job_exit.hpp"
#include "common/types/duration.hpp"
#include "modules/job-exec/job_exec.hpp"

namespace flux::job_exec {

namespace {
constexpr const char *channel = "FLUX_SHELL_CHANNEL";
constexpr size_t widest_id = 13; // characters of a job's id in F58

std::string service_name(uint32_t userid, JobId id)
{
    return fmt::format("{}-shell-{}", userid, id.f58(F58Prefix::ascii));
}

// The environment is JSON text already.
std::string line_of(Json message)
{
    Json environment = message["environment"];
    message.erase("environment");
    std::string line = message.dump();
    if (auto text = environment.string_view(); !text.empty()) {
        line.pop_back();
        line.append(",\"environment\":").append(text).append("}");
    }
    return line + "\n";
}
} // namespace

uint64_t JobExec::share_of(size_t ranks)
{
    return std::max(max_unstored / std::max<size_t>(ranks, 1), least_unstored);
}

void JobExec::read_on(Local &local, uint64_t share)
{
    local.share = share;
    if (std::exchange(local.paused, false) && local.shell)
        local.shell->process->set_reading(channel, true);
}

void JobExec::launch(JobId id, Local &local, const Json &job)
{
    try {
        give_shell(id, local, job);
    } catch (const Error &error) {
        News news;
        news.ended.add(rank());
        news.status = wait_status_of_exit(1);
        news.losses.push_back({Idset {rank()}, fmt::format("rank {}: {}", rank(), error.text())});
        tell(id, std::move(news));
    }
}

void JobExec::give_shell(JobId id, Local &local, const Json &job)
{
    auto R = value_or_throw(ResourceSet::from_json(job.get<Json>("R")));
    auto ranks = R.ranks();
    auto userid = job.get<uint32_t>("userid");
    if (auto given = job.at("jobspec", "attributes", "system", "shell", "options", "rexec-shutdown-timeout"))
        if (auto timeout = parse_duration(given.is_string() ? given.string_view() : given.dump()))
            local.rexec_timeout = *timeout; // the shell says what is wrong with it
    std::string uri = context().attribute("local-uri").value_or("");
    Json message = job.shallow_copy();
    message.set("type", "job")
        .set("rank", rank())
        .set("nodeid", ranks.index_of(rank()))
        .set("nnodes", ranks.count())
        .set("leader_rank", *ranks.first())
        .set("hostlist", R.nodelist().encode())
        .set("uri", uri)
        .set("service", service_name(userid, id));
    if (auto enclosing = context().attribute("jobid"))
        message.set("enclosing_id", *enclosing);
    if (auto path = context().attribute("jobid-path"))
        message.set("jobid_path", *path);
    auto program = shell_program();
    local.shell = take_idle(
        [&](const Shell &shell) { return shell.userid == userid && shell.program == program; });
    if (!local.shell)
        local.shell = start_shell(id, program);
    local.shell->userid = userid;
    local.shell->job = id;
    local.shell->process->write(channel, line_of(message));
    local.share = share_of(ranks.count());
    ++launched_;
    if (rank() == *ranks.first()) {
        local.service = service_name(userid, id);
        services_[local.service] = id;
        handle().notify("service.add", Json {{"service", local.service}}, {.nodeid = rank()});
    }
    if (rank() == *ranks.first())
        return; // the leader has started when it says something: then that is written with the start event
    News news;
    news.started.add(rank());
    tell(id, std::move(news));
}

std::string JobExec::shell_program() const
{
    if (Json configured = context().config()["exec"]["job-shell"])
        return std::string(configured.string_view());
    return context().attribute("conf.shell_path").value_or("flux-shell");
}

std::unique_ptr<JobExec::Shell> JobExec::start_shell(JobId id, const std::string &program)
{
    ProcessSpec spec;
    // The second argument is for ps(1): the shell replaces it by each job's.
    spec.argv = {program, fmt::format("{:<{}}", id.f58(F58Prefix::ascii), widest_id)};
    spec.inherit_environment = true;
    spec.environment = {"FLUX_URI=" + context().attribute("local-uri").value_or("")};
    spec.capture_output = false;
    spec.channels = {channel};
    auto shell = std::make_unique<Shell>();
    shell->program = program;
    ProcessCallbacks callbacks;
    callbacks.on_output = [this, self = shell.get()](std::string_view stream, std::string_view bytes) {
        if (stream == channel && self->job)
            read_channel(*self->job, bytes);
    };
    callbacks.on_exit = [this, self = shell.get()](int status) {
        if (self->job)
            shell_exited(*self->job, status);
        else // not from inside its own callback
            post([gone = take_idle([self](const Shell &shell) { return &shell == self; })] {});
    };
    shell->process = context().platform().spawner->spawn(std::move(spec), std::move(callbacks));
    processes_++;
    return shell;
}

void JobExec::keep_idle(std::unique_ptr<Shell> shell)
{
    shell->job.reset();
    shell->idle = Timer(loop(), seconds(idle_time), [this, self = shell.get()] {
        post([old = take_idle([self](const Shell &shell) { return &shell == self; })] {});
    });
    idle_.push_back(std::move(shell));
}

// The one that was busy last.
std::unique_ptr<JobExec::Shell> JobExec::take_idle(std::function<bool(const Shell &)> wanted)
{
    auto found = std::find_if(idle_.rbegin(), idle_.rend(), [&](const auto &shell) { return wanted(*shell); });
    if (found == idle_.rend())
        return nullptr;
    auto shell = std::move(*found);
    idle_.erase(std::next(found).base());
    shell->idle.cancel();
    return shell;
}

void JobExec::read_channel(JobId id, std::string_view bytes)
{
    auto found = jobs_.find(id);
    if (found == jobs_.end())
        return;
    auto &local = found->second;
    local.lines.append(bytes);
    auto line = local.lines.next();
    for (; line && *line; line = local.lines.next()) {
        auto message = Json::parse(**line);
        try {
            if (!message || !message->is_object())
                throw Error(EPROTO, "no JSON object");
            from_shell(id, local, *message, (*line)->size());
        } catch (const Error &error) {
            log(LogLevel::err, "{}: its shell said something that makes no sense: {}", id, error.text());
        }
    }
    if (local.unstored > local.share && !std::exchange(local.paused, true))
        local.shell->process->set_reading(channel, false);
    if (!line) {
        log(LogLevel::err, "{}: {}", id, line.error().text());
        local.lines = shell_channel::line_buffer();
        local.shell->process->signal(SIGKILL);
    }
}

void JobExec::from_shell(JobId id, Local &local, const Json &message, size_t bytes)
{
    auto type = message["type"].string_view();
    News news;
    if (!std::exchange(local.heard, true))
        news.started.add(rank());
    if (type == "finish") { // its tasks have ended; it is ready, or exits with the status of the worst
        auto status = message.get<int>("status");
        local.finished = true;
        local.ready = message.value<bool>("ready", false);
        tell_end(local);
        news.ended.add(rank());
        news.status = std::max(status, wait_status_of_exit(exit_code_of(status)));
    } else if (type == "tasks") {
        local.task_pids = message.get<std::vector<int>>("pids");
        local.task_groups = message.value<bool>("groups", true);
        local.helper_pids = message.value<std::vector<int>>("helpers", {});
        for (auto &request : std::exchange(local.pid_requests, {}))
            request.respond(Json::make("pids", Json::array_of(*local.task_pids)));
    } else if (type == "pmi-exchange") {
        auto &exchange = news.exchanges[message.get<uint64_t>("seq")];
        exchange.ranks.add(rank());
        exchange.pairs = message.get<Json>("pairs");
    } else if (type == "terminal") {
        local.terminal.wrote(message);
        tell_terminal(local, Json::object());
        if (news.started.empty())
            return;
    } else if (type == "topology") {
        spawn(give_topology(id, message.value<std::string>("cores", "")));
    } else if (type == "stdin-taken") {
        news.input_taken = local.input_taken = message.get<uint64_t>("count");
    } else {
        news.said.push_back(message);
        news.said_bytes[rank()] = bytes;
        local.unstored += bytes;
    }
    tell(id, std::move(news), rank());
}

void JobExec::shell_exited(JobId id, int status)
{
    auto found = jobs_.find(id);
    if (found == jobs_.end()) {
        post([shell = std::move(dying_.extract(id))] {}); // not from inside its own callback
        changed_.notify_all();
        return;
    }
    auto &local = found->second;
    local.exited = true;
    tell_end(local);
    News news;
    news.ended.add(rank());
    news.status = status;
    if (!local.finished) {
        news.losses.push_back({Idset {rank()}, fmt::format("the shell on rank {} was lost: it {}{}", rank(),
                                                           (status & 0x7f) ? "was " : "",
                                                           describe_wait_status(status))});
        if (auto pids = std::exchange(local.task_pids, {}); pids && local.task_groups)
            context().platform().spawner->kill_groups(*pids);
        context().platform().spawner->kill_groups(std::exchange(local.helper_pids, {}));
    }
    tell(id, std::move(news));
}

// The node's topology, which the resource module here has.
Task<> JobExec::give_topology(JobId id, std::string cores)
{
    Json answer {{"type", "topology"}};
    Json args = Json::object();
    if (!cores.empty())
        args.set("cores", cores);
    try {
        auto topology = co_await handle().rpc("resource.topo-get", args, {.nodeid = rank()});
        answer.set("xml", topology.payload.string());
    } catch (const Error &error) {
        answer.set("error", error.text());
    }
    auto found = jobs_.find(id);
    if (found == jobs_.end())
        co_return; // it has ended meanwhile
    auto &local = found->second;
    if (local.shell && !local.finished && !local.exited)
        local.shell->process->write(channel, answer.dump() + "\n");
}

// Nobody asks about this shell any more. It is told to end its tasks and itself.
void JobExec::release_shell(JobId id, Local &local)
{
    tell_end(local);
    settle_input(local, local.input_taken);
    for (auto &request :
         local.input) // as the service's absence will answer from now on: clients pass over that
        request.fail(Error(ENOSYS, "job {} has ended: nothing reads its standard input any more", id));
    local.input.clear();
    local.terminal.end();
    read_on(local);
    if (!local.service.empty()) {
        services_.erase(local.service);
        handle().notify("service.remove", Json {{"service", local.service}}, {.nodeid = rank()});
    }
    if (!local.shell)
        return;
    if (local.exited) { // called from its own callback, maybe: it goes away from the top of the loop
        post([shell = std::move(local.shell)] {});
        return;
    }
    if (!local.finished)
        local.shell->process->write(channel, Json {{"type", "shutdown"}}.dump() + "\n");
    if (local.ready && !stopping_ && idle_.size() < max_idle)
        return keep_idle(std::move(local.shell));
    if (local.ready) // for another job: it ends when none can come
        local.shell->process->close(channel);
    dying_[id] = std::move(local.shell);
}

// {"id"} -> {"pids"}: of the job's tasks on this rank, in order of their ranks, once they were started.
void JobExec::task_pids(Request request)
{
    JobId id(request.get<uint64_t>("id"));
    auto found = jobs_.find(id);
    if (found == jobs_.end() || !found->second.shell)
        throw Error(ENOENT, "job {} has no tasks on rank {}", id, rank());
    auto &local = found->second;
    auto &who = request.credentials();
    if (!who.is_owner() && who.userid != local.shell->userid)
        throw Error(EPERM, "job {} belongs to another user", id);
    if (!local.task_pids && local.pid_requests.size() >= max_pid_requests)
        throw Error(EAGAIN, "{} ask already for the tasks of {}, which are not started yet",
                    max_pid_requests, id);
    if (!local.task_pids)
        return local.pid_requests.push_back(std::move(request));
    request.respond(Json::make("pids", Json::array_of(*local.task_pids)));
}

// {"id"} -> {"timeout"}: when the job's tasks on this rank have ended, with how long what was started beside
// them (flux exec --jobid) may take to do so, too. ENOENT where none are.
void JobExec::tasks_end(Request request)
{
    JobId id(request.get<uint64_t>("id"));
    auto found = jobs_.find(id);
    if (found == jobs_.end() || !found->second.shell || found->second.finished || found->second.exited)
        throw Error(ENOENT, "job {} has no tasks on rank {}", id, rank());
    if (found->second.end_requests.size() >= max_end_requests)
        throw Error(EAGAIN, "{} wait already for the end of {}", max_end_requests, id);
    found->second.end_requests.push_back(std::move(request));
}

void JobExec::tell_end(Local &local)
{
    for (auto &request : std::exchange(local.end_requests, {}))
        request.respond(Json::make("timeout", local.rexec_timeout));
}

// The service of a job, on the broker of its first shell.
void JobExec::shell_service(Request request)
{
    auto topic = std::string_view(request.message().topic);
    auto method = topic.substr(std::min(topic.rfind('.'), topic.size() - 1) + 1);
    auto found = services_.find(std::string(request.message().service()));
    if (found == services_.end() || (method != "stdin" && method != "pty" && method != "pty-input"))
        throw Error(ENOSYS, "Unknown service method {}", topic);
    auto &who = request.credentials();
    if (!who.is_owner() && !found->first.starts_with(fmt::format("{}-", who.userid)))
        throw Error(EPERM, "only the owner of a job may give it input");
    if (method == "stdin")
        return give_input(found->second, std::move(request));
    auto &local = jobs_.at(found->second);
    if (method == "pty")
        return local.terminal.attach(std::move(request));
    type_in(local, std::move(request));
}

// NAME-shell-ID.pty-input {"data"?,"encoding"?,"rows"?,"columns"?,"taken"?}: what is typed, the terminal's size, and how
// many bytes the sender has got of its stream. Answered at once.
void JobExec::type_in(Local &local, Request request)
{
    Json message = Json::object();
    for (auto *name : {"data", "encoding", "rows", "columns"})
        if (Json value = request.json()[name])
            message.set(name, value);
    message.set("type", "terminal");
    value_or_throw(shell_channel::parse_to_shell(message.dump()));
    if (auto taken = request.find<uint64_t>("taken"))
        local.terminal.took(request.sender(), *taken);
    tell_terminal(local, std::move(message));
    request.respond();
}

// The message to the shell, with what need not be waited for any more; no message when that is nothing new.
void JobExec::tell_terminal(Local &local, Json message)
{
    bool empty = message.empty();
    auto taken = local.terminal.newly_taken();
    if ((empty && !taken) || !local.shell || local.finished || local.exited)
        return;
    if (taken)
        message.set("taken", *taken);
    message.set("type", "terminal");
    local.shell->process->write(channel, message.dump() + "\n");
}

void JobExec::leave_terminals(const RouteId &sender, std::optional<uint32_t> matchtag)
{
    for (auto &[id, local] : jobs_)
        if (local.terminal.leave(sender, matchtag))
            tell_terminal(local, Json::object());
}

// NAME-shell-ID.stdin {"stream","rank","data"?,"encoding"?,"eof"?}
void JobExec::give_input(JobId id, Request request)
{
    if (auto stream = request.get<std::string>("stream"); stream != "stdin")
        throw Error(EINVAL, "stream {} cannot be written: only stdin can", stream);
    auto ranks = request.get<std::string>("rank");
    if (ranks != "all")
        value_or_throw(Idset::parse(ranks));
    Json message {{"type", "stdin"}, {"ranks", ranks}};
    for (auto *name : {"data", "encoding", "eof"})
        if (Json value = request.json()[name])
            message.set(name, value);
    value_or_throw(shell_channel::parse_to_shell(message.dump())); // or every shell would stumble over it
    auto &local = jobs_.at(id);
    News news;
    auto bytes = request.message().payload.bytes().size();
    if (local.input_refused || local.input_bytes + bytes > max_waiting_input) {
        auto note = fmt::format("standard input: {} bytes wait to be read by its tasks and {} may: send more when what "
                                "was sent is answered, or give it as a file (--input=PATH)",
                                local.input_bytes + bytes, max_waiting_input);
        request.fail(Error(ENOBUFS, "job {}: {}", id, note));
        if (std::exchange(local.input_refused, true))
            return;
        news.said.push_back(
            Json {{"type", "exception"}, {"severity", 0}, {"exception", "exec"}, {"note", note}});
    } else {
        local.input_bytes += bytes;
        local.input.push_back(std::move(request));
        news.said.push_back(message);
    }
    tell(id, std::move(news));
}

} // namespace flux::job_exec
