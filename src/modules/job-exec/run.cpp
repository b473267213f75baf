// What rank 0 makes of the news of a job, and how it ends one.
#include <csignal>

#include "common/job/eventlog.hpp"
#include "common/job/job_exit.hpp"
#include "common/types/duration.hpp"
#include "modules/job-exec/job_exec.hpp"

namespace flux::job_exec {

void JobExec::raise_exception(Run &run, int severity, std::string_view type, std::string_view note)
{
    respond(run, "exception", Json {{"severity", severity}, {"type", type}, {"note", note}});
}

void JobExec::to_shells(const Run &run, Json message)
{
    auto local = jobs_.find(run.id);
    if (local != jobs_.end())
        obey(Json {{"id", run.id.value()}, {"type", "to-shell"}, {"message", std::move(message)}});
}

void JobExec::hear(Run &run, News news)
{
    if (!news.started.empty() && !run.stopping)
        respond_started(run);
    if (!news.said.empty())
        write_held(run);
    auto input_before = run.input_heard;
    for (const auto &message : news.said)
        try {
            hear_shell(run, message);
        } catch (const Error &error) {
            log(LogLevel::err, "{}: a shell said something that makes no sense: {}", run.id, error.text());
        }
    note_unstored(run, news, run.input_heard != input_before);
    if (news.input_taken) {
        run.input_taken = *news.input_taken;
        settle_input(run);
    }
    for (const auto &loss : news.losses)
        hear_loss(run, loss);
    for (auto &[seq, exchange] : news.exchanges) // of every rank, or it would not be told
        to_shells(run, Json {{"type", "pmi-exchange-result"}, {"seq", seq}, {"pairs", exchange.pairs}});
    if (news.ended.empty())
        return;
    run.status = std::max(run.status, news.status);
    run.ended = true;
    for (auto *timer : {&run.limit, &run.kill, &run.exit_timer})
        timer->cancel(); // what becomes of its record takes none of its time
    run.changed.notify_all();
}

void JobExec::hear_shell(Run &run, const Json &message)
{
    auto type = message["type"].string_view();
    if (type == "event")
        hear_event(run, message);
    else if (type == "output" || type == "redirect" || type == "log")
        writer_.append(run.id.kvs_path("guest.output"), run.output.add(wall_time(), message));
    else if (type == "stdin")
        hear_stdin(run, message);
    else if (type == "exception") {
        int severity = message.get<int>("severity");
        auto kind = message.get<std::string>("exception");
        // A killed task is no loss when somebody asked for its signal.
        if (message.value("lost_task", false) && (run.signalled || run.stopping))
            return;
        raise_exception(run, severity, kind, message.value<std::string>("note", ""));
        if (severity == 0)
            stop_job(run);
    }
}

// What was heard just now is given to the store: shells may go on when it is there.
void JobExec::note_unstored(Run &run, const News &news, bool input)
{
    if (news.said_bytes.empty() && !input)
        return;
    bool idle = unstored_.empty();
    const auto &entry =
        unstored_.emplace_back(Unstored {writer_.latest(), run.id, news.said_bytes, input ? run.input_heard : 0});
    unstored_bytes_ += entry.total();
    most_unstored_ = std::max(most_unstored_, unstored_bytes_);
    if (idle)
        spawn(tell_stored());
}

// Shells that say little are not told at all: their share is more than that.
Task<> JobExec::tell_stored()
{
    while (!unstored_.empty()) {
        auto ticket = unstored_.front().ticket;
        try {
            co_await writer_.wait(ticket);
        } catch (const Error &error) { // what cannot be stored holds nobody up for ever
            log(LogLevel::err, "output of jobs is lost: {}", error.text());
        }
        std::map<JobId, Json> orders;
        for (; !unstored_.empty() && unstored_.front().ticket <= ticket; unstored_.pop_front()) {
            const auto &entry = unstored_.front();
            unstored_bytes_ -= entry.total();
            auto run = runs_.find(entry.id);
            if (run == runs_.end())
                continue;
            run->second->input_stored = std::max(run->second->input_stored, entry.input);
            settle_input(*run->second);
            for (auto [rank, bytes] : entry.bytes) {
                auto &stored = run->second->stored[rank];
                stored += bytes;
                if (stored < share_of(run->second->ranks.count()) / credit_steps)
                    continue;
                auto &order = orders[entry.id];
                if (!order)
                    order = Json::object();
                auto key = fmt::format("{}", rank);
                order.set(key, order.value<uint64_t>(key, 0) + std::exchange(stored, 0));
            }
        }
        for (const auto &[id, ranks] : orders)
            obey(Json {{"id", id.value()}, {"type", "stored"}, {"ranks", ranks}});
    }
}

// Whoever sends standard input may send more when what came before is on record and read by the tasks.
void JobExec::settle_input(Run &run)
{
    auto settled = std::min(run.input_stored, run.input_taken);
    if (settled <= run.input_settled)
        return;
    run.input_settled = settled;
    obey(Json {{"id", run.id.value()}, {"type", "input-settled"}, {"rank", *run.ranks.first()}, {"count", settled}});
}

void JobExec::hear_event(Run &run, const Json &message)
{
    auto name = message.get<std::string>("name");
    if (name == "shell.task-exit") {
        if (std::exchange(run.any_task_exited, true))
            return;
        start_exit_timer(run, message["context"]);
    }
    exec_event(run, name, message["context"]);
}

// The shells of other nodes do not know that a task has exited here.
void JobExec::start_exit_timer(Run &run, const Json &context)
{
    Json option = run.jobspec.at("attributes", "system", "shell", "options")["exit-timeout"];
    if (run.ranks.count() < 2 || option.string_view() == "none")
        return;
    double timeout = default_exit_timeout;
    if (option.is_number())
        timeout = option.as<double>();
    else if (option)
        timeout = parse_duration(option.string_view()).value_or(default_exit_timeout);
    auto task = context.value<int64_t>("rank", 0);
    run.exit_timer = Timer(loop(), seconds(timeout), [this, &run, task, timeout] {
        raise_exception(run, 0, "exec",
                        fmt::format("task {} exited and others did not within exit-timeout={}", task,
                                    format_duration(timeout)));
        stop_job(run);
    });
}

// Standard input arrived at the leader: for the record, and for the shells.
void JobExec::hear_stdin(Run &run, const Json &message)
{
    if (run.stopping)
        return;
    auto key = run.id.kvs_path("guest.input");
    if (!std::exchange(run.input_begun, true)) {
        Json header {{"version", 1},
                     {"encoding", Json {{"stdin", "UTF-8"}}},
                     {"count", Json {{"stdin", 1}}},
                     {"options", Json::object()}};
        writer_.append(key, Event {wall_time(), "header", header}.encode());
    }
    run.input_bytes += message["data"].string_view().size();
    if (run.input_bytes > max_input) {
        raise_exception(run, 0, "exec",
                        fmt::format("standard input is over its limit of {} bytes: give it as a file (--input=PATH)",
                                    max_input));
        stop_job(run);
        return;
    }
    Json context {{"stream", "stdin"}, {"rank", message["ranks"]}};
    for (auto *name : {"data", "encoding", "eof"})
        if (Json value = message[name])
            context.set(name, value);
    writer_.append(key, Event {wall_time(), "data", context}.encode());
    run.input_heard++;
    to_shells(run, message);
}

void JobExec::hear_loss(Run &run, const Loss &loss)
{
    bool critical = !run.critical || run.critical->intersects(loss.ranks);
    log(LogLevel::err, "{}: {}", run.id, loss.note);
    if (run.stopping) // it is over anyway
        return;
    run.status = std::max(run.status, wait_status_of_exit(1));
    raise_exception(run, critical ? 0 : 2, "exec", loss.note);
    if (critical)
        stop_job(run);
}

void JobExec::stop_job(Run &run, int signum)
{
    if (run.over || std::exchange(run.stopping, true))
        return;
    run.changed.notify_all();
    if (run.mock)
        return;
    run.stop_begun = loop().now();
    to_shells(run, Json {{"type", "signal"}, {"signum", signum ? signum : limits_.term_signal}});
    run.kill = Timer(loop(), seconds(limits_.kill_timeout), [this, &run] { kill_again(run); });
}

void JobExec::kill_again(Run &run)
{
    if (run.ended)
        return;
    bool enough = limits_.max_kill_timeout > 0
                      ? to_seconds(loop().now() - run.stop_begun) >= limits_.max_kill_timeout
                      : run.kills >= limits_.max_kill_count;
    if (enough)
        return give_up(run);
    run.kills++;
    to_shells(run, run.kills > 1 ? Json {{"type", "kill-shell"}}
                                 : Json {{"type", "signal"}, {"signum", limits_.kill_signal}});
    double delay = limits_.kill_timeout * double(1u << std::min(run.kills - 1, 6));
    run.kill = Timer(loop(), seconds(delay), [this, &run] { kill_again(run); });
}

// Processes that nothing kills: their nodes take no more jobs, and the job goes on to its end without them.
void JobExec::give_up(Run &run)
{
    auto local = jobs_.find(run.id);
    if (local == jobs_.end())
        return;
    Idset left = local->second.part.running();
    auto note = fmt::format("job {}: its processes on ranks {} survive SIGKILL", run.id, left.format());
    log(LogLevel::err, "{}", note);
    handle().notify("resource.drain", Json {{"targets", left.format()}, {"reason", note}});
    News news;
    news.ended = left;
    news.status = wait_status_of_signal(SIGKILL);
    tell(run.id, std::move(news));
}

} // namespace flux::job_exec
