#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>

#include "common/job/shell_channel.hpp"
#include "common/runtime/ev_loop.hpp"
#include "common/subprocess/posix_spawner.hpp"

namespace flux {
namespace {

namespace ch = shell_channel;

Json jobspec(std::vector<std::string> command, unsigned ntasks, Json options = Json::object())
{
    auto spec = Json::parse_or_throw(R"({"version":1,
        "resources":[{"type":"slot","count":1,"label":"task","with":[{"type":"core","count":1}]}],
        "tasks":[{"slot":"task","count":{"per_slot":1}}],
        "attributes":{"system":{"duration":0,"environment":{"PATH":"/usr/bin:/bin"},"shell":{}}}})");
    spec["resources"][size_t(0)].set("count", ntasks);
    spec["tasks"][size_t(0)].set("command", Json::array_of(command));
    spec["attributes"]["system"].set("cwd", "/tmp");
    spec["attributes"]["system"]["shell"].set("options", std::move(options));
    return spec;
}

Json resources(const std::string &ranks, const std::string &cores, const std::string &hosts)
{
    auto text =
        fmt::format(R"({{"version":1,"execution":{{"R_lite":[{{"rank":"{}","children":{{"core":"{}"}}}}],
        "nodelist":["{}"],"starttime":0,"expiration":0}}}})",
                    ranks, cores, hosts);
    return Json::parse_or_throw(text);
}

// Plays job-exec for one shell.
struct Exec {
    explicit Exec(EvLoop &loop) : loop(loop) {}
    EvLoop &loop;
    std::unique_ptr<Process> process;
    LineBuffer input = ch::line_buffer();
    std::map<std::string, std::string> output; // "stdout:0"
    std::map<std::string, Json> events;
    std::vector<ch::Exception> exceptions;
    std::vector<ch::PmiExchange> exchanges;
    std::string logs, redirects;
    std::optional<int> finish, exit;
    bool ready = false; // for another job
    std::string terminal;
    uint64_t stdin_taken = 0;
    std::optional<ch::TopologyRequest> asked; // for the topology
    std::vector<int> helpers;

    void start(Json jobspec, Json R, uint32_t nodeid = 0, uint32_t nnodes = 1)
    {
        ProcessSpec spec;
        spec.argv = {FLUX_SHELL_PROGRAM};
        spec.environment = {"PATH=/usr/bin:/bin"};
        spec.channels = {ch::environment_name};
        PosixSpawner spawner(loop);
        process =
            spawner.spawn(spec, {.on_output = [this](auto stream, auto bytes) { received(stream, bytes); },
                                 .on_exit =
                                     [this](int status) {
                                         exit = status;
                                     }});
        send_job(JobId(1234567), std::move(jobspec), std::move(R), nodeid, nnodes);
    }
    // Another one, when the last has finished and the shell is ready.
    void next(JobId id, Json jobspec, Json R)
    {
        finish.reset();
        output.clear();
        events.clear();
        send_job(id, std::move(jobspec), std::move(R), 0, 1);
    }
    void send_job(JobId id, Json jobspec, Json R, uint32_t nodeid, uint32_t nnodes)
    {
        send(ch::Start {.id = id,
                        .userid = 1,
                        .jobspec = std::move(jobspec),
                        .R = std::move(R),
                        .rank = 3 + nodeid,
                        .nodeid = nodeid,
                        .nnodes = nnodes,
                        .leader_rank = 3,
                        .uri = "local:///none"});
    }
    void send(const ch::ToShell &message) { process->write(ch::environment_name, ch::encode(message)); }
    void received(std::string_view stream, std::string_view bytes)
    {
        if (stream != ch::environment_name) {
            logs += bytes;
            return;
        }
        input.append(bytes);
        while (auto line = value_or_throw(input.next()))
            handle(value_or_throw(ch::parse_from_shell(*line)));
    }
    void handle(ch::FromShell message)
    {
        if (auto *out = std::get_if<ch::Output>(&message))
            output[fmt::format("{}:{}", out->stream, out->rank)] += out->data;
        else if (auto *event = std::get_if<ch::Event>(&message))
            events[event->name] = event->context;
        else if (auto *exception = std::get_if<ch::Exception>(&message))
            exceptions.push_back(*exception);
        else if (auto *exchange = std::get_if<ch::PmiExchange>(&message))
            exchanges.push_back(*exchange);
        else if (auto *log = std::get_if<ch::Log>(&message))
            logs += log->text;
        else if (auto *redirect = std::get_if<ch::Redirect>(&message))
            redirects += redirect->stream + "=" + redirect->path + ";";
        else if (auto *taken = std::get_if<ch::StdinTaken>(&message))
            stdin_taken = taken->count;
        else if (auto *shown = std::get_if<ch::TerminalOutput>(&message))
            terminal += shown->data;
        else if (auto *topology = std::get_if<ch::TopologyRequest>(&message))
            asked = *topology;
        else if (auto *tasks = std::get_if<ch::Tasks>(&message))
            helpers = tasks->helpers;
        else if (auto *end = std::get_if<ch::Finish>(&message))
            finish = end->status, ready = end->ready;
    }
    template <class Condition>
    void until(Condition condition)
    {
        while (!condition() && !exit)
            loop.step(true);
    }
    int wait()
    {
        until([this] { return finish.has_value(); });
        process->close(ch::environment_name);
        until([] { return false; });
        return finish.value_or(-1);
    }
};

TEST(Shell, runs_one_task_and_tells_its_life)
{
    EvLoop loop;
    Exec exec(loop);
    exec.start(
        jobspec({"sh", "-c", "echo $FLUX_TASK_RANK $FLUX_JOB_SIZE $FLUX_KVS_NAMESPACE {{id.dec}}; pwd >&2"},
                1),
        resources("3", "0", "a"));
    exec.until([&] { return !exec.events.empty(); });
    exec.send(ch::Stdin {.eof = true});
    EXPECT_EQ(exec.wait(), 0) << exec.logs;
    EXPECT_EQ(exec.exit, 0);
    EXPECT_EQ(exec.output["stdout:0"], "0 1 job-1234567 1234567\n");
    EXPECT_EQ(exec.output["stderr:0"], "/tmp\n");
    EXPECT_EQ(exec.events["shell.init"].get<int>("leader-rank"), 3);
    EXPECT_EQ(exec.events["shell.start"]["taskmap"]["map"].dump(), "[[0,1,1,1]]");
    EXPECT_TRUE(exec.events.contains("shell.task-exit"));
    EXPECT_TRUE(exec.exceptions.empty());
}

TEST(Shell, runs_one_job_after_another_as_long_as_none_leaves_a_trace)
{
    EvLoop loop;
    Exec exec(loop);
    auto R = resources("3", "0", "a");
    Json few_files {{"rlimit", Json {{"nofile", 60}}}};
    exec.start(jobspec({"sh", "-c", "exec 2>&1; trap '' TERM; ulimit -n; ulimit -S -n 50; exit 3"}, 1, few_files), R);
    exec.until([&] { return exec.finish.has_value(); });
    EXPECT_EQ(WEXITSTATUS(*exec.finish), 3);
    EXPECT_EQ(exec.output["stdout:0"], "60\n");
    ASSERT_TRUE(exec.ready);

    exec.send(ch::Signal {SIGTERM}); // too late for its job, and nothing to the next
    exec.send(ch::Stdin {.data = "of the last job\n"});
    exec.next(JobId(7654321), jobspec({"sh", "-c", "ulimit -S -n; cat; echo {{id.dec}} $FLUX_KVS_NAMESPACE"}, 1), R);
    exec.send(ch::Stdin {.data = "mine\n", .eof = true});
    exec.until([&] { return exec.finish.has_value(); });
    EXPECT_EQ(*exec.finish, 0);
    rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    EXPECT_EQ(exec.output["stdout:0"], fmt::format("{}\nmine\n7654321 job-7654321\n", limit.rlim_cur));
    EXPECT_TRUE(exec.events.contains("shell.init"));
    EXPECT_TRUE(exec.events.contains("shell.task-exit"));
    ASSERT_TRUE(exec.ready);

    exec.next(JobId(1), jobspec({"sleep", "1000"}, 1), R);
    exec.until([&] { return exec.events.contains("shell.start"); });
    exec.send(ch::Signal {SIGTERM});
    exec.until([] { return false; }); // until it exits by itself
    EXPECT_EQ(WTERMSIG(*exec.finish), SIGTERM);
    EXPECT_FALSE(exec.ready);
}

TEST(Shell, ends_with_a_job_whose_options_change_the_process)
{
    for (auto *options : {R"({"cpu-affinity":"on"})", R"({"rlimit":{"cpu":1000}})", R"({"nosetpgrp":1})"}) {
        EvLoop loop;
        Exec exec(loop);
        exec.start(jobspec({"true"}, 1, Json::parse_or_throw(options)), resources("3", "0", "a"));
        exec.until([] { return false; });
        EXPECT_EQ(exec.finish, 0) << options << exec.logs;
        EXPECT_FALSE(exec.ready) << options;
    }
}

TEST(Shell, a_task_waits_when_its_output_is_not_read_and_signals_still_reach_it)
{
    EvLoop loop;
    Exec exec(loop);
    exec.start(jobspec({"sh", "-c", "trap 'exit 3' TERM; while :; do head -c 100000 /dev/zero | tr '\\0' x; done"}, 1),
               resources("3", "0", "a"));
    exec.until([&] { return exec.output["stdout:0"].size() > 1000; });
    exec.process->set_reading(ch::environment_name, false);
    auto before = exec.output["stdout:0"].size();
    bool waited = false;
    Timer limit(loop, std::chrono::milliseconds(300), [&] { waited = true; });
    while (!waited)
        loop.step(true);
    EXPECT_EQ(exec.output["stdout:0"].size(), before);
    exec.send(ch::Signal {SIGKILL}); // a shell that waited for us would not hear it
    waited = false;
    limit = Timer(loop, std::chrono::milliseconds(100), [&] { waited = true; });
    while (!waited)
        loop.step(true);
    exec.process->set_reading(ch::environment_name, true);
    EXPECT_EQ(exec.wait(), SIGKILL);
    EXPECT_LT(exec.output["stdout:0"].size(), before + (3u << 20)); // less than it could have written
}

TEST(Shell, input_that_a_task_does_not_read_is_taken_up_to_a_limit)
{
    EvLoop loop;
    Exec exec(loop);
    exec.start(jobspec({"sleep", "1000"}, 1), resources("3", "0", "a"));
    exec.until([&] { return exec.events.contains("shell.start"); });
    std::string chunk(4u << 20, 'x');
    for (int i = 0; i < 6; i++)
        exec.send(ch::Stdin {.data = chunk});
    exec.send(ch::Signal {0}); // answered by a complaint, when all that has been heard
    exec.until([&] { return exec.logs.contains("no signal 0"); });
    EXPECT_EQ(exec.stdin_taken, 4u); // 16 MiB, of which the pipe has some
    exec.send(ch::Signal {SIGTERM});
    EXPECT_EQ(exec.wait(), SIGTERM);
    EXPECT_EQ(exec.stdin_taken, 6u); // who is gone holds nobody up
}

TEST(Shell, input_is_taken_as_it_is_read)
{
    EvLoop loop;
    Exec exec(loop);
    exec.start(jobspec({"wc", "-c"}, 1), resources("3", "0", "a"));
    std::string chunk(4u << 20, 'x');
    for (int i = 0; i < 6; i++)
        exec.send(ch::Stdin {.data = chunk});
    exec.until([&] { return exec.stdin_taken == 6; });
    exec.send(ch::Stdin {.eof = true});
    EXPECT_EQ(exec.wait(), 0);
    EXPECT_EQ(exec.output["stdout:0"], "25165824\n");
}

TEST(Shell, runs_in_tmp_where_the_working_directory_is_missing)
{
    EvLoop loop;
    Exec exec(loop);
    auto spec = jobspec({"pwd"}, 1);
    spec["attributes"]["system"].set("cwd", "/no/such/place");
    exec.start(spec, resources("3", "0", "a"));
    EXPECT_EQ(exec.wait(), 0) << exec.logs;
    EXPECT_EQ(exec.output["stdout:0"], "/tmp\n");
    EXPECT_TRUE(exec.logs.contains("/no/such/place: No such file or directory")) << exec.logs;
}

TEST(Shell, four_tasks_of_one_node_find_each_other_by_pmi)
{
    EvLoop loop;
    Exec exec(loop);
    exec.start(jobspec({PMI_TASK_PROGRAM}, 4), resources("3", "0-3", "a"));
    EXPECT_EQ(exec.wait(), 0) << exec.logs << exec.output["stderr:0"];
    for (int i = 0; i < 4; i++)
        EXPECT_EQ(exec.output[fmt::format("stdout:{}", i)], fmt::format("{} of 4 (vector,(0,1,4))\n", i));
    EXPECT_TRUE(exec.exchanges.empty());
}

TEST(Shell, tasks_of_two_nodes_find_each_other_through_job_exec)
{
    EvLoop loop;
    Exec a(loop), b(loop);
    auto R = resources("3-4", "0-1", "a[0-1]");
    a.start(jobspec({PMI_TASK_PROGRAM}, 4), R, 0, 2);
    b.start(jobspec({PMI_TASK_PROGRAM}, 4), R, 1, 2);
    a.until([&] { return a.exchanges.size() && b.exchanges.size(); });
    ASSERT_EQ(a.exchanges.size(), 1u);
    ASSERT_EQ(b.exchanges.size(), 1u);
    auto pairs = a.exchanges[0].pairs.copy();
    for (auto [key, value] : b.exchanges[0].pairs.members())
        pairs.set(key, value);
    a.send(ch::PmiExchangeResult {0, pairs});
    b.send(ch::PmiExchangeResult {0, pairs});
    EXPECT_EQ(a.wait(), 0);
    EXPECT_EQ(b.wait(), 0);
    EXPECT_EQ(b.output["stdout:3"], "3 of 4 (vector,(0,2,2))\n");
    EXPECT_FALSE(b.events.contains("shell.init"));
}

TEST(Shell, a_program_that_is_not_there_is_an_exception_and_127)
{
    EvLoop loop;
    Exec exec(loop);
    exec.start(jobspec({"no-such-program"}, 2), resources("3", "0-1", "a"));
    EXPECT_EQ(WEXITSTATUS(exec.wait()), 127);
    ASSERT_EQ(exec.exceptions.size(), 1u);
    EXPECT_NE(exec.exceptions[0].note.find("no-such-program"), std::string::npos);
    EXPECT_FALSE(exec.events.contains("shell.start"));
    Exec denied(loop);
    denied.start(jobspec({"/etc/passwd"}, 1), resources("3", "0", "a"));
    EXPECT_EQ(WEXITSTATUS(denied.wait()), 126);
}

TEST(Shell, the_worst_exit_is_the_jobs_and_signals_reach_the_tasks)
{
    EvLoop loop;
    Exec exec(loop);
    exec.start(jobspec({"sh", "-c", "test $FLUX_TASK_RANK = 0 && exit 3; echo up; sleep 100"}, 2),
               resources("3", "0-1", "a"));
    exec.until([&] { return exec.output["stdout:1"] == "up\n" && exec.events.contains("shell.task-exit"); });
    exec.send(ch::Signal {SIGTERM});
    EXPECT_EQ(WTERMSIG(exec.wait()), SIGTERM);
    EXPECT_EQ(exec.events["shell.task-exit"].get<int>("exitcode"), 3);
}

TEST(Shell, exit_on_error_ends_the_others)
{
    EvLoop loop;
    Exec exec(loop);
    exec.start(jobspec({"sh", "-c", "test $FLUX_TASK_RANK = 0 && exit 3; sleep 100"}, 2,
                       Json {{"exit-on-error", 1}}),
               resources("3", "0-1", "a"));
    EXPECT_EQ(WEXITSTATUS(exec.wait()), 3);
    EXPECT_EQ(exec.exceptions.size(), 1u);
}

TEST(Shell, stdin_comes_over_the_channel_and_bytes_that_are_no_text_survive)
{
    EvLoop loop;
    Exec exec(loop);
    exec.start(jobspec({"cat"}, 2), resources("3", "0-1", "a"));
    std::string bytes("\xff\x00\n", 3);
    exec.send(ch::Stdin {.ranks = "1", .data = bytes});
    exec.send(ch::Stdin {.ranks = "all", .data = "text", .eof = true});
    EXPECT_EQ(exec.wait(), 0);
    EXPECT_EQ(exec.output["stdout:0"], "text");
    EXPECT_EQ(exec.output["stdout:1"], bytes + "text");
}

TEST(Shell, an_interactive_terminal_takes_keys_and_its_size_and_is_not_captured)
{
    EvLoop loop;
    Exec exec(loop);
    exec.start(jobspec({"sh", "-c", "tty; stty size; read word; stty size; echo got $word"}, 1,
                       Json {{"pty", Json {{"interactive", 1}}}}),
               resources("3", "0", "a"));
    exec.until([&] { return exec.terminal.find("24 80") != std::string::npos; });
    EXPECT_EQ(exec.events["shell.init"].value<std::string>("pty", ""), "pty");
    EXPECT_TRUE(exec.terminal.starts_with("/dev/pts/")) << exec.terminal;
    exec.send(ch::TerminalInput {.data = "it\r", .rows = 50, .columns = 132});
    EXPECT_EQ(exec.wait(), 0);
    EXPECT_NE(exec.terminal.find("50 132\r\ngot it\r\n"), std::string::npos) << exec.terminal;
    EXPECT_EQ(exec.output["stdout:0"], "");
}

TEST(Shell, an_interactive_terminal_is_read_as_its_output_is_taken)
{
    EvLoop loop;
    Exec exec(loop);
    exec.start(jobspec({"sh", "-c", "seq 200000; echo end"}, 1, Json {{"pty", Json {{"interactive", 1}}}}),
               resources("3", "0", "a"));
    constexpr size_t window = 256u << 10;
    constexpr size_t one_read = 64u << 10;
    exec.until([&] { return exec.terminal.size() >= window; });
    for (int turn = 0; turn < 100; turn++)
        loop.step(false);
    EXPECT_LE(exec.terminal.size(), window + one_read);
    auto ended = [&] {
        exec.send(ch::TerminalInput {.taken = exec.terminal.size()});
        return exec.terminal.ends_with("end\r\n");
    };
    exec.until(ended);
    EXPECT_EQ(exec.wait(), 0);
    EXPECT_TRUE(exec.terminal.ends_with("200000\r\nend\r\n"));
}

TEST(Shell, output_goes_to_the_file_that_was_asked_for)
{
    EvLoop loop;
    Exec exec(loop);
    char directory[] = "/tmp/test-shell-XXXXXX";
    ASSERT_TRUE(mkdtemp(directory));
    auto path = std::string(directory) + "/out-{{id.dec}}";
    exec.start(jobspec({"sh", "-c", "echo hello; echo err >&2"}, 2,
                       Json {{"output",
                              Json {{"stdout", Json {{"type", "file"}, {"path", path}, {"label", true}}}}}}),
               resources("3", "0-1", "a"));
    EXPECT_EQ(exec.wait(), 0) << exec.logs;
    std::ifstream file(std::string(directory) + "/out-1234567");
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);)
        lines.push_back(line);
    std::ranges::sort(lines);
    EXPECT_EQ(lines, (std::vector<std::string> {"0: err", "0: hello", "1: err", "1: hello"}));
    EXPECT_NE(exec.redirects.find("stdout="), std::string::npos);
    EXPECT_TRUE(exec.output["stdout:0"].empty());
    std::filesystem::remove_all(directory);
}

TEST(Shell, when_the_channel_closes_the_tasks_die)
{
    EvLoop loop;
    Exec exec(loop);
    exec.start(jobspec({"sh", "-c", "echo $$; exec sleep 100"}, 1), resources("3", "0", "a"));
    exec.until([&] { return !exec.output["stdout:0"].empty(); });
    int task = std::stoi(exec.output["stdout:0"]);
    exec.process->close(ch::environment_name);
    exec.wait();
    EXPECT_FALSE(exec.finish);
    EXPECT_EQ(kill(task, 0), -1);
}

TEST(Shell, tasks_start_when_the_topology_is_there_and_what_came_before_reaches_them)
{
    EvLoop loop;
    Exec exec(loop);
    Json options = Json::parse_or_throw(R"({"hwloc":{"xmlfile":1,"restrict":1}})");
    exec.start(jobspec({"sh", "-c", "cat; cat $HWLOC_XMLFILE; echo $HWLOC_COMPONENTS"}, 1, options),
               resources("3", "0,2", "a"));
    exec.send(ch::Stdin {.data = "early ", .eof = true});
    exec.until([&] { return exec.asked.has_value(); });
    EXPECT_EQ(exec.asked->cores, "0,2");
    EXPECT_FALSE(exec.events.contains("shell.start"));
    exec.send(ch::Signal {SIGCONT}); // nothing to a job that has no tasks yet
    exec.send(ch::Topology {.xml = "<topology/>"});
    EXPECT_EQ(exec.wait(), 0) << exec.logs;
    EXPECT_EQ(exec.output["stdout:0"], "early <topology/>\n");
}

TEST(Shell, a_job_ends_while_it_waits_for_the_topology_or_cannot_have_it)
{
    Json options = Json::parse_or_throw(R"({"hwloc":{"xmlfile":1}})");
    for (bool killed : {true, false}) {
        EvLoop loop;
        Exec exec(loop);
        exec.start(jobspec({"true"}, 1, options), resources("3", "0", "a"));
        exec.until([&] { return exec.asked.has_value(); });
        EXPECT_EQ(exec.asked->cores, "");
        if (killed)
            exec.send(ch::Signal {SIGTERM});
        else
            exec.send(ch::Topology {.error = "no resource module"});
        int status = exec.wait();
        EXPECT_EQ(WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status), killed ? SIGTERM : -126);
        EXPECT_EQ(exec.exceptions.size(), killed ? 0u : 1u);
        EXPECT_FALSE(exec.events.contains("shell.start"));
    }
}

TEST(Shell, coprocesses_run_beside_the_tasks_and_are_told_to_end_after_them)
{
    char directory[] = "/tmp/flux-coprocess-XXXXXX";
    ASSERT_TRUE(mkdtemp(directory));
    EvLoop loop;
    Exec exec(loop);
    auto options = Json::parse_or_throw(fmt::format(R"({{"coprocess-kill-timeout":0.2,"coprocess":{{
        "polite":{{"command":["sh","-c","echo {{{{id.dec}}}} $FLUX_TASK_RANK $PMI_FD; trap 'echo bye; exit' TERM; while :; do sleep 0.01; done"],
                   "output":"{0}/polite"}},
        "deaf":{{"command":["sh","-c","trap '' TERM; echo deaf >&2; while :; do sleep 0.01; done"],"output":"{0}/{{{{node.id}}}}","ranks":"0-5"}},
        "elsewhere":{{"command":["false"],"ranks":7}},
        "none":{{"command":["/nonexistent"],"output":"{0}/none"}}}}}})",
                                                    directory));
    exec.start(jobspec({"sh", "-c", "until grep -q deaf $0/0 && grep -q 12 $0/polite; do sleep 0.01; done",
                        directory},
                       1, options),
               resources("3", "0", "a"));
    exec.until([&] { return exec.finish.has_value(); });
    EXPECT_EQ(exec.finish, 0) << exec.logs;
    EXPECT_EQ(exec.helpers.size(), 2u);
    EXPECT_TRUE(exec.ready) << "they leave no trace";
    EXPECT_NE(exec.logs.find("coprocess none on a: "), std::string::npos) << exec.logs;
    auto text = [&](const char *name) {
        std::ifstream file(fmt::format("{}/{}", directory, name));
        return std::string(std::istreambuf_iterator<char>(file), {});
    };
    EXPECT_TRUE(text("polite").starts_with("1234567\nbye\n"))
        << text("polite"); // then, maybe, of what it ran
    EXPECT_EQ(text("0"), "deaf\n");
    for (int pid : exec.helpers)
        EXPECT_NE(::kill(pid, 0), 0);
    std::filesystem::remove_all(directory);
    exec.wait();
}

TEST(Shell, what_is_measured_is_said_before_the_output_ends)
{
    EvLoop loop;
    Exec exec(loop);
    Json options = Json::parse_or_throw(R"({"sysmon":{"period":0.05},"verbose":2})");
    exec.start(
        jobspec({"sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; sleep 0.1"}, 1, options),
        resources("3", "0", "a"));
    EXPECT_EQ(exec.wait(), 0) << exec.logs;
    EXPECT_NE(exec.logs.find("sysmon: a: memory.current="), std::string::npos) << exec.logs;
    auto at = exec.logs.find("sysmon: a: memory.peak=");
    ASSERT_NE(at, std::string::npos) << exec.logs;
    EXPECT_EQ(exec.logs.find("memory.peak=0B"), std::string::npos) << exec.logs;
    auto load = exec.logs.substr(exec.logs.find("loadavg=", at) + 8);
    EXPECT_GT(std::stod(load), 0.0) << exec.logs;
}

TEST(Shell, an_archive_that_cannot_be_staged_in_is_an_exception)
{
    EvLoop loop;
    Exec exec(loop);
    Json options = Json::parse_or_throw(R"({"stage-in":{"names":"none"}})");
    exec.start(jobspec({"true"}, 1, options), resources("3", "0", "a"));
    EXPECT_EQ(WEXITSTATUS(exec.wait()), 1);
    ASSERT_EQ(exec.exceptions.size(), 1u);
    EXPECT_TRUE(exec.exceptions[0].note.starts_with("stage-in: archive none on a: "))
        << exec.exceptions[0].note;
    EXPECT_FALSE(exec.events.contains("shell.start"));
}

TEST(Shell, options_that_make_no_sense_are_named)
{
    std::pair<const char *, const char *> mistakes[] = {
        {R"({"coprocess":"x"})", "coprocess: expected an object"},
        {R"({"coprocess":{"x":{}}})", "coprocess.x.command: expected an array"},
        {R"({"coprocess":{"x":{"command":["x"],"ranks":"y"}}})", "coprocess.x.ranks: "},
        {R"({"coprocess-kill-timeout":"x"})", "coprocess-kill-timeout: "},
        {R"({"sysmon":{"period":0}})", "sysmon.period: 0 s is less than"},
        {R"({"stage-in":{"names":","}})", "stage-in.names is empty"},
        {R"({"stage-in":{"destination":"global:"}})", "stage-in.destination: global:"}};
    for (auto [options, text] : mistakes) {
        EvLoop loop;
        Exec exec(loop);
        exec.start(jobspec({"true"}, 1, Json::parse_or_throw(options)), resources("3", "0", "a"));
        exec.wait();
        ASSERT_EQ(exec.exceptions.size(), 1u) << options;
        EXPECT_NE(exec.exceptions[0].note.find(text), std::string::npos) << exec.exceptions[0].note;
    }
}

TEST(Shell, a_cyclic_taskmap_deals_the_tasks_out)
{
    EvLoop loop;
    Exec exec(loop);
    exec.start(
        jobspec({"sh", "-c", "echo $FLUX_TASK_RANK $FLUX_TASK_LOCAL_ID"}, 4, Json {{"taskmap", "cyclic"}}),
        resources("3-4", "0-1", "a[0-1]"), 1, 2);
    EXPECT_EQ(exec.wait(), 0) << exec.logs;
    EXPECT_EQ(exec.output["stdout:1"], "1 0\n");
    EXPECT_EQ(exec.output["stdout:3"], "3 1\n");
    EXPECT_EQ(exec.output.size(), 8u - 4u);
}

TEST(Shell, a_job_that_makes_no_sense_is_an_exception)
{
    EvLoop loop;
    Exec exec(loop);
    exec.start(jobspec({"true"}, 1, Json {{"taskmap", "spiral"}}), resources("3", "0", "a"));
    EXPECT_EQ(WEXITSTATUS(exec.wait()), 1);
    ASSERT_EQ(exec.exceptions.size(), 1u);
    EXPECT_NE(exec.exceptions[0].note.find("spiral"), std::string::npos);
}

TEST(ShellChannel, damaged_messages_parse_or_are_refused)
{
    const std::string lines[] = {
        ch::encode(ch::ToShell(ch::Stdin {.ranks = "0-3", .data = "abc", .eof = true})),
        ch::encode(ch::ToShell(ch::TerminalInput {"keys", 24, 80, 99})),
        ch::encode(ch::FromShell(ch::TerminalOutput {"\033[1m"})),
        ch::encode(ch::ToShell(ch::Topology {"<topology/>", "none"})),
        ch::encode(ch::FromShell(ch::TopologyRequest {"0-3"})),
        ch::encode(ch::FromShell(ch::Tasks {{1, 2}, true, {3}})),
        ch::encode(ch::ToShell(ch::PmiExchangeResult {7, Json {{"a", "b"}}})),
        ch::encode(ch::FromShell(ch::Output {"stdout", 3, std::string("\xff\x00", 2), true})),
        ch::encode(ch::FromShell(ch::Exception {0, "exec", "note"})),
    };
    unsigned seed = 42;
    for (int round = 0; round < 20000; round++) {
        auto line = lines[round % std::size(lines)];
        for (int i = 0; i < round % 4; i++)
            line[rand_r(&seed) % line.size()] = char(rand_r(&seed));
        if (auto message = ch::parse_to_shell(line); !message) {
            ASSERT_EQ(message.error().errnum(), EPROTO);
        }
        if (auto message = ch::parse_from_shell(line); message) {
            auto again = ch::encode(*message);
            ASSERT_EQ(ch::encode(value_or_throw(ch::parse_from_shell(again))), again);
        }
    }
}

TEST(ShellChannel, text_that_is_none_does_not_stop_a_message)
{
    for (const auto &line : {ch::encode(ch::FromShell(ch::Log {3, "\xff"})),
                             ch::encode(ch::FromShell(ch::Exception {0, "exec", "PMI_Abort: \xff"}))})
        EXPECT_TRUE(ch::parse_from_shell(line)) << line;
}

TEST(ShellChannel, hostile_lines_are_refused_with_a_sentence)
{
    for (std::string_view line :
         {"", "[]", "{}", "{\"type\":\"dance\"}", "{\"type\":\"signal\",\"signum\":\"x\"}",
          "{\"type\":\"stdin\",\"data\":\"!\",\"encoding\":\"base64\"}"}) {
        auto message = ch::parse_to_shell(line);
        ASSERT_FALSE(message) << line;
        EXPECT_EQ(message.error().errnum(), EPROTO);
    }
    EXPECT_FALSE(ch::is_text("\xc0\x80"));
    EXPECT_TRUE(ch::is_text("\xc6\x92"));
}

} // namespace
} // namespace flux
