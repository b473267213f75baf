// Jobs from a client's side, and what must hold of them: submitting random ones, following them, and judging
// what the instance has written about them.
#pragma once
#include <map>
#include <set>

#include "common/job/eventlog.hpp"
#include "common/types/job_id.hpp"
#include "sim/matches.hpp"

namespace flux::sim {

struct JobPlan {
    std::vector<std::string> command {"true"};
    std::optional<double> mock_duration; // seconds: no shell
    uint64_t nnodes = 0;                 // 0: not asked for
    uint64_t ntasks = 1;
    uint64_t cores_per_task = 1;
    double duration = 0; // time limit in seconds; 0: none
    int urgency = 16;
    bool waitable = false;
    std::string queue; // empty: none is named
};

// Mostly small, now and then wide, long, failing, deaf or held; all end by themselves, when held ones are
// released.
JobPlan random_plan(World &world);

// Answers once the job is acknowledged.
Task<JobId> submit(ClientPtr client, JobPlan plan);

// Submits from wherever a broker is up, until that many jobs are acknowledged.
Task<> submit_stubbornly(World &world, std::set<JobId> &acknowledged, size_t count, JobPlan (*plan)(World &));

// Until there are no submitters left; goes on for up to so many seconds, then what befalls the instance is
// over.
void let_submit(World &world, const size_t &submitters, bool &over, double go_on);

// Until no job is left that will end by itself; with release, held ones are let go.
enum class HeldJobs { stay, release };
Task<> drain(World &world, ClientPtr client, HeldJobs held = HeldJobs::stay);

// The whole event log up to "clean", as job-info tells it.
Task<std::vector<Event>> follow_job(ClientPtr client, JobId id);

// RFC 21: nullopt when the log is that of a job that came to rest in order; else what is wrong with it.
std::optional<std::string> check_eventlog(const std::vector<Event> &events);

// Reads every job of the KVS and checks: each acknowledged one is there, every one is inactive, its log in
// order, no core of the instance given to two jobs at a time, or to a job and a match beside them. Then that
// nothing is left: no active job, no allocation, no process.
Task<> check_jobs(World &world, ClientPtr client, const std::set<JobId> &acknowledged,
                  std::vector<HeldMatch> beside = {});

// The end of many a workload: drain() and check_jobs(), from rank 0.
void drain_and_check(World &world, const std::set<JobId> &acknowledged, HeldJobs held = HeldJobs::stay);

// Whether it failed because its broker or service is away for a while; who tries again does so this often.
bool is_transient(const Error &error);
constexpr int most_tries = 1000;

} // namespace flux::sim
