// job-manager (rank 0): moves jobs through the states of RFC 21. Every change is an event: post() applies it
// to the job, adds it to the event log in the KVS (group committed) and tells the journal's listeners;
// advance() then does what the job needs next. The protocols: scheduler RFC 27, execution RFC 32.
#pragma once
#include <list>
#include <unordered_map>

#include "common/module/module.hpp"
#include "modules/job-manager/job.hpp"
#include "modules/job-manager/kvs_writer.hpp"

namespace flux {

class JobManager : public Module {
public:
    explicit JobManager(Context &context);
    Task<> start() override;
    Task<> stop() override;
    Json stats() const override;

private:
    // What one queue is told by flux-queue(1). The queue without name is the only one unless queues are
    // configured.
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
    };

    // requests: job_manager.cpp
    Task<Json> submit(Request request);
    Json list(Request &request);
    Json getinfo(Request &request);
    Json getattr(Request &request);
    Json raise(Request &request);
    Json raiseall(Request &request);
    Task<Json> kill(Request request);
    Json killall(Request &request);
    Json urgency(Request &request);
    Json memo(Request &request);
    Json update(Request &request);
    Task<Json> wait(Request request);
    Task<Json> drain(Request request);
    Task<Json> idle(Request request);
    Task<Json> purge(Request request);
    void events_journal(Request request);
    Json queue_status(Request &request);
    Json queue_list(Request &request);
    Json queue_enable(Request &request);
    Json queue_start(Request &request);

    // protocols: protocols.cpp
    Task<> sched_hello(Request request);
    Json sched_ready(Request &request);
    Json exec_hello(Request &request);
    Task<> alloc_job(JobId id);
    Task<> run_job(JobId id);
    Task<> free_job(JobId id);
    void exec_response(Job &job, const Json &response);

    // restart: restart.cpp
    Task<> load_jobs();
    Task<> load_job(JobId id, std::string eventlog);

    Job *find(JobId id);
    Job &need(const Request &request); // the active job of "id", which the sender may change
    KvsWriter::Ticket post(Job &job, std::string_view name, Json context = {});
    void advance(Job &job);
    void retire(Job &job);
    void raise_exception(Job &job, std::string_view type, int severity, std::string_view note,
                         uint32_t userid);
    void publish(const Job &job, const Event &event);
    void send_history(const Job &job, Listener &listener);
    Queue &queue_of(const Job &job);
    Json queue_json(const std::string &name, const Queue &queue) const;
    template <class Fn>
    void each_queue(const Request &request, Fn fn);

    KvsWriter writer_;
    Condition changed_; // a job became inactive, or stopped running
    std::unordered_map<JobId, std::unique_ptr<Job>> active_;
    std::unordered_map<JobId, std::unique_ptr<Job>> inactive_;
    std::map<JobId, Json> zombies_; // waitable, inactive, not waited for: the answer to wait
    std::map<std::string, Queue> queues_;
    std::list<Listener> listeners_;
    uint64_t max_jobid_ = 0;
    uint64_t events_ = 0;
    size_t running_ = 0;
    bool sched_ready_ = false;
    size_t alloc_limit_ = 0; // 0: unlimited
    size_t alloc_inflight_ = 0;
    std::set<std::tuple<int64_t, JobId>> alloc_waiting_; // -priority, id: jobs beyond the limit
    std::string exec_service_;
};

} // namespace flux
