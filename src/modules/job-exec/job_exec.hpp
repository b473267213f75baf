// job-exec: starts, follows and ends the shells of jobs (RFC 32). On rank 0 it answers the job manager and
// keeps what a job is about as a whole; on every rank it runs that rank's shells: "job-exec.launch" streams
// what the shell says, "job-exec.to-shell" carries a message to it. Rank 0 asks each rank of a job directly.
#pragma once
#include <unordered_map>

#include "common/job/jobspec.hpp"
#include "common/job/resource_set.hpp"
#include "common/module/module.hpp"
#include "common/types/job_id.hpp"
#include "modules/job-manager/kvs_writer.hpp"

namespace flux {

class JobExec : public Module {
public:
    explicit JobExec(Context &context);
    Task<> start() override;
    Task<> stop() override;
    Json stats() const override;

private:
    static constexpr double kill_timeout = 5; // seconds from SIGTERM to SIGKILL

    // A job as rank 0 sees it.
    struct Run {
        JobId id;
        uint32_t userid = 0;
        Request *request = nullptr; // of job-exec.start, kept by its coroutine
        Json jobspec;
        ResourceSet R;
        std::vector<uint32_t> ranks;
        size_t started = 0;
        size_t running = 0; // ranks whose launch has not ended
        int status = 0;
        bool stopping = false;
        uint64_t ntasks = 1;
        int64_t open_outputs = 0; // streams of tasks that have not ended
        bool output_begun = false;
        Condition changed;
        Timer limit;
        Timer kill;
        std::map<uint64_t, std::pair<size_t, Json>> exchanges; // seq -> how many, pairs so far
        explicit Run(Loop &loop) : changed(loop) {}
    };
    // A shell on this rank.
    struct Shell {
        Request request;
        std::unique_ptr<Process> process;
        std::string partial; // of a line from its channel
    };

    Task<> start_job(Request request);
    Task<> run_mock(std::shared_ptr<Run> run, double duration);
    Task<> run_shells(std::shared_ptr<Run> run);
    Task<> follow(std::shared_ptr<Run> run, uint32_t nodeid);
    void from_shell(Run &run, uint32_t nodeid, const Json &message);
    void exec_event(const Run &run, std::string_view name, Json context = {});
    void begin_output(Run &run);
    void end_output(Run &run);
    void output(Run &run, const Json &message);
    void exchange(Run &run, const Json &message);
    void to_shells(const Run &run, const Json &message);
    void respond(Run &run, std::string_view type, Json data);
    void stop_job(Run &run);
    Json kill(Request &request);
    void raise(Request request);

    void launch(Request request);
    Json to_shell(Request &request);
    void read_channel(JobId id, std::string_view bytes);

    KvsWriter writer_;
    std::unordered_map<JobId, std::shared_ptr<Run>> runs_;
    std::unordered_map<JobId, Shell> shells_;
};

} // namespace flux
