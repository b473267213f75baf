// job-exec: starts, follows and ends the shells of jobs (RFC 32). On rank 0 it answers the job manager and
// keeps what a job is about as a whole (Run); on every rank it runs that rank's shells.
//
// Both ways go along the tree of brokers. Down: orders ("job-exec.orders"), one message per child and turn of
// the loop, each passing on what concerns the ranks behind it. Up: news, in responses to one streaming request
// per child ("job-exec.link"), which the parent opens when it first has something to say; its failure means
// that every rank behind that child is lost. doc/job-exec.md tells the protocol.
#pragma once
#include <deque>
#include <numeric>
#include <unordered_map>
#include <unordered_set>

#include "broker/topology.hpp"
#include "common/job/eventlog.hpp"
#include "common/job/resource_set.hpp"
#include "common/job/shell_channel.hpp"
#include "common/module/module.hpp"
#include "common/types/job_id.hpp"
#include "modules/job-exec/news.hpp"
#include "modules/job-exec/output_log.hpp"
#include "modules/job-exec/terminal.hpp"
#include "modules/job-manager/kvs_writer.hpp"

namespace flux::job_exec {

// [exec] of the configuration.
struct Limits {
    double kill_timeout = 5; // seconds from SIGTERM to SIGKILL, then between ever later SIGKILLs
    int max_kill_count = 8;  // then the ranks that are left are given up and drained
    double max_kill_timeout = 0; // seconds from the beginning after which that is done instead; 0: it is not set
    int term_signal = 15;
    int kill_signal = 9;
    static Limits from(const Json &config); // throws Error(EINVAL) that names the key
};

class JobExec : public Module {
public:
    explicit JobExec(Context &context);
    Task<> start() override;
    Task<> stop() override;
    void config_changed() override;
    Json stats() const override;

private:
    static constexpr size_t max_untold = 64; // non-fatal exceptions of a job that are kept while there is no job manager
    static constexpr double default_exit_timeout = 30;           // seconds; flux-shell-options(7)
    static constexpr double short_mock = 0.1; // seconds: shorter mock jobs are written when they end
    static constexpr double stop_timeout = 10;                   // seconds that unloading waits for shells
    static constexpr double idle_time = 10;   // seconds that a shell without a job waits for another
    static constexpr size_t max_idle = 256;   // shells that do
    static constexpr size_t max_pid_requests = 64; // of one job, for tasks that are not started yet
    static constexpr size_t max_end_requests = 64; // of one job
    static constexpr double default_rexec_timeout = 60;  // seconds, option rexec-shutdown-timeout
    static constexpr uint64_t max_input = 1'000'000'000; // bytes of standard input of a job, as of output.limit
    // Bytes of what a job's shells have said that are not known to be stored, divided among its ranks; then job-exec
    // reads no more of them.
    static constexpr uint64_t max_unstored = 4u << 20;
    static constexpr uint64_t least_unstored = 64u << 10; // of one rank, however many there are
    static constexpr uint64_t credit_steps = 4; // a shell is told that something is stored by this part of its share
    // Bytes of standard input that its tasks have not taken, of senders that do not wait for answers; then the job ends.
    static constexpr size_t max_waiting_input = 64u << 20;

    // A job as rank 0 sees it.
    struct Run {
        JobId id;
        uint32_t userid = 0;
        std::optional<Request> request; // of job-exec.start; none while there is no job manager
        Json environment;               // until its shells have it
        std::vector<Json> untold;       // responses that there was nobody to hear
        Json jobspec; // without environment
        ResourceSet R;
        Idset ranks;
        int status = 0;
        bool mock = false;
        bool stopping = false;
        bool signalled = false; // somebody asked for a signal: tasks that one ends are not lost
        bool any_task_exited = false;
        bool started = false;
        bool reattached = false; // a job manager took it up again
        bool ended = false; // no shell is left
        bool over = false;  // and everything is said
        int kills = 0;
        Duration stop_begun {};
        uint64_t input_bytes = 0;
        bool input_begun = false;
        // Messages of standard input: what all of them have in common is settled.
        uint64_t input_heard = 0, input_stored = 0, input_taken = 0, input_settled = 0;
        std::map<uint32_t, uint64_t> stored; // bytes by rank, of which its shell was not told yet
        OutputLog output;
        // What is written with the first thing that a shell says: a commit less for every job.
        bool holding = true;
        std::string held_events, held_output;
        std::optional<Idset> critical; // only the loss of one of these ends the job
        Condition changed;
        Timer limit, kill, exit_timer;
        explicit Run(Loop &loop) : changed(loop) {}
    };
    // A process of flux-shell on this rank. It runs one job after another as long as none leaves a trace in it.
    struct Shell {
        std::unique_ptr<Process> process;
        std::string program;
        uint32_t userid = 0;
        std::optional<JobId> job; // whose it is now
        Timer idle;               // until it is sent away
    };
    // A job in the part of the tree that begins at this rank.
    struct Local {
        Part part;
        Run *run = nullptr; // on rank 0
        bool dirty = false;
        // The shell on this rank
        std::unique_ptr<Shell> shell;
        LineBuffer lines = shell_channel::line_buffer(); // from its channel
        std::optional<std::vector<int>> task_pids; // once they were started
        bool task_groups = false; // they lead process groups, which would be left if the shell were killed
        std::vector<int> helper_pids;      // of processes beside the tasks, which lead groups
        std::vector<Request> pid_requests; // answered once the tasks were started
        std::vector<Request> end_requests; // answered when they have ended
        double rexec_timeout = default_rexec_timeout;
        bool heard = false;        // it has said something
        bool finished = false;     // it said so: it exits by itself, or is
        bool ready = false;        // for another job
        bool exited = false;
        uint64_t unstored = 0;     // bytes of what it has said
        uint64_t share = 0;        // the most of that
        bool paused = false;       // its channel is not read
        // When this is the leader
        std::string service;       // registered here
        std::deque<Request> input;  // answered when what they brought is settled
        uint64_t input_settled = 0;
        uint64_t input_taken = 0;   // messages that the shell here has given to its tasks
        size_t input_bytes = 0;     // of those requests
        bool input_refused = false; // there was too much of it
        Terminal terminal;          // the interactive one
        explicit Local(Part part) : part(std::move(part)) {}
    };

    // rank 0: job_exec.cpp, run.cpp
    void start_job(Request request);
    void attach(Run &run, Request request);
    Json detach(Request &request);
    void job_manager_gone();
    void conclude(Run &run);
    Task<> conduct(std::shared_ptr<Run> run);
    Task<> take_up_lost(std::shared_ptr<Run> run);
    Task<> meet_job_manager();
    Task<> run_mock(std::shared_ptr<Run> run, double duration);
    Task<> run_shells(std::shared_ptr<Run> run);
    Task<> keep_namespace(JobId id);
    Task<> complete_record(std::shared_ptr<Run> run, bool done);
    Task<std::vector<Event>> stored_events(std::string key);
    void hear(Run &run, News news);
    void hear_shell(Run &run, const Json &message);
    void hear_event(Run &run, const Json &message);
    void hear_stdin(Run &run, const Json &message);
    void hear_loss(Run &run, const Loss &loss);
    void note_unstored(Run &run, const News &news, bool input);
    Task<> tell_stored();
    void settle_input(Run &run);
    void start_exit_timer(Run &run, const Json &context);
    void exec_event(Run &run, std::string_view name, Json context = {});
    void write_held(Run &run);
    void raise_exception(Run &run, int severity, std::string_view type, std::string_view note);
    void to_shells(const Run &run, Json message);
    void respond(Run &run, std::string_view type, Json data);
    void respond_started(Run &run);
    void set_limit(Run &run);
    void stop_job(Run &run, int signum = 0); // first with signum, 0: exec.term-signal; later harder
    void kill_again(Run &run);
    void give_up(Run &run);
    Json kill(Request &request);
    Json raise(Request &request);
    Json expiration(Request &request);
    Json critical_ranks(Request &request);
    Run &need(const Request &request);

    // the tree: tree.cpp
    void link(Request request);
    Json orders(Request &request);
    void obey(const Json &order);
    static void tell_shell(Process &shell, const Json &message);
    void give_credit(const Json &order);
    void pass_on_settled_input(const Json &order);
    void settle_input(Local &local, uint64_t count);
    void order_below(uint32_t child, Json order);
    Task<> follow(uint32_t child);
    void child_lost(uint32_t child, const std::string &reason);
    void tell(JobId id, News news, std::optional<uint32_t> source = {});
    void schedule_flush();
    void flush();
    void drop_all(); // the parent is gone
    void end_all();  // the module goes
    void order_shutdown(JobId id, const Local &local);

    // this rank's shells: shells.cpp
    void launch(JobId id, Local &local, const Json &job);
    void give_shell(JobId id, Local &local, const Json &job);
    std::string shell_program() const;
    std::unique_ptr<Shell> start_shell(JobId id, const std::string &program);
    void read_channel(JobId id, std::string_view bytes);
    void from_shell(JobId id, Local &local, const Json &message, size_t bytes);
    void shell_exited(JobId id, int status);
    Task<> give_topology(JobId id, std::string cores);
    void release_shell(JobId id, Local &local);
    void keep_idle(std::unique_ptr<Shell> shell);
    std::unique_ptr<Shell> take_idle(std::function<bool(const Shell &)> wanted);
    static uint64_t share_of(size_t ranks);
    static void read_on(Local &local, uint64_t share = UINT64_MAX);
    void task_pids(Request request);
    void tasks_end(Request request);
    static void tell_end(Local &local);
    void shell_service(Request request);
    void give_input(JobId id, Request request);
    void type_in(Local &local, Request request);
    void leave_terminals(const RouteId &sender, std::optional<uint32_t> matchtag);
    static void tell_terminal(Local &local, Json message);

    std::vector<Request> left_; // of a job manager that is about to go: not answered while it is there
    Topology topology_;
    Limits limits_;
    KvsWriter writer_;
    std::unordered_map<JobId, std::shared_ptr<Run>> runs_;
    std::unordered_map<JobId, Local> jobs_;
    // What was given to the store, in order of the commits.
    struct Unstored {
        KvsWriter::Ticket ticket;
        JobId id;
        std::map<uint32_t, uint64_t> bytes; // by rank
        uint64_t input = 0;                 // messages of standard input so far
        uint64_t total() const
        {
            return std::accumulate(bytes.begin(), bytes.end(), uint64_t(0),
                                   [](uint64_t sum, const auto &entry) { return sum + entry.second; });
        }
    };
    std::deque<Unstored> unstored_;
    uint64_t unstored_bytes_ = 0, most_unstored_ = 0;
    std::vector<JobId> dirty_;
    bool flush_posted_ = false;
    std::optional<Request> link_;               // to the parent
    std::unordered_set<uint32_t> open_links_;   // to children
    std::map<uint32_t, Json> orders_;           // child -> array, for the next flush
    std::unordered_map<std::string, JobId> services_;
    std::unordered_map<JobId, std::unique_ptr<Shell>> dying_; // shells that nobody asks about any more
    std::vector<std::unique_ptr<Shell>> idle_;                // the one that was busy last comes last
    Condition changed_; // a local job is gone
    uint64_t launched_ = 0, processes_ = 0; // shells of jobs; those that had to be started for it
    bool stopping_ = false; // no job is started any more
};

} // namespace flux::job_exec
