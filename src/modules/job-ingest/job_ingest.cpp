// job-ingest (every rank): takes signed jobspecs, says what is wrong with them, gives them ids and passes
// them on to the job manager. While one batch is on its way the next gathers; a job's id is answered when the
// job is durable.
#include "common/job/environment_text.hpp"
#include "common/job/job_state.hpp"
#include "common/job/jobspec.hpp"
#include "common/job/queue_config.hpp"
#include "common/job/sign.hpp"
#include "common/module/module.hpp"
#include "common/types/job_id.hpp"
#include "common/types/urgency.hpp"

namespace flux {

class JobIngest : public Module {
public:
    explicit JobIngest(Context &context)
        : Module(context), generator_(context.rank(), int64_t(wall_time() * 1000) - 1)
    {
        serve("submit", role::any, &JobIngest::submit);
        serve("getinfo", role::any, &JobIngest::getinfo);
    }
    Task<> start() override
    {
        // Ids of earlier lives of this instance are below these.
        try {
            auto info = co_await handle().rpc("job-manager.getinfo", {}, {.nodeid = 0});
            if (auto max = info.json().value<uint64_t>("max_jobid", 0))
                generator_.start_above(JobId(max), int64_t(wall_time() * 1000));
        } catch (const Error &error) {
            if (error.errnum() != ENOSYS)
                throw;
        }
    }
    Json stats() const override
    {
        return Json {{"submitted", submitted_}, {"batches", batches_}, {"refused", refused_}};
    }

private:
    struct Waiting {
        Json job;
        Promise<bool> answer;
    };
    Task<Json> submit(Request request)
    {
        Json job;
        try {
            job = check(request);
            if (!(job.get<uint32_t>("flags") & job_flags::novalidate))
                co_await check_feasibility(job["jobspec"]);
        } catch (const Error &) {
            ++refused_;
            throw;
        }
        job.set("id", generator_.next(int64_t(wall_time() * 1000)).value());
        uint64_t id = job.get<uint64_t>("id");
        Promise<bool> promise(loop());
        auto future = promise.future();
        waiting_.push_back({std::move(job), std::move(promise)});
        if (!sending_) {
            sending_ = true;
            spawn(send_batches());
        }
        co_await future;
        ++submitted_;
        co_return Json {{"id", id}};
    }
    Json getinfo(Request &)
    {
        return Json {{"generator", rank()}, {"max_generator", FluidGenerator::max_generator}};
    }

    Json check(const Request &request)
    {
        auto signed_text = request.get<std::string>("J");
        auto urgency = request.get<int64_t>("urgency");
        auto flags = request.get<uint32_t>("flags");
        const auto &who = request.credentials();
        if (auto ok = check_urgency(urgency, who.is_owner()); !ok)
            throw ok.error();
        if (flags & ~job_flags::known)
            throw Error(EPROTO, "flags {:#x} has bits that are not known", flags);
        if (!who.is_owner() && (flags & (job_flags::waitable | job_flags::novalidate)))
            throw Error(EPERM, "only the instance owner can submit with the waitable or novalidate flag");
        auto unwrapped = value_or_throw(unwrap(signed_text));
        if (unwrapped.userid != who.userid)
            throw Error(EPERM, "signer={} != requestor={}", unwrapped.userid, who.userid);
        if (unwrapped.mechanism == "none" && !who.is_owner())
            throw Error(EPERM, "only the instance owner can use the signature mechanism none");
        auto split = split_environment(unwrapped.payload);
        if (!split)
            throw Error(EINVAL, "jobspec: invalid JSON: {}", split.error().text());
        auto jobspec = Jobspec::parse(split->jobspec);
        if (!jobspec)
            throw Error(EINVAL, "jobspec: {}", jobspec.error().text());
        if (!(flags & job_flags::novalidate))
            if (auto ok = jobspec->check_v1(); !ok)
                throw Error(EINVAL, "jobspec: {}", ok.error().text());
        Json complete = value_or_throw(queues().complete(split->jobspec));
        if (complete.raw() != split->jobspec.raw())
            jobspec = Jobspec::parse(complete);
        if (auto ok = queues().check(*jobspec); !ok)
            throw ok.error();
        return Json {{"userid", who.userid},
                     {"urgency", urgency},
                     {"flags", flags},
                     {"J", signed_text},
                     {"jobspec", complete},
                     {"environment", split->environment}};
    }
    // The configuration may change while we run.
    const QueueConfig &queues()
    {
        if (context().config().raw() != configured_by_.raw()) {
            queues_ = value_or_throw(QueueConfig::from(context().config()));
            configured_by_ = context().config();
        }
        return queues_;
    }
    // EINVAL when no scheduler could ever run it. Without one nobody knows.
    Task<> check_feasibility(Json jobspec)
    {
        Json args {{"jobspec", jobspec}};
        try {
            co_await rpc("feasibility.check", args);
        } catch (const Error &error) {
            if (error.errnum() == EOVERFLOW) // the scheduler's way of saying never
                throw Error(EINVAL, "{}", error.text());
            if (error.errnum() != ENOSYS)
                throw;
        }
    }

    Task<> send_batches()
    {
        while (!waiting_.empty()) {
            auto batch = std::move(waiting_);
            waiting_.clear();
            Json jobs = Json::array();
            for (auto &waiting : batch)
                jobs.append(waiting.job);
            Json args {{"jobs", jobs}};
            ++batches_;
            std::optional<Error> failure;
            std::map<uint64_t, std::string> refused;
            try {
                auto answer = co_await handle().rpc("job-manager.submit", args, {.nodeid = 0});
                for (auto pair : answer.json()["errors"].elements())
                    refused[pair[size_t(0)].as<uint64_t>()] = pair[size_t(1)].as<std::string>();
            } catch (const Error &error) {
                failure = error;
            }
            if (failure && failure->errnum() == ENOSYS)
                failure = Error(ENOSYS, "the job manager is not loaded: submit again when it is (flux module load job-manager)");
            for (auto &waiting : batch) {
                auto found = refused.find(waiting.job.get<uint64_t>("id"));
                if (failure)
                    waiting.answer.fail(*failure);
                else if (found != refused.end())
                    waiting.answer.fail(Error::with_text(EINVAL, found->second));
                else
                    waiting.answer.set(true);
            }
        }
        sending_ = false;
    }

    FluidGenerator generator_;
    QueueConfig queues_;
    Json configured_by_;
    std::vector<Waiting> waiting_;
    bool sending_ = false;
    uint64_t submitted_ = 0;
    uint64_t batches_ = 0;
    uint64_t refused_ = 0;
};

FLUX_MODULE(job_ingest, "job-ingest", JobIngest)

} // namespace flux
