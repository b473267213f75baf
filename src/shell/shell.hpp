// Shell: one job's tasks on one node, from start to the last exit.
#pragma once
#include <csignal>
#include <map>
#include <memory>

#include "common/runtime/loop.hpp"
#include "common/runtime/spawner.hpp"
#include "shell/channel.hpp"
#include "shell/coprocesses.hpp"
#include "shell/job.hpp"
#include "shell/monitor.hpp"
#include "shell/output.hpp"
#include "shell/pmi_exchange.hpp"
#include "shell/stage_in.hpp"

namespace flux::shell {

class Shell {
public:
    static constexpr size_t max_stdin_file = 64u << 20; // bytes of a file given as standard input
    // Bytes of standard input that a task has not read yet, then its sender waits. Not 0: the tasks that do read are
    // not to wait for one that never does, unless there is very much.
    static constexpr size_t max_unread_stdin = 16u << 20;

    // Bytes of the interactive terminal's output that who is attached has not taken; then no more is read.
    static constexpr uint64_t max_untaken_output = 256u << 10;
    // Number of the exchange in which the nodes wait for what the first of them stages in; those of PMI count
    // from 0.
    static constexpr uint64_t staged_in = uint64_t(1) << 62;

    Shell(Loop &loop, Spawner &spawner, ShellChannel &channel, Job job);
    ~Shell();

    // Starts the tasks; the loop stops when all of them have ended. Failures become an exception message.
    void start();
    // The worst wait status, once the loop has stopped.
    int status() const { return status_; }
    bool finished() const { return finished_; } // then there is nothing to run
    // Whether the process is as it was before the job, and may run another one.
    bool leaves_no_trace() const;

private:
    struct TaskProcess {
        std::unique_ptr<Process> process;
        bool exited = false;
        size_t unread = 0; // bytes of standard input
        std::string input = "stdin"; // the stream that takes it
    };
    // What may take its time before the tasks start: the topology, then archives.
    void prepare();
    void have_topology(const shell_channel::Topology &topology);
    void stage_in();
    void have_staged_in();
    void stop_preparing(int signum);
    void start_tasks();
    void start_monitor();
    void start_task(uint32_t task);
    void announce_tasks();
    void give_stdin_file();
    void lost(uint32_t task, int wait_status);
    void start_warning_timer();
    void handle(shell_channel::ToShell message);
    void write_stdin(const shell_channel::Stdin &input);
    void tell_stdin_taken();
    void task_wrote(uint32_t task, std::string_view stream, std::string_view bytes);
    void type_in(const shell_channel::TerminalInput &input);
    void read_interactive_terminal();
    bool has_terminal(uint32_t task) const { return job_.options.terminal && job_.options.terminal->contains(task); }
    bool is_interactive(uint32_t task) const { return task == 0 && has_terminal(0) && job_.options.terminal->interactive; }
    void read_output(bool reading);
    void task_exited(uint32_t task, int wait_status);
    void first_exit(uint32_t task, int wait_status);
    void signal_tasks(int signum);
    void fatal(const std::string &note, int wait_status);
    void note_status(int wait_status);
    void tasks_done();
    void finish();
    void choose_directory();
    void kill_all();
    void remove_tmpdir();
    Process *process_of(uint32_t task);

    Loop &loop_;
    Spawner &spawner_;
    ShellChannel &channel_;
    Job job_;
    Output output_;
    std::string directory_; // where tasks start
    PmiExchange pmi_;
    std::unique_ptr<StageInRun> stage_in_;
    Coprocesses coprocesses_;
    std::unique_ptr<Monitor> monitor_;
    std::vector<std::pair<uint32_t, std::string>> held_ends_; // of tasks' streams, while there is a monitor
    std::map<uint32_t, TaskProcess> tasks_;
    size_t running_ = 0;
    uint64_t stdin_heard_ = 0; // messages
    uint64_t stdin_told_ = 0;  // of those, as taken
    uint64_t terminal_written_ = 0, terminal_taken_ = 0; // bytes of the interactive one's output
    bool backlog_ = false;                               // of the channel
    int status_ = 0;
    bool any_exited_ = false;
    bool signalled_ = false; // tasks that end by a signal may owe it to us
    bool excepted_ = false;
    bool preparing_ = false;
    std::vector<shell_channel::ToShell> held_; // until the tasks are there; job-exec bounds what it sends
    bool finished_ = false;
    Timer exit_timer_;
    Timer warning_timer_;
};

} // namespace flux::shell
