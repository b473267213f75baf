// job-manager (rank 0): moves jobs through the states of RFC 21. Every change is an event: post() applies it
// to the job; what a job's events of one turn are goes to the event log in the KVS (group committed) and to the
// journal's listeners together. advance() then does what the job needs next. The protocols: scheduler RFC 27,
// execution RFC 32.
//
// Of a job that has ended only EndedJob is kept; what else is asked of it comes from the KVS.
#pragma once
#include <list>
#include <unordered_map>

#include "common/job/queue_config.hpp"
#include "common/module/module.hpp"
#include "modules/job-manager/dependencies.hpp"
#include "modules/job-manager/job.hpp"
#include "modules/job-manager/kvs_writer.hpp"
#include "modules/job-manager/perilog.hpp"

namespace flux {

class JobManager : public Module {
public:
    explicit JobManager(Context &context);
    Task<> start() override;
    Task<> stop() override;
    void config_changed() override;
    Json stats() const override;

private:
    static constexpr size_t purge_batch = 100;     // jobs of one commit of the automatic purge
    static constexpr double epilog_patience = 60;  // seconds that an instance which ends waits for one without a timeout
    static constexpr double purge_interval = 10;   // seconds between looks at inactive-age-limit
    static constexpr Duration detach_timeout = std::chrono::seconds(5); // for the execution service to let go of jobs
    static constexpr const char *waited_key = "waited"; // of a job: somebody was told its result

    // What one queue is told by flux-queue(1).
    struct Queue {
        bool enabled = true;
        bool started = true;
        std::string disable_reason;
        std::string stop_reason;
    };
    // A kept events-journal request and what it wants.
    struct Listener {
        Request request;
        Json allow; // object of event names, or absent: all
        Json deny;
        bool catching_up = true;    // the past is still on its way: what is new waits
        std::vector<Payload> later; // while catching up
        bool gone = false;
    };
    // How many inactive jobs stay; negative: no limit.
    struct InactiveLimits {
        double age = -1; // seconds
        int64_t number = -1;
        bool any() const { return age >= 0 || number >= 0; }
        static InactiveLimits from(const Json &config); // EINVAL names the key
    };
    struct Waiter {
        Request request;
        JobId id; // 0: any
    };

    // submission: submit.cpp
    Task<Json> submit(Request request);
    Task<> settle(std::vector<JobId> ids, KvsWriter::Ticket ticket);
    void discard(Job &job);
    std::optional<std::string> admit(const Json &item);
    std::vector<Dependency> check_dependencies(const Job &job) const;
    void add_dependencies(Job &job, const std::vector<Dependency> &dependencies, bool announce);
    void dependency_met(JobId id, const std::string &description);
    void antecedent_started(JobId id);
    void antecedent_ended(JobId id, const EndedJob &ended);
    void join_singletons(Job &job, bool held);
    void leave_singletons(Job &job);

    // requests: job_manager.cpp, update.cpp
    Json list(Request &request);
    Json getinfo(Request &request);
    Json getattr(Request &request);
    Task<Json> raise(Request request);
    Task<Json> raiseall(Request request);
    Task<Json> kill(Request request);
    Json killall(Request &request);
    Task<Json> urgency(Request request);
    Task<Json> memo(Request request);
    Task<Json> update(Request request);
    Task<> update_expiration(JobId id, double duration);
    Task<> changed();
    Task<Json> drain(Request request);
    Task<Json> idle(Request request);

    // wait.cpp
    void wait(Request request);
    static Json wait_answer(const Job &job);
    void answer_waiters(JobId id, Json answer);
    Task<> answer_wait(Request request, JobId id, Json answer);
    Task<> take_over_zombie(JobId id, Json answer);

    // history.cpp
    Json history_get(Request &request);
    Json alloc_query(Request &request);

    // plugins.cpp
    Json jobtap(Request &request);
    Json jobtap_query(Request &request);

    // purge.cpp
    Task<Json> purge(Request request);
    Task<Json> purge_id(Request request);
    Task<size_t> purge_jobs(std::vector<JobId> ids);
    std::vector<JobId> overdue(double age_limit, int64_t num_limit, size_t batch) const;
    void keep_inactive(InactiveLimits limits);
    Task<> purge_overdue();

    // scheduler and execution: protocols.cpp
    Task<> sched_hello(Request request);
    Json sched_ready(Request &request);
    void scheduler_gone();
    Json exec_hello(Request &request);
    void exec_gone();
    bool is_executing(const Job &job) const; // the execution service can be told of it
    Task<> alloc_job(JobId id);
    void next_alloc();
    Task<> run_job(JobId id);
    void free_job(Job &job);
    void send_free(JobId id, Json R);
    void exec_response(Job &job, const Json &response);
    void advance_all(bool (*which)(const Job &));

    // perilog_of_job.cpp
    void begin_prolog(Job &job);
    bool epilog_due(const Job &job) const;
    void begin_epilog(Job &job);
    size_t count_endless_epilogs(); // of those that run, how many have no timeout
    void tend_perilog(Job &job);
    Task<> run_perilog(JobId id, Perilog which, std::shared_ptr<PerilogRun> run);
    void conclude_perilog(Job &job, Perilog which, const PerilogConfig &config, const PerilogRun::Outcome &outcome);
    void log_perilog(JobId id, Perilog which, uint32_t rank, std::string_view stream, std::string_view line);
    uint32_t owner() const;

    // housekeeping.cpp
    struct Housekeeping {
        Json job; // what a scheduler's hello tells of it, beside R
        Json R;
        Idset pending;   // ranks on which it has not ended
        Idset allocated; // ranks that the scheduler does not have back
        double t_start = 0;
        bool timer_set = false;
        bool releasing = false; // each rank at once
        Timer release;
        std::shared_ptr<PerilogRun> run; // none while there is no execution service
    };
    void begin_housekeeping(const Job &job);
    void save(JobId id, const Housekeeping &house);
    void tend_housekeeping(JobId id, Housekeeping &house);
    Task<> run_housekeeping(JobId id, std::shared_ptr<PerilogRun> run);
    void housekeeping_ended(JobId id, uint32_t rank, bool well);
    void release(JobId id, Housekeeping &house, const Idset &ranks);
    void tell_of_housekeepings(Request &hello) const;
    Task<> load_housekeepings();
    Json housekeeping_kill(Request &request);
    Json housekeeping_stats() const;

    // journal.cpp
    void events_journal(Request request);
    Task<> catch_up(std::shared_ptr<Listener> listener, std::vector<JobId> ended);
    Json history(const Listener &listener, const Job &job) const;
    Json wanted(const Listener &listener, Json events) const;
    void publish(const Job &job, Json events);
    void publish_annotations(Job &job, const Json &memo = {});

    // queues.cpp
    void configure_queues();
    Queue &queue_of(const Job &job);
    bool schedules(const Job &job);
    Json queue_status(Request &request);
    Json queue_list(Request &request);
    Task<Json> queue_enable(Request request);
    Task<Json> queue_start(Request request);
    template <class Fn>
    KvsWriter::Ticket each_queue(const Request &request, Fn fn);
    KvsWriter::Ticket save_queues(const Request &request);
    Task<> restore_queues();

    // restart.cpp
    Task<> leave_exec();
    Task<> settle_submissions();
    static Error unloaded();
    Task<> load_jobs();
    Task<std::vector<JobId>> stored_jobs();
    Task<> load_job(JobId id);
    void take_over_ended(const Job &job);
    Task<std::string> lookup(std::string key);

    // job_manager.cpp
    Job *find(JobId id);
    // The active job of "id", which the sender may change.
    Job &need(const Request &request, int errnum_of_others = EINVAL);
    void post(Job &job, std::string_view name, Json context = {});
    KvsWriter::Ticket flush(Job &job);
    void schedule_flush();
    Task<> durable(JobId id);
    void advance(Job &job);
    void retire(Job &job);
    void raise_exception(Job &job, std::string_view type, int severity, std::string_view note, uint32_t userid);

    // Events are the record of what happened; a submission that cannot be stored did not.
    KvsWriter writer_;
    KvsWriter submissions_;
    QueueConfig config_;
    Condition changed_; // a job became inactive, or stopped running
    Gate conversations_; // with the scheduler and the execution service
    bool stopping_ = false; // none of those is begun any more
    std::unordered_map<JobId, std::unique_ptr<Job>> active_;
    std::unordered_map<JobId, EndedJob> inactive_;
    std::set<std::pair<double, JobId>> by_age_; // of inactive_, the oldest first
    InactiveLimits inactive_limits_;
    bool purging_ = false; // somebody looks at them
    std::vector<JobId> dirty_;
    bool flush_posted_ = false;

    DependencyIndex dependencies_;
    Singletons singletons_;
    std::unordered_map<JobId, std::vector<Timer>> begin_timers_;

    PerilogConfigs perilog_configs_;
    struct PerilogOfJob {
        std::shared_ptr<PerilogRun> run;
        int fatal_exceptions; // that the job had when it began
    };
    std::unordered_map<JobId, PerilogOfJob> perilogs_; // under way

    std::unordered_map<JobId, Housekeeping> housekeepings_;

    std::map<JobId, Json> zombies_; // waitable, inactive, not waited for: the answer to wait
    std::list<Waiter> waiters_;
    std::unordered_map<JobId, std::vector<std::list<Waiter>::iterator>> waiters_of_;
    size_t waitable_ = 0; // active
    std::map<std::string, Queue> queues_;
    std::list<std::shared_ptr<Listener>> listeners_;
    uint64_t max_jobid_ = 0;
    uint64_t events_ = 0;
    size_t running_ = 0;

    bool sched_known_ = false; // it was told what is allocated
    bool sched_ready_ = false;
    RouteId scheduler_;
    size_t alloc_limit_ = 0; // 0: unlimited
    size_t alloc_inflight_ = 0;
    std::set<std::tuple<int64_t, JobId>> alloc_waiting_; // -priority, id: jobs beyond the limit
    std::string exec_service_;                           // empty: jobs wait for one
    RouteId exec_sender_;                                // of its last hello
};

} // namespace flux
