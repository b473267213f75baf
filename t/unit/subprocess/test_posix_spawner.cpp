#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <map>
#include <optional>

#include "common/base/error.hpp"
#include "common/runtime/ev_loop.hpp"
#include "common/subprocess/posix_spawner.hpp"

namespace flux {
namespace {

struct Runner {
    EvLoop loop;
    std::map<std::string, std::string, std::less<>> output;
    std::map<std::string, int, std::less<>> ends;
    std::optional<int> status;
    std::unique_ptr<Process> process;

    Process &start(ProcessSpec spec, Duration grace = PosixSpawner::default_stream_grace)
    {
        PosixSpawner spawner(loop, grace);
        if (spec.environment.empty())
            spec.environment = {"PATH=/usr/bin:/bin"};
        process =
            spawner.spawn(std::move(spec), {.on_output =
                                                [this](std::string_view stream, std::string_view bytes) {
                                                    if (bytes.empty())
                                                        ends[std::string(stream)]++;
                                                    output[std::string(stream)] += bytes;
                                                },
                                            .on_exit =
                                                [this](int value) {
                                                    status = value;
                                                }});
        return *process;
    }
    int wait()
    {
        while (!status)
            loop.step(true);
        return *status;
    }
    static ProcessSpec shell(std::string script) { return {.argv = {"sh", "-c", std::move(script)}}; }
};

TEST(PosixSpawner, output_comes_whole_and_the_exit_after_it)
{
    Runner run;
    run.start(Runner::shell("echo out; echo err >&2; exit 3"));
    EXPECT_EQ(WEXITSTATUS(run.wait()), 3);
    EXPECT_EQ(run.output["stdout"], "out\n");
    EXPECT_EQ(run.output["stderr"], "err\n");
    EXPECT_EQ(run.ends["stdout"], 1);
}

TEST(PosixSpawner, a_terminal_is_the_one_of_the_process_and_its_last_output_is_not_lost)
{
    Runner run;
    auto spec = Runner::shell("test -t 2 && stty size </dev/tty && read word && echo $word");
    spec.terminal = TerminalSize {12, 34};
    auto &process = run.start(spec);
    process.write("terminal", "typed\n");
    EXPECT_EQ(WEXITSTATUS(run.wait()), 0);
    EXPECT_TRUE(run.output["terminal"].ends_with("typed\r\n")) << run.output["terminal"];
    EXPECT_NE(run.output["terminal"].find("12 34\r\n"), std::string::npos) << run.output["terminal"];
    EXPECT_EQ(run.ends["terminal"], 1);
}

TEST(PosixSpawner, the_end_of_what_is_written_to_a_terminal_is_typed)
{
    Runner run;
    auto spec = Runner::shell("cat >/dev/null; echo over");
    spec.terminal.emplace();
    auto &process = run.start(spec);
    process.close("terminal");
    EXPECT_EQ(WEXITSTATUS(run.wait()), 0);
    EXPECT_TRUE(run.output["terminal"].ends_with("over\r\n")) << run.output["terminal"];
}

TEST(PosixSpawner, what_is_not_read_for_now_holds_the_process_up_and_is_not_lost)
{
    Runner run;
    auto &process = run.start(Runner::shell("head -c 300000 /dev/zero | tr '\\0' x; echo done >&2"), Duration::zero());
    process.set_reading("stdout", false);
    bool waited = false;
    Timer limit(run.loop, std::chrono::milliseconds(50), [&] { waited = true; });
    while (!waited)
        run.loop.step(true);
    EXPECT_EQ(run.output["stdout"], "");
    EXPECT_EQ(run.output["stderr"], "");
    process.set_reading("stdout", true);
    EXPECT_EQ(run.wait(), 0);
    EXPECT_EQ(run.output["stdout"].size(), 300000u);
    EXPECT_EQ(run.output["stderr"], "done\n");
}

TEST(PosixSpawner, a_process_has_ended_when_the_rest_of_what_it_wrote_is_read)
{
    Runner run;
    auto &process = run.start(Runner::shell("echo rest"), Duration::zero());
    process.set_reading("stdout", false);
    while (!run.ends["stderr"]) // it has ended, and the grace for those who keep its pipes is over
        run.loop.step(true);
    bool waited = false;
    Timer limit(run.loop, std::chrono::milliseconds(50), [&] { waited = true; });
    while (!waited)
        run.loop.step(true);
    EXPECT_FALSE(run.status);
    process.set_reading("stdout", true);
    EXPECT_EQ(run.wait(), 0);
    EXPECT_EQ(run.output["stdout"], "rest\n");
}

TEST(PosixSpawner, stdin_larger_than_a_pipe_arrives_whole)
{
    Runner run;
    auto spec = Runner::shell("wc -c");
    spec.with_stdin = true;
    auto &process = run.start(spec);
    process.write("stdin", std::string(1'000'000, 'x'));
    process.close("stdin");
    EXPECT_EQ(run.wait(), 0);
    EXPECT_EQ(std::stoi(run.output["stdout"]), 1'000'000);
}

TEST(PosixSpawner, writing_to_a_process_that_does_not_read_is_no_signal_for_us)
{
    Runner run;
    auto spec = Runner::shell("exec <&-; echo closed; sleep 0.05");
    spec.with_stdin = true;
    auto &process = run.start(spec);
    while (run.output["stdout"].empty())
        run.loop.step(true);
    process.write("stdin", "x");
    EXPECT_EQ(run.wait(), 0);
}

TEST(PosixSpawner, a_channel_carries_bytes_both_ways)
{
    Runner run;
    auto spec = Runner::shell(
        "read line <&$CHAN; echo got $line >&$CHAN; echo no other: $(ls /proc/self/fd | wc -l)");
    spec.channels = {"CHAN"};
    run.start(spec).write("CHAN", "hello\n");
    EXPECT_EQ(run.wait(), 0);
    EXPECT_EQ(run.output["CHAN"], "got hello\n");
    EXPECT_EQ(run.output["stdout"], "no other: 5\n"); // 0, 1, 2, the channel and ls's own
}

TEST(PosixSpawner, a_signal_reaches_the_whole_group)
{
    Runner run;
    auto &process = run.start(Runner::shell("sleep 100 & echo ready; wait; sleep 100"));
    while (run.output["stdout"].empty())
        run.loop.step(true);
    process.signal(SIGTERM);
    EXPECT_EQ(WTERMSIG(run.wait()), SIGTERM);
    EXPECT_EQ(run.ends["stdout"], 1); // the background sleep died too
    EXPECT_THROW(process.signal(SIGTERM), Error);
}

// As a shell is that starts a program just then: the signal waits for it, and its child does not get it.
TEST(PosixSpawner, what_was_forked_while_a_signal_waited_ends_with_its_group)
{
    constexpr const char *script = R"(
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
print('ready', flush=True)
while signal.SIGHUP not in signal.sigpending():
    os.sched_yield()
child = os.fork()
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
while True:
    signal.pause()
)";
    Runner run;
    ProcessSpec spec {.argv = {"python3", "-c", script}};
    spec.new_process_group = true;
    auto &process = run.start(spec, std::chrono::hours(1)); // who is left holds its output
    while (run.output["stdout"].empty())
        run.loop.step(true);
    process.signal(SIGHUP);
    EXPECT_EQ(WTERMSIG(run.wait()), SIGHUP);
}

TEST(PosixSpawner, a_grandchild_that_holds_a_pipe_does_not_hold_up_the_exit)
{
    Runner run;
    run.start(Runner::shell("sleep 5 & echo $!"), std::chrono::milliseconds(20));
    EXPECT_EQ(run.wait(), 0);
    EXPECT_EQ(run.ends["stdout"], 1);
    kill(std::stoi(run.output["stdout"]), SIGKILL);
}

TEST(PosixSpawner, what_cannot_be_started_is_an_error_that_names_it)
{
    Runner run;
    auto errnum = [&](std::vector<std::string> argv, std::string cwd = {}) {
        try {
            ProcessSpec spec;
            spec.argv = argv;
            spec.cwd = cwd;
            run.start(spec);
        } catch (const Error &error) {
            EXPECT_NE(error.text().find(argv[0]), std::string::npos);
            return error.errnum();
        }
        return 0;
    };
    EXPECT_EQ(errnum({"no-such-program"}), ENOENT);
    EXPECT_EQ(errnum({"/etc/passwd"}), EACCES);
    EXPECT_EQ(errnum({"true"}, "/no-such-directory"), ENOENT);
}

TEST(PosixSpawner, the_directory_and_the_environment_are_those_given)
{
    Runner run;
    auto spec = Runner::shell("pwd; echo $A; trap");
    spec.cwd = "/usr";
    spec.environment = {"PATH=/bin", "A=b c"};
    run.start(spec);
    run.wait();
    EXPECT_EQ(run.output["stdout"], "/usr\nb c\n");
}

TEST(PosixSpawner, a_destroyed_process_is_killed_and_reaped)
{
    Runner run;
    int pid = run.start(Runner::shell("sleep 100")).pid();
    run.process.reset();
    while (kill(pid, 0) == 0)
        run.loop.step(true);
    EXPECT_EQ(errno, ESRCH);
    EXPECT_FALSE(run.status);
}

TEST(PosixSpawner, a_process_may_be_destroyed_by_its_own_output)
{
    EvLoop loop;
    std::unique_ptr<Process> process;
    std::string seen;
    auto mark = std::make_shared<std::string>("seen");
    PosixSpawner spawner(loop);
    auto spec = Runner::shell("echo one; sleep 100");
    spec.environment = {"PATH=/usr/bin:/bin"};
    process = spawner.spawn(spec, {.on_output = [&process, &seen, mark](std::string_view, std::string_view) {
                                process.reset();
                                seen = *mark;
                            }});
    int pid = process->pid();
    while (seen.empty() || kill(pid, 0) == 0)
        loop.step(true);
    EXPECT_EQ(seen, "seen");
}

} // namespace
} // namespace flux
