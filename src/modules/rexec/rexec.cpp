// rexec: the subprocess server of a broker (RFC 42). The instance owner runs programs on any rank with it,
// outside of any job; `flux exec` and `flux sproc` are its clients.
#include <csignal>
#include <list>
#include <set>

#include "common/module/module.hpp"
#include "common/runtime/sync.hpp"
#include "modules/rexec/subprocess.hpp"

namespace flux {

class Rexec : public Module {
public:
    static constexpr size_t max_processes = 65536; // running and not yet waited for
    static constexpr double default_timeout = 60;  // seconds, from SIGTERM to SIGKILL when a job has ended

    explicit Rexec(Context &context) : Module(context)
    {
        serve("exec", role::none, &Rexec::exec);
        serve("attach", role::none, &Rexec::attach);
        serve("write", role::none, &Rexec::write);
        serve("kill", role::none, &Rexec::kill);
        serve("wait", role::none, &Rexec::wait);
        serve("list", role::none, &Rexec::list);
        handle().on_disconnect([this](const RouteId &sender) { disconnected(sender); });
    }

    Task<> stop() override
    {
        processes_.clear(); // kills them
        co_return;
    }

    Json stats() const override
    {
        size_t running = 0;
        for (const auto &process : processes_)
            running += !process.ended();
        return Json {{"running", running}, {"zombies", processes_.size() - running}, {"started", started_}};
    }

private:
    // Requests may come signed (RFC 42): this server runs as the instance owner and takes the credential of
    // the message instead.
    static void refuse_signature(const Request &request)
    {
        if (request.json() && request.json().contains("signature"))
            throw Error(EPERM, "{}: signed requests are not supported here", request.message().topic);
    }

    void exec(Request request)
    {
        refuse_signature(request);
        if (processes_.size() >= max_processes)
            throw Error(EAGAIN, "rank {} has {} subprocesses already, the most it may have", rank(),
                        max_processes);
        Subprocess::Hooks hooks {
            .log =
                [this](const Subprocess &process, std::string_view stream, std::string_view line) {
                    log(stream == "stderr" ? LogLevel::err : LogLevel::info, "{}[{}]: {}: {}",
                        process.label().empty() ? process.command_line() : process.label(), process.pid(),
                        stream, line);
                },
            .ended = [this](Subprocess &process) { ended(process); },
        };
        auto label = request.get<Json>("cmd").find<std::string>("label");
        if (label && find(0, label))
            throw Error(EEXIST, "a process with the label {} is there already; choose another", *label);
        processes_.emplace_back(std::move(request), rank(), std::move(hooks));
        try {
            processes_.back().start(*context().platform().spawner,
                                    context().attribute("local-uri").value_or(""));
            started_++;
            if (const auto &job = processes_.back().job(); job && followed_.insert(*job).second)
                spawn(end_with_job(*job));
        } catch (const Error &error) {
            // The request went with the process: answer through the copy that the dispatcher keeps.
            processes_.pop_back();
            throw;
        }
    }

    void attach(Request request)
    {
        refuse_signature(request);
        auto &process = target(request, ENOENT);
        process.attach(std::move(request));
        forget_later();
    }

    Json write(Request &request)
    {
        refuse_signature(request);
        auto matchtag = request.get<uint32_t>("matchtag");
        Json io = request.get<Json>("io");
        for (auto &process : processes_)
            if (process.is_clients(request.sender(), matchtag)) {
                process.write(io);
                break;
            }
        return {};
    }

    Json kill(Request &request)
    {
        refuse_signature(request);
        int signum = request.get<int>("signum");
        target(request, ESRCH).signal(signum);
        return {};
    }

    void wait(Request request)
    {
        refuse_signature(request);
        auto &process = target(request, ENOENT);
        process.wait(std::move(request));
        forget_later();
    }

    Json list(Request &)
    {
        Json procs = Json::array();
        for (const auto &process : processes_)
            procs.append(process.listed());
        return Json {{"rank", rank()}, {"procs", procs}};
    }

    void disconnected(const RouteId &sender)
    {
        for (auto &process : processes_)
            process.disconnected(sender);
        forget_later();
    }

    // What runs beside a job's tasks is told to end when they have.
    Task<> end_with_job(JobId id)
    {
        double timeout = default_timeout; // where the job is no more, or its execution service is gone
        Json args {{"id", id.value()}};
        try {
            auto answer = co_await rpc("job-exec.tasks-end", args, {.nodeid = rank()});
            timeout = answer.json().get<double>("timeout");
        } catch (const Error &error) {
            log(LogLevel::debug, "{}: {}", id, error.text());
        }
        followed_.erase(id);
        signal_those_of(id, SIGTERM);
        co_await sleep_for(loop(), seconds(timeout));
        signal_those_of(id, SIGKILL);
    }

    void signal_those_of(JobId id, int signum)
    {
        for (auto &process : processes_)
            if (process.job() == id && !process.ended())
                process.signal(signum);
    }

    void ended(Subprocess &process)
    {
        if (process.in_background())
            log(LogLevel::debug, "{}[{}]: exited", process.command_line(), process.pid());
        forget_later();
    }

    // From the top of the loop, because one of them may be what runs now.
    void forget_later()
    {
        loop().post([this, alive = std::weak_ptr(alive_)] {
            if (!alive.expired())
                processes_.remove_if([](const Subprocess &process) { return process.forgettable(); });
        });
    }

    Subprocess *find(int pid, const std::optional<std::string> &label)
    {
        for (auto &process : processes_)
            if (label ? process.label() == *label : process.pid() == pid)
                return &process;
        return nullptr;
    }

    Subprocess &target(const Request &request, int errnum)
    {
        auto label = request.find<std::string>("label");
        int pid = request.find<int>("pid").value_or(-1);
        if (auto *process = find(pid, label))
            return *process;
        if (label)
            throw Error(errnum, "rank {} has no subprocess labeled {}", rank(), *label);
        throw Error(errnum, "rank {} has no subprocess {}", rank(), pid);
    }

    std::list<Subprocess> processes_;
    std::set<JobId> followed_; // jobs whose end is waited for
    uint64_t started_ = 0;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

FLUX_MODULE(rexec, "rexec", Rexec)

} // namespace flux
