// sched (rank 0): the scheduler's face, RFC 27 and RFC 28. What is chosen is Machine's business, when and in
// which order the queues'.
//
// Planning goes in slices between which messages are answered. A success carries "R" and leaves committing it
// to the job manager, which writes it with the alloc event.
#pragma once
#include <cmath>
#include <deque>
#include <functional>
#include <map>

#include "common/module/module.hpp"
#include "common/types/job_id.hpp"
#include "modules/sched/queue_stats.hpp"
#include "modules/sched/resource_service.hpp"
#include "modules/sched/status_view.hpp"

namespace flux {

using graph::JobQueue;
using graph::QueueDecision;

class Sched : public Module, private SchedulerAccess {
public:
    explicit Sched(Context &context);
    // The resources are known once every broker has told of its own, and brokers join when this one has
    // started.
    Task<> start() override;
    Json stats() const override;

private:
    // Of planning, before messages get their turn: a few ms at most.
    static constexpr size_t slice_effort = 64;
    static constexpr size_t told_in_order = 20; // jobs of a queue whose reasons are kept up to date
    static constexpr size_t told_at_once = 200; // reasons in one turn of the loop
    static constexpr const char *behind_others = "waits for the jobs before it in the queue";
    static constexpr uint32_t debug_decisions =
        1; // flux module debug: the log says what is decided about each job
    static constexpr double tell_after = 1.0; // seconds for which a job waits before it is told why

    struct Pending {
        Request request;
        size_t queue;
        std::shared_ptr<const graph::JobRequest> wanted;
        double duration;
        std::string reason; // that was told last
        std::optional<graph::Time> estimate;
        bool estimate_told = true;
    };

    void configure(SchedConfig config);

    // --- what the further services see of this one
    bool ready() const override { return ready_; }
    Machine &machine() override;
    const SchedConfig &config() const override { return config_; }
    graph::Time now() const override { return graph::Time(std::floor(wall_time())); }
    uint32_t brokers() const override { return size(); }
    bool is_pending(int64_t id) const override { return pending_.contains(JobId(uint64_t(id))); }
    Json status() override;
    void use_changed(bool freed) override;
    void machine_changed() override;
    Json queue_params(Request &) { return Json {{"params", config_.queue_params}}; }
    Json queue_stats(Request &);
    Json clear_queue_stats(Request &);

    // --- its conversations with the resource module and the job manager (conversations.cpp)
    // A scheduler that cannot begin, or go on, ends: so everybody sees that there is none.
    Task<> begin();
    Task<> follow(std::string service, std::function<Task<>()> converse, std::function<void()> gone);
    // What a resource module has to tell, until it goes.
    Task<> use_resources();
    void load_machine(const Json &first);
    // RFC 27. A job manager that was loaded again has of those that were given something only whom it has on
    // record.
    Task<> meet_job_manager();
    // Those that asked for something went with it. What runs keeps what it has until there is a job manager
    // again.
    void job_manager_gone();
    void free_all_but(const std::vector<Json> &running);
    void take_over(const Json &job);
    void cannot_take_over(uint64_t id, const Error &error);
    // Nothing is given out until a resource module tells what is up.
    void resources_lost();
    void acquired_again(const Json &first);
    void apply_change(const Json &json);
    void expand(const ResourceSet &nodes);
    void availability_changed();
    // RFC 28 says that ranks are down, the resource module also why.
    Task<> learn_reasons();

    // --- planning (planning.cpp)
    void replan();
    void plan_soon();
    void plan_slice();
    void carry_out(QueueDecision &decision);
    void start_job(int64_t id, Pending &job);

    // what jobs that wait are told
    // A job that was to start by now, and did not: what was expected to end has not. The plan is made anew.
    void watch_estimates();
    void tell_later();
    Task<> tell_reasons();
    std::string reason_of(const graph::QueuedJob &job, const Pending &pending, graph::Time now,
                          std::map<std::string, std::string> &known);
    bool tell(const graph::QueuedJob &job, Pending &pending, const std::string &reason);

    // --- what the job manager asks and tells
    void alloc(Request request);
    void cancel(Request request);
    // One that overtakes the hello's last answers is of a job that is still to be taken over.
    void free(Request request);
    void free_now(const Request &request);
    void prioritize(Request request);
    Json expiration(Request &request);
    Json resource_status(Request &) { return status(); }
    Json feasibility(Request &request);
    // Jobs keep what they have, and those that wait are looked at anew. What graph there is was decided when
    // the module was loaded.
    Json config_reload(Request &request);

    SchedConfig config_;
    std::unique_ptr<Machine> machine_;
    bool of_instance_ = true; // the machine is what the resource module tells, and no file
    ResourceService resource_service_;
    StatusView shown_;
    QueueStats stats_;
    bool ready_ = false;               // the machine is known with what is in use
    bool in_touch_ = false;            // with a job manager, that was told so
    std::vector<Request> early_frees_; // until the hello has ended: at most one for each running job
    std::vector<JobQueue> queues_;
    std::unordered_map<JobId, Pending> pending_;
    std::deque<JobId> untold_; // there is something that they were not told
    size_t turn_ = 0;
    bool planning_ = false;
    bool telling_ = false;
    Timer estimate_timer_;
    uint64_t allocations_ = 0;
};

} // namespace flux
