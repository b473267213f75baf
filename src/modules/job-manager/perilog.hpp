// Prolog and epilog of jobs (flux-config-job-manager(5)): a command that runs on rank 0, or on each rank of a
// job, before its tasks are started or before its resources are free. PerilogRun is one of them under way: it
// starts the command by the subprocess servers (RFC 42), ends it when it shall not go on, and tells how that
// went. What follows from it for the job is the job manager's business.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <regex>

#include "common/client/handle.hpp"
#include "common/types/idset.hpp"
#include "common/types/job_id.hpp"

namespace flux {

enum class Perilog { prolog, epilog, housekeeping };
constexpr const char *perilog_name(Perilog which)
{
    return which == Perilog::prolog ? "prolog" : which == Perilog::epilog ? "epilog" : "housekeeping";
}

struct PerilogConfig {
    std::vector<std::string> command;
    bool per_rank = false;
    double timeout = 0;       // seconds; 0: none
    double kill_timeout = 60; // seconds from SIGTERM until what is left is given up
    bool cancel_on_exception = false;
    // Of housekeeping: seconds from the first rank that is done until those that are, and then each at once,
    // are released; 0: each at once, negative: all together.
    double release_after = -1;
};

// [job-manager.prolog], [job-manager.epilog], [job-manager.housekeeping], [job-manager.perilog].
struct PerilogConfigs {
    std::optional<PerilogConfig> prolog, epilog, housekeeping;
    std::vector<std::regex> log_ignore;             // output that is not logged
    static PerilogConfigs from(const Json &config); // EINVAL names the key, the value and what was expected
    const std::optional<PerilogConfig> &of(Perilog which) const
    {
        return which == Perilog::prolog ? prolog : which == Perilog::epilog ? epilog : housekeeping;
    }
};

class PerilogRun : public std::enable_shared_from_this<PerilogRun> {
public:
    struct Hooks {
        // A line that the command has written.
        std::function<void(uint32_t rank, std::string_view stream, std::string_view line)> output;
        std::function<void(uint32_t rank, bool well)> ended; // may be absent
    };
    struct Outcome {
        int status = 0;        // the worst wait status
        bool canceled = false; // by cancel(), before it had failed or timed out
        bool timed_out = false;
        Idset failed;     // ranks on which it did not end well
        Idset left;       // ranks on which it did not end at all
        std::string note; // what was wrong, for people; empty when all is well
    };
    // Its tasks belong to `gate`.
    PerilogRun(Handle &handle, Gate &gate, PerilogConfig config, Hooks hooks);

    // On `ranks`.
    Task<Outcome> run(JobId id, uint32_t userid, uint32_t owner, Idset job_ranks, Idset ranks);
    // SIGTERM to what runs; what has not ended after kill_timeout is given up.
    void cancel();
    // A signal to those that run; what it ends has failed.
    void kill(const Idset &ranks, int signum);
    const PerilogConfig &config() const { return config_; }

private:
    static constexpr double begin_again_after = 1; // seconds, on a rank whose subprocess server was stopped
    static constexpr size_t max_line = 4096;       // bytes; longer ones are logged in parts
    struct Target {
        int pid = -1;                               // until it has started
        std::vector<int> early;                     // signals until then
        std::map<std::string, std::string> partial; // the line that has not ended, by stream
    };
    static Task<> on_rank(std::shared_ptr<PerilogRun> self, uint32_t rank, Json command);
    Task<int> execute(uint32_t rank, Json command); // its wait status
    void hear(uint32_t rank, uint32_t matchtag, const Json &message, std::optional<int> &status);
    void hear_output(uint32_t rank, const Json &io);
    void ended(uint32_t rank, std::optional<int> status, const std::string &problem);
    void terminate();
    void signal(uint32_t rank, int signum);

    Handle &handle_;
    Gate &gate_;
    PerilogConfig config_;
    Hooks hooks_;
    Condition changed_;
    std::map<uint32_t, Target> running_;
    Outcome outcome_;
    bool terminating_ = false;
    bool given_up_ = false;
    Timer limit_, kill_;
};

} // namespace flux
