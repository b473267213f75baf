// LifeCycle: join -> init -> quorum -> run -> cleanup -> shutdown -> finalize, as one coroutine.
//
//   join      below the root: the parent takes this broker in, once its own init is done
//   init      the default modules are loaded, the rc1 scripts run
//   quorum    the root: enough brokers are online (broker.quorum); below: the parent is in run
//   run       the root: the initial program runs, its exit status becomes the instance's; below: until the parent
//             leaves run
//   cleanup   the root: running jobs are cancelled and awaited
//   shutdown  the children leave
//   finalize  the rc3 scripts run, the modules are unloaded
//
// A broker that loses its parent goes from where it is to shutdown, and its exit status is 1.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/broker.hpp"
#include "broker/overlay.hpp"

namespace flux {

struct ModuleSpec {
    std::string name;
    bool rank0_only = false;
    bool own_thread = false; // not on the broker's loop
    std::vector<std::string> arguments;
};

// One module a line: NAME [rank0] [thread] [ARGUMENTS...]; # starts a comment. EINVAL with file:line.
std::vector<ModuleSpec> parse_module_list(std::string_view text, std::string_view file_name);

class LifeCycle {
public:
    using CommandLine = std::vector<std::string>;
    struct Plan {
        std::vector<ModuleSpec> modules;
        std::vector<CommandLine> rc1;         // run on every rank once the modules are loaded; a failure ends init
        std::vector<CommandLine> rc3;         // run before the modules are unloaded
        CommandLine initial_program;          // empty: run until asked to stop
        std::vector<std::string> environment; // of all these programs
        bool cancel_jobs = true;              // in cleanup
        // On rank 0: what brings an archive into the content store before the KVS is loaded (empty: nothing does), and what
        // to do when that has succeeded.
        CommandLine restore;
        std::function<void()> restored;
        // On rank 0, when the KVS is unloaded: what writes it to an archive. Asked then, as the attribute may be set late.
        std::function<CommandLine()> dump;
        bool recovery = false; // run whatever fails in init, without children and with all resources offline
    };
    LifeCycle(Broker &broker, Overlay &overlay, Plan plan);

    // The whole life; the value is the exit status (128 + signal for a killed initial program, 1 when the broker could
    // not start or lost its parent).
    Task<int> run();
    // Ends the run state. A signal's number is forwarded to the initial program, 0 asks for a normal shutdown. Asked
    // once more after that, nothing is waited for any longer.
    void stop(int signum);

private:
    Task<bool> join();
    Task<bool> init();
    Task<> quorum();
    Task<int> run_state();
    Task<> cleanup();
    Task<> shutdown();
    Task<> finalize();
    Task<> end_log_streams();

    struct Outcome {
        bool over = false; // else it was cancelled
        std::optional<Error> failure {};
    };
    // Waits for the task's end, or until it is enough: then what is left of it is cancelled.
    Task<Outcome> attempt(Task<> task, std::function<bool()> enough);
    Task<> note_outcome(Task<> task, std::shared_ptr<Outcome> outcome);

    Task<> live(int &status);
    Task<> bring_up();
    Task<> load_modules();
    Task<> load_module(const ModuleSpec &spec);
    Task<> write_dump();
    Task<> stop_jobs();
    Task<int> run_initial_program();
    Task<int> run_program(CommandLine command); // the wait status
    Task<> follow_parent();
    Task<> relay(Condition &from);
    bool parent_says_over() const;
    bool leaving() const { return stopping_ || overlay_.parent_lost() || parent_says_over(); }
    Duration time_limit(const char *name);
    static Duration parse_limit(const char *name, const std::string &text); // zero: none
    uint32_t parse_quorum(const std::string &text) const;
    void complain(const std::string &text);

    Broker &broker_;
    Overlay &overlay_;
    Plan plan_;
    std::unique_ptr<Process> program_;
    std::optional<int> wait_status_;
    std::string parent_state_;
    uint32_t quorum_size_ = 0;
    std::map<std::string, Duration, std::less<>> limits_; // by attribute, as they were at the start
    bool stopping_ = false;
    bool impatient_ = false; // asked to stop twice
    Condition changed_;
    Gate gate_;
};

} // namespace flux
