#include "sim/shell.hpp"

#include <csignal>

#include "common/job/job_exit.hpp"

namespace flux::sim {

namespace sc = shell_channel;

namespace {

constexpr Delay between_lines {std::chrono::microseconds(10), std::chrono::milliseconds(20)};
constexpr Delay between_flood_lines {std::chrono::microseconds(10), std::chrono::microseconds(200)};
constexpr size_t flood_line = 8u << 10; // bytes
constexpr Delay between_barriers {std::chrono::microseconds(100), std::chrono::milliseconds(5)};

std::string pmi_key(uint64_t barrier, uint32_t nodeid)
{
    return fmt::format("card.{}.{}", barrier, nodeid);
}

} // namespace

SimShell::SimShell(ProcessWorld &world, ProcessSpec spec, ProcessCallbacks callbacks, Duration start)
    : SimProcess(world, std::move(callbacks))
{
    later(start, [this] {
        started_ = true;
        read();
    });
}

double SimShell::argument() const
{
    const auto &command = job_->jobspec.command();
    return command.size() > 1 ? std::atof(command[1].c_str()) : 0;
}

void SimShell::write(std::string_view stream, std::string_view bytes)
{
    if (stream != sc::environment_name)
        return world_.violated(fmt::format("something was written to {} of a shell", stream));
    input_.append(bytes);
    later(Duration::zero(), [this] { read(); });
}

void SimShell::close(std::string_view stream)
{
    if (stream == sc::environment_name) // whoever started it is gone
        later(Duration::zero(), [this] { on_signal(SIGKILL); });
}

void SimShell::read()
{
    while (started_ && !exited()) {
        auto line = input_.next();
        if (!line)
            return world_.violated("a shell was sent a line that is too long");
        if (!*line)
            return;
        auto message = sc::parse_to_shell(**line);
        if (!message) {
            world_.violated(fmt::format("a shell was sent {}: {}", **line, message.error().text()));
            return exit(wait_status_of_exit(1));
        }
        handle(std::move(*message));
    }
}

void SimShell::handle(sc::ToShell message)
{
    if (command_ == "hang" && !job_->leader()) // as one that is stopped
        return;
    if (auto *start = std::get_if<sc::Start>(&message)) {
        if (job_ && !finished_)
            return world_.violated("a shell was sent a second job before it was done with the first");
        forget_job();
        start_job(std::move(*start));
    } else if (finished_) {
        return; // it came too late for its job
    } else if (!job_) {
        world_.violated("a shell was sent something before its job");
    } else if (auto *signal = std::get_if<sc::Signal>(&message)) {
        if (signal->signum == SIGCONT)
            return;
        if (command_ == "deaf" && signal->signum != SIGKILL)
            return;
        signalled_ = true;
        for (auto &[task, state] : tasks_)
            if (state.running)
                end_task(task, wait_status_of_signal(signal->signum));
    } else if (auto *result = std::get_if<sc::PmiExchangeResult>(&message)) {
        if (result->seq != barrier_)
            return world_.violated(fmt::format("job {}: exchange {} was answered in exchange {}",
                                               job_->start.id, result->seq, barrier_));
        // Those that are left meet without the ones that have ended.
        bool maimed = world_.maimed.contains(job_->start.id.value());
        for (uint32_t node = 0; node < job_->start.nnodes && !maimed; node++)
            if (!result->pairs.contains(pmi_key(barrier_, node)))
                world_.violated(fmt::format("job {}: exchange {} lacks the pairs of node {}", job_->start.id,
                                            barrier_, node));
        barrier_++;
        later(between_barriers.draw(random()), [this] { enter_barrier(); });
    } else if (auto *input = std::get_if<sc::Stdin>(&message)) {
        say(sc::StdinTaken {++inputs_});
        if (command_ == "read" && input->eof)
            for (auto &[task, state] : tasks_)
                end_task(task, 0);
    } else if (std::holds_alternative<sc::Shutdown>(message)) {
        signalled_ = true;
        for (auto &[task, state] : tasks_)
            if (state.running)
                end_task(task, wait_status_of_signal(SIGKILL));
    }
}

void SimShell::start_job(sc::Start start)
{
    auto job = flux::shell::Job::from(std::move(start));
    if (!job) {
        say(sc::Exception {0, "exec", job.error().text()});
        say(sc::Finish {wait_status_of_exit(1)});
        return exit(wait_status_of_exit(1));
    }
    job_ = std::move(*job);
    uint64_t holder = 0;
    if (!world_.cores.take(job_->start.rank, job_->node().cores(), job_->start.id.value(), holder))
        world_.violated(fmt::format("job {} was given cores {} of rank {}, but job {} holds some of them",
                                    job_->start.id, job_->node().cores().format(), job_->start.rank,
                                    JobId(holder)));
    else
        holds_cores_ = true;
    if (job_->leader())
        say(sc::Event {"shell.init", Json {{"leader-rank", job_->start.leader_rank},
                                           {"size", job_->start.nnodes},
                                           {"service", job_->start.service}}});
    start_tasks();
}

void SimShell::start_tasks()
{
    command_ = job_->jobspec.command().at(0);
    for (auto task : job_->tasks) {
        tasks_[task];
        running_++;
    }
    if (job_->leader())
        say(sc::Event {"shell.start", Json {{"taskmap", job_->taskmap.to_wrapped_json()}}});
    if (command_ == "crash")
        return later(seconds(argument()), [this] { exit(wait_status_of_signal(SIGKILL)); });
    if (command_ == "barrier")
        return enter_barrier();
    if (command_ == "read")
        return;
    bool last = command_ == "last" && job_->start.nodeid + 1 == job_->start.nnodes;
    for (auto task : job_->tasks) {
        if (command_ == "lines") {
            print_line(task, int(argument()));
        } else if (command_ == "flood") {
            flood(task, int(argument()));
        } else if (command_ == "sleep" || command_ == "deaf" || command_ == "hang" || last) {
            later(seconds(argument()), [this, task] { end_task(task, 0); });
        } else {
            int code = command_ == "false" ? 1 : command_ == "exit" ? int(argument()) : 0;
            later(between_lines.draw(random()),
                  [this, task, code] { end_task(task, wait_status_of_exit(code)); });
        }
    }
}

void SimShell::print_line(uint32_t task, int left)
{
    if (!tasks_[task].running)
        return;
    if (left == 0)
        return end_task(task, 0);
    say(sc::Output {"stdout", task, fmt::format("{}: {} to go\n", task, left), false});
    later(between_lines.draw(random()), [this, task, left] { print_line(task, left - 1); });
}

void SimShell::flood(uint32_t task, int left)
{
    if (!tasks_[task].running)
        return;
    if (left == 0)
        return end_task(task, 0);
    if (is_read())
        say(sc::Output {"stdout", task, fmt::format("{:>{}}\n", left--, flood_line), false});
    later(between_flood_lines.draw(random()), [this, task, left] { flood(task, left); });
}

void SimShell::enter_barrier()
{
    if (barrier_ < uint64_t(argument()) && job_->start.nnodes > 1)
        return say(sc::PmiExchange {barrier_, Json {{pmi_key(barrier_, job_->start.nodeid), "here"}}});
    for (auto &[task, state] : tasks_)
        if (state.running)
            end_task(task, 0);
}

void SimShell::end_task(uint32_t task, int wait_status)
{
    auto &state = tasks_[task];
    if (!std::exchange(state.running, false))
        return;
    for (auto *stream : {"stdout", "stderr"})
        say(sc::Output {stream, task, "", true});
    status_ = std::max(status_, wait_status);
    if (!std::exchange(any_exited_, true))
        say(sc::Event {"shell.task-exit", Json {{"localid", job_->tasks.index_of(task)},
                                                {"rank", task},
                                                {"state", "Exited"},
                                                {"pid", pid()},
                                                {"wait_status", wait_status},
                                                {"signaled", wait_status & 0x7f},
                                                {"exitcode", exit_code_of(wait_status)}}});
    if (--running_ == 0)
        finish();
}

void SimShell::finish()
{
    on_end(); // its tasks are gone: with this message the job is over here
    finished_ = true;
    say(sc::Finish {status_, !signalled_});
    set_waiting(!signalled_);
    if (signalled_)
        later(Duration::zero(), [this] { exit(wait_status_of_exit(exit_code_of(status_))); });
}

void SimShell::forget_job()
{
    set_waiting(false);
    job_.reset();
    command_.clear();
    tasks_.clear();
    inputs_ = barrier_ = 0;
    status_ = 0;
    any_exited_ = finished_ = signalled_ = false;
}

void SimShell::say(const sc::FromShell &message)
{
    output(sc::environment_name, sc::encode(message));
}

void SimShell::on_signal(int signum)
{
    if (signum == SIGKILL || signum == SIGTERM || signum == SIGINT)
        exit(wait_status_of_signal(signum));
}

void SimShell::on_end()
{
    if (job_)
        world_.maimed.insert(job_->start.id.value());
    if (std::exchange(holds_cores_, false))
        world_.cores.release(job_->start.rank, job_->node().cores(), job_->start.id.value());
}

} // namespace flux::sim
