#include "shell/files.hpp"
#include "shell/shell.hpp"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "common/job/job_exit.hpp"
#include "common/types/duration.hpp"
#include "shell/affinity.hpp"

namespace flux::shell {

namespace {
constexpr const char *pmi_channel = "PMI_FD";
constexpr const char *other_directory = "/tmp"; // where the working directory is missing
constexpr int exit_cannot_execute = 126; // as shells have it
constexpr int exit_not_found = 127;
} // namespace

Shell::Shell(Loop &loop, Spawner &spawner, ShellChannel &channel, Job job)
    : loop_(loop), spawner_(spawner), channel_(channel), job_(std::move(job)), output_(job_, channel_),
      pmi_(
          job_, channel_,
          [this](uint32_t task, std::string_view bytes) {
              if (auto *process = process_of(task))
                  process->write(pmi_channel, bytes);
          },
          [this](uint32_t task, int code, std::string_view message) {
              fatal(fmt::format("task {} on {} called PMI_Abort: {}", task, job_.host, message),
                    wait_status_of_exit(code ? code : 1));
          },
          [this](uint32_t task, const Error &error) {
              channel_.send(shell_channel::Log {3, error.text()});
              if (auto *process = process_of(task))
                  process->close(pmi_channel);
          }),
      coprocesses_(loop_, spawner_, channel_, job_, [this] { finish(); })
{
}

Shell::~Shell()
{
    remove_tmpdir();
}

void Shell::remove_tmpdir()
{
    if (::rmdir(job_.tmpdir.c_str()) < 0 && (errno == ENOTEMPTY || errno == EEXIST)) {
        std::error_code ignored;
        std::filesystem::remove_all(job_.tmpdir, ignored);
    }
}

void Shell::start()
{
    channel_.watch([this](shell_channel::ToShell message) { handle(std::move(message)); },
                   [this] { // the broker is gone: nobody can watch these tasks any more
                       kill_all();
                       if (!running_)
                           loop_.stop();
                   });
    channel_.on_backlog([this](bool backlog) {
        backlog_ = backlog;
        read_output(!backlog);
    });
    preparing_ = true;
    try {
        prepare();
    } catch (const Error &error) {
        fatal(error.text(), wait_status_of_exit(exit_cannot_execute));
    }
}

void Shell::prepare()
{
    if (::mkdir(job_.tmpdir.c_str(), 0700) < 0 && errno != EEXIST)
        throw Error(errno, "cannot make the job's temporary directory {}: {}", job_.tmpdir,
                    errno_text(errno));
    if (Json files = job_.jobspec.system("files"))
        extract_files(files, job_.tmpdir);
    if (job_.leader()) {
        Json context {{"leader-rank", job_.start.leader_rank},
                      {"size", job_.start.nnodes},
                      {"service", job_.start.service}};
        if (job_.options.terminal && job_.options.terminal->interactive)
            context.set("pty", "pty"); // SERVICE.pty
        channel_.send(shell_channel::Event {"shell.init", context});
    }
    if (!job_.options.topology_file)
        return stage_in();
    auto cores = job_.options.topology_of_job ? job_.node().cores().format() : std::string();
    channel_.send(shell_channel::TopologyRequest {cores});
}

void Shell::have_topology(const shell_channel::Topology &topology)
{
    if (!preparing_ || !job_.topology_file.empty() || !job_.options.topology_file)
        return;
    if (!topology.error.empty())
        return fatal(fmt::format("hwloc.xmlfile on {}: {}", job_.host, topology.error),
                     wait_status_of_exit(exit_cannot_execute));
    job_.topology_file = job_.tmpdir + "/hwloc.xml";
    std::ofstream file(job_.topology_file, std::ios::binary);
    if (!(file << topology.xml).flush())
        return fatal(fmt::format("hwloc.xmlfile on {}: cannot write {}", job_.host, job_.topology_file),
                     wait_status_of_exit(exit_cannot_execute));
    stage_in();
}

void Shell::stage_in()
{
    const auto &wanted = job_.options.stage_in;
    if (!wanted)
        return start_tasks();
    if (wanted->global && !job_.leader())
        return channel_.send(shell_channel::PmiExchange {staged_in, Json::object()});
    auto done = [this](std::optional<Error> failed) {
        if (!preparing_)
            finish(); // somebody did not wait for it
        else if (failed)
            fatal(failed->text(), wait_status_of_exit(1));
        else
            have_staged_in();
    };
    try {
        stage_in_ = std::make_unique<StageInRun>(spawner_, job_, done);
        stage_in_->start();
    } catch (const Error &error) {
        fatal(error.text(), wait_status_of_exit(1));
    }
}

void Shell::have_staged_in()
{
    if (job_.options.stage_in->global && job_.start.nnodes > 1)
        channel_.send(shell_channel::PmiExchange {staged_in, Json::object()});
    else
        start_tasks();
}

// The tasks never start.
void Shell::stop_preparing(int signum)
{
    preparing_ = false;
    if (!excepted_)
        note_status(wait_status_of_signal(signum));
    if (stage_in_)
        stage_in_->kill();
    loop_.post([this] { finish(); });
}

void Shell::start_tasks()
try {
    preparing_ = false;
    output_.open();
    choose_directory();
    apply_rlimits(job_);
    for (const auto &warning : job_.options.warnings)
        if (job_.leader())
            channel_.send(shell_channel::Log {4, warning, job_.start.nodeid});
    coprocesses_.start();
    for (auto task : job_.tasks)
        start_task(task);
    announce_tasks();
    start_monitor();
    if (job_.leader())
        channel_.send(
            shell_channel::Event {"shell.start", Json {{"taskmap", job_.taskmap.to_wrapped_json()}}});
    give_stdin_file();
    start_warning_timer();
    for (auto &message : std::exchange(held_, {}))
        handle(std::move(message));
    if (!running_)
        tasks_done();
} catch (const Error &error) {
    int code = error.errnum() == ENOENT ? exit_not_found : exit_cannot_execute;
    fatal(error.text(), wait_status_of_exit(code));
    if (!running_)
        tasks_done();
}

void Shell::start_monitor()
{
    if (!job_.options.monitor_period)
        return;
    auto say = [this](std::string text) {
        channel_.send(
            shell_channel::Log {7, fmt::format("sysmon: {}: {}", job_.host, text), job_.start.nodeid});
    };
    monitor_ = std::make_unique<Monitor>(loop_, *job_.options.monitor_period, job_.options.verbose >= 2, say);
}

// A job does not fail because its working directory is missing on a node.
void Shell::choose_directory()
{
    directory_ = job_.jobspec.cwd();
    if (directory_.empty() || ::access((directory_ + "/.").c_str(), X_OK) == 0)
        return;
    channel_.send(shell_channel::Log {
        3,
        fmt::format("{}: cannot go to the working directory {}: {}; the tasks run in {} instead", job_.host,
                    directory_, errno_text(errno), other_directory),
        job_.start.nodeid});
    directory_ = other_directory;
}

void Shell::start_task(uint32_t task)
{
    ProcessSpec spec;
    for (const auto &argument : job_.jobspec.command())
        spec.argv.push_back(render(argument, job_, task));
    spec.environment = task_environment(job_, task);
    spec.cwd = directory_;
    spec.new_process_group = job_.options.own_process_groups;
    if (has_terminal(task)) {
        spec.terminal.emplace();
        tasks_[task].input = "terminal";
    }
    spec.with_stdin = true;
    if (job_.options.pmi) {
        spec.channels = {pmi_channel};
        pmi_.add_task(task);
    }
    bind_for_task(job_, task);
    if (auto cores = cores_of_task(job_, task); cores && job_.options.affinity_verbose)
        channel_.send(shell_channel::Log {
            6, fmt::format("task {} on {}: cores {}", task, job_.host, cores->format()), job_.start.nodeid});
    ProcessCallbacks callbacks {.on_output =
                                    [this, task](std::string_view stream, std::string_view bytes) {
                                        if (stream != pmi_channel)
                                            task_wrote(task, stream, bytes);
                                        else if (!bytes.empty())
                                            pmi_.receive(task, bytes);
                                    },
                                .on_exit =
                                    [this, task](int status) {
                                        task_exited(task, status);
                                    },
                                .on_written =
                                    [this, task](std::string_view stream, size_t bytes) {
                                        if (stream != tasks_[task].input)
                                            return;
                                        auto &unread = tasks_[task].unread;
                                        unread -= std::min(unread, bytes);
                                        tell_stdin_taken();
                                    }};
    try {
        tasks_[task].process = spawner_.spawn(std::move(spec), std::move(callbacks));
    } catch (const Error &error) {
        tasks_.erase(task);
        throw Error(error.errnum(), "task {} on {}: {}", task, job_.host, error.text());
    }
    running_++;
}

void Shell::announce_tasks()
{
    shell_channel::Tasks tasks {
        .pids = {}, .groups = job_.options.own_process_groups, .helpers = coprocesses_.pids()};
    for (const auto &[task, entry] : tasks_)
        tasks.pids.push_back(entry.process->pid());
    channel_.send(tasks);
    if (job_.options.verbose > 0)
        channel_.send(shell_channel::Log {6,
                                          fmt::format("{} runs tasks {} of {}", job_.host, job_.tasks.format(),
                                                      job_.taskmap.ntasks()),
                                          job_.start.nodeid});
}

void Shell::give_stdin_file()
{
    if (job_.options.stdin_path.empty())
        return;
    for (auto task : job_.tasks) {
        auto path = path_in_job(render(job_.options.stdin_path, job_, task), job_);
        std::error_code error;
        auto size = std::filesystem::file_size(path, error);
        std::ifstream file(path, std::ios::binary);
        if (error || !file)
            throw Error(EIO, "cannot read {} as the standard input of task {}", path, task);
        if (size > max_stdin_file)
            throw Error(EFBIG, "{} has {} bytes: at most {} can be a standard input", path, size,
                        max_stdin_file);
        std::string bytes((std::istreambuf_iterator<char>(file)), {});
        tasks_[task].process->write(tasks_[task].input, bytes);
        tasks_[task].process->close(tasks_[task].input);
    }
}

void Shell::start_warning_timer()
{
    double expiration = job_.resources.expiration();
    if (!job_.options.warn_signal || expiration <= 0)
        return;
    double delay = expiration - job_.options.warn_seconds - loop_.clock().wall_time();
    if (delay > 0)
        warning_timer_ = Timer(loop_, seconds(delay), [this] { signal_tasks(*job_.options.warn_signal); });
}

Process *Shell::process_of(uint32_t task)
{
    auto found = tasks_.find(task);
    return found == tasks_.end() || found->second.exited ? nullptr : found->second.process.get();
}

void Shell::handle(shell_channel::ToShell message)
{
    if (auto *topology = std::get_if<shell_channel::Topology>(&message))
        return have_topology(*topology);
    if (auto *result = std::get_if<shell_channel::PmiExchangeResult>(&message);
        result && result->seq == staged_in) {
        if (preparing_)
            start_tasks();
        return;
    }
    bool at_once = std::holds_alternative<shell_channel::Signal>(message) ||
                   std::holds_alternative<shell_channel::Shutdown>(message);
    if (preparing_ && !at_once)
        return held_.push_back(std::move(message));
    if (auto *signal = std::get_if<shell_channel::Signal>(&message)) {
        if (signal->signum > 0 && signal->signum < NSIG)
            return signal_tasks(signal->signum);
        channel_.send(shell_channel::Log {3, fmt::format("there is no signal {}", signal->signum)});
    } else if (auto *input = std::get_if<shell_channel::Stdin>(&message)) {
        write_stdin(*input);
    } else if (auto *result = std::get_if<shell_channel::PmiExchangeResult>(&message)) {
        if (auto done = pmi_.finish(*result); !done)
            channel_.send(shell_channel::Log {3, done.error().text()});
    } else if (auto *typed = std::get_if<shell_channel::TerminalInput>(&message)) {
        type_in(*typed);
    } else if (std::holds_alternative<shell_channel::Shutdown>(message)) {
        kill_all();
    } else if (auto *changed = std::get_if<shell_channel::Expiration>(&message)) {
        job_.resources.set_expiration(changed->expiration);
        warning_timer_.cancel();
        start_warning_timer();
    } else {
        channel_.send(shell_channel::Log {3, "a second job came on the shell channel"});
    }
}

void Shell::write_stdin(const shell_channel::Stdin &input)
{
    stdin_heard_++;
    if (!job_.options.stdin_path.empty())
        return tell_stdin_taken();
    auto wanted = input.ranks == "all" ? Expected<Idset>(job_.tasks) : Idset::parse(input.ranks);
    if (!wanted) {
        channel_.send(shell_channel::Log {3, wanted.error().text()});
        return;
    }
    for (auto task : *wanted &job_.tasks) {
        auto *process = process_of(task);
        if (process && !input.data.empty()) {
            tasks_[task].unread += input.data.size();
            process->write(tasks_[task].input, input.data);
        }
        if (process && input.eof)
            process->close(tasks_[task].input);
    }
    tell_stdin_taken();
}

void Shell::tell_stdin_taken()
{
    for (const auto &[task, entry] : tasks_)
        if (!entry.exited && entry.unread > max_unread_stdin)
            return;
    if (std::exchange(stdin_told_, stdin_heard_) != stdin_heard_)
        channel_.send(shell_channel::StdinTaken {stdin_heard_});
}

void Shell::read_output(bool reading)
{
    for (const auto &[task, entry] : tasks_) {
        if (!entry.process)
            continue;
        for (auto *stream : {"stdout", "stderr"})
            if (output_.goes_to_channel(task, stream))
                entry.process->set_reading(stream, reading);
        if (output_.goes_to_channel(task, "stdout") && !is_interactive(task))
            entry.process->set_reading("terminal", reading);
    }
    read_interactive_terminal();
}

void Shell::task_wrote(uint32_t task, std::string_view stream, std::string_view bytes)
{
    if (bytes.empty() &&
        monitor_) { // who reads the output stops when it ends, and what was measured comes before
        held_ends_.emplace_back(task, stream);
        return;
    }
    if (stream != "terminal")
        return output_.add(task, stream, bytes);
    if (job_.options.terminal->capture || bytes.empty())
        output_.add(task, "stdout", bytes);
    if (bytes.empty())
        output_.add(task, "stderr", bytes);
    if (!is_interactive(task) || bytes.empty())
        return;
    terminal_written_ += bytes.size();
    channel_.send(shell_channel::TerminalOutput {std::string(bytes)});
    read_interactive_terminal();
}

void Shell::read_interactive_terminal()
{
    if (auto *process = is_interactive(0) ? process_of(0) : nullptr)
        process->set_reading("terminal", !backlog_ && terminal_written_ - terminal_taken_ < max_untaken_output);
}

void Shell::type_in(const shell_channel::TerminalInput &input)
{
    auto *process = is_interactive(0) ? process_of(0) : nullptr;
    if (!process)
        return; // it has just ended
    if (input.rows && input.columns)
        process->resize_terminal({input.rows, input.columns});
    if (tasks_[0].unread + input.data.size() > max_unread_stdin) {
        channel_.send(shell_channel::Log {
            3, fmt::format("task 0 has not read {} bytes of its terminal: what was typed now is dropped",
                           tasks_[0].unread)});
    } else if (!input.data.empty()) {
        tasks_[0].unread += input.data.size();
        process->write("terminal", input.data);
    }
    terminal_taken_ = std::clamp(input.taken, terminal_taken_, terminal_written_);
    read_interactive_terminal();
}

void Shell::task_exited(uint32_t task, int wait_status)
{
    tasks_[task].exited = true;
    running_--;
    if (!excepted_ || !status_) // what fatal() killed is not why the job failed
        note_status(wait_status);
    if (WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGKILL && !signalled_)
        lost(task, wait_status);
    if (!std::exchange(any_exited_, true))
        first_exit(task, wait_status);
    if (!running_)
        tasks_done();
    else
        tell_stdin_taken(); // it was the one that did not read
}

// Somebody from outside killed it (the kernel when memory is short, a person): the tasks that are left need not
// wait for a peer that is gone. Which others there are on other nodes, and whether the signal came by way of
// the instance, job-exec knows.
void Shell::lost(uint32_t task, int wait_status)
{
    if ((!running_ && job_.start.nnodes == 1) || !job_.options.exit_timeout)
        return;
    channel_.send(shell_channel::Exception {0, "exec",
                                            fmt::format("task {} on rank {} ({}) was lost: it was {}", task,
                                                        job_.start.rank, job_.host,
                                                        describe_wait_status(wait_status)),
                                            true});
}

void Shell::first_exit(uint32_t task, int wait_status)
{
    Json context {{"localid", job_.tasks.index_of(task)},
                  {"rank", task},
                  {"state", "Exited"},
                  {"pid", tasks_[task].process->pid()},
                  {"wait_status", wait_status},
                  {"signaled", WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0},
                  {"exitcode", exit_code_of(wait_status)}};
    channel_.send(shell_channel::Event {"shell.task-exit", std::move(context)});
    if (!running_ && job_.start.nnodes == 1)
        return;
    if (job_.options.exit_on_error && wait_status != 0)
        return fatal(fmt::format("task {} on {} {} and exit-on-error is set", task, job_.host,
                                 describe_wait_status(wait_status)),
                     wait_status);
    if (!running_ || !job_.options.exit_timeout || job_.start.nnodes > 1)
        return; // the tasks of other nodes are job-exec's concern
    double timeout = *job_.options.exit_timeout;
    exit_timer_ = Timer(loop_, seconds(timeout), [this, task, timeout] {
        fatal(fmt::format("task {} on {} exited and the others did not within exit-timeout={}", task,
                          job_.host, format_duration(timeout)),
              0);
    });
}

void Shell::signal_tasks(int signum)
{
    signalled_ = true;
    constexpr int ends[] = {SIGTERM, SIGKILL, SIGINT, SIGHUP, SIGQUIT};
    if (preparing_ && std::ranges::find(ends, signum) != std::end(ends))
        return stop_preparing(signum);
    if (!running_ && signum == SIGKILL) // what is left of the job need not be polite
        coprocesses_.kill();
    for (auto &[task, entry] : tasks_) {
        if (entry.exited || !entry.process)
            continue;
        try {
            entry.process->signal(signum);
        } catch (const Error &) { // it exited just now
        }
    }
}

void Shell::fatal(const std::string &note, int wait_status)
{
    note_status(wait_status);
    if (!std::exchange(excepted_, true))
        channel_.send(shell_channel::Exception {0, "exec", note});
    signal_tasks(SIGKILL);
}

void Shell::note_status(int wait_status)
{
    if (exit_code_of(wait_status) > exit_code_of(status_))
        status_ = wait_status;
}

void Shell::kill_all()
{
    signal_tasks(SIGKILL);
    coprocesses_.kill();
}

void Shell::tasks_done()
{
    if (monitor_)
        channel_.send(shell_channel::Log {6, fmt::format("sysmon: {}: {}", job_.host, monitor_->summary()),
                                          job_.start.nodeid});
    monitor_.reset();
    for (const auto &[task, stream] : std::exchange(held_ends_, {}))
        task_wrote(task, stream, {});
    exit_timer_.cancel();
    warning_timer_.cancel();
    if (coprocesses_.running())
        coprocesses_.end();
    else
        finish();
}

void Shell::finish()
{
    if (std::exchange(finished_, true))
        return;
    exit_timer_.cancel();
    warning_timer_.cancel();
    remove_tmpdir(); // the job is over with this message
    channel_.send(shell_channel::Finish {status_, leaves_no_trace()});
    channel_.flush();
    channel_.unwatch();
    loop_.stop();
}

bool Shell::leaves_no_trace() const
{
    return !signalled_ && !excepted_ && !mark_the_process(job_.options);
}

} // namespace flux::shell
