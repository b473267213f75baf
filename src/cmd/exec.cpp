// flux exec: a program on brokers, without the scheduler (RFC 42).
#include <climits>
#include <csignal>
#include <filesystem>
#include <sysexits.h>
#include <unistd.h>

#include "cmd/commands.hpp"
#include "cmd/print.hpp"
#include "cmd/terminal.hpp"
#include "common/base/encoding.hpp"
#include "common/job/job_exit.hpp"
#include "common/job/resource_set.hpp"
#include "common/runtime/sync.hpp"
#include "common/types/idset.hpp"

extern char **environ;

namespace flux::cmd {

namespace {

constexpr int flag_stdout = 1; // of rexec.exec and rexec.attach: what comes back
constexpr int flag_stderr = 2;
constexpr int flag_write_credit = 8;
constexpr int flag_waitable = 16;

constexpr int not_started = 127; // the exit code of a program that is not there
constexpr int not_executable = 126;

Json inherited_environment()
{
    Json out = Json::object();
    for (char **entry = environ; *entry; entry++) {
        std::string_view text = *entry;
        if (size_t at = text.find('='); at != std::string_view::npos)
            out.set(text.substr(0, at), text.substr(at + 1));
    }
    out.erase("FLUX_PROXY_REMOTE");
    return out;
}

// With --with-imp, what the instance's IMP runs in the user's place.
std::vector<std::string> command_line(Session &flux, const Args &args)
{
    if (!args.has("with-imp"))
        return args.positional();
    auto imp = flux.rpc("config.get")["exec"].value<std::string>("imp", "");
    if (imp.empty())
        throw Error(ENOENT, "--with-imp: this instance has no IMP: exec.imp is not set in its configuration");
    std::vector<std::string> out {imp, "run"};
    out.insert(out.end(), args.positional().begin(), args.positional().end());
    return out;
}

class Execution {
public:
    Execution(Session &flux, const Args &args)
        : flux_(flux), handle_(flux.handle()), args_(args), line_(command_line(flux, args)),
          service_("rexec"), changed_(handle_.loop()), gate_(handle_.loop())
    {
    }

    // A process on each rank in the foreground: until all have ended.
    Task<int> run(Idset ranks, Json environment)
    {
        command_ = command(std::move(environment));
        running_ = ranks.count();
        forward_signals({SIGINT, SIGTERM});
        for (uint32_t rank : ranks)
            gate_.spawn(on_rank(rank));
        if (args_.has("noinput"))
            end_input();
        while (running_ > 0 && !given_up_)
            co_await changed_.wait();
        co_return status_;
    }

    // --bg: until all have started.
    Task<int> start(Idset ranks, Json environment)
    {
        command_ = command(std::move(environment));
        running_ = ranks.count();
        for (uint32_t rank : ranks)
            gate_.spawn(start_on(rank));
        while (running_ > 0)
            co_await changed_.wait();
        co_return status_;
    }

    // --attach: one process that was started with --bg.
    Task<int> attach(uint32_t rank)
    {
        forward_signals({SIGTERM});
        signals_.push_back(flux_.loop().watch_signal(SIGINT, [this](int) {
            warn("flux-exec: detached from {}", args_[0]);
            given_up_ = true;
            changed_.notify_all();
        }));
        running_ = 1;
        gate_.spawn(attach_on(rank));
        while (running_ > 0 && !given_up_)
            co_await changed_.wait();
        co_return status_;
    }

private:
    struct Target {
        uint32_t matchtag = 0;
        int pid = -1;
        int64_t credit = 0; // bytes of standard input that may be sent
        bool has_credit = false;
        std::map<std::string, std::string> partial; // the line that has not ended, by stream
    };

    Json command(Json environment) const
    {
        Json out {{"cwd", args_.value("dir", std::filesystem::current_path().string())},
                  {"cmdline", Json::array_of(line_)},
                  {"env", std::move(environment)},
                  {"opts", Json::object()},
                  {"channels", Json::array()}};
        if (args_.has("label"))
            out.set("label", args_.value("label"));
        if (args_.has("jobid")) {
            auto id = option_value("jobid", JobId::parse(args_.value("jobid")));
            out.set("opts", Json {{"jobid", id.f58(F58Prefix::ascii)}});
        }
        return out;
    }

    void forward_signals(std::initializer_list<int> signums)
    {
        for (int signum : signums)
            signals_.push_back(
                flux_.loop().watch_signal(signum, [this](int number) { interrupted(number); }));
    }

    void interrupted(int signum)
    {
        if (signum == SIGINT && interrupts_.again(handle_.loop().now())) {
            warn("flux-exec: giving up on {} processes that have not ended", running_);
            given_up_ = true;
            status_ = std::max(status_, 128 + SIGINT);
            changed_.notify_all();
            return;
        }
        if (signum == SIGINT && !args_.has("quiet"))
            warn("flux-exec: sending SIGINT to {} processes; press ^C again to give up", running_);
        for (const auto &[rank, target] : targets_)
            if (target.pid > 0)
                handle_.notify(service_ + ".kill", Json {{"pid", target.pid}, {"signum", signum}},
                               {.nodeid = rank});
    }

    void note_failure(uint32_t rank, const Error &error)
    {
        warn("flux-exec: Error: rank {}: {}: {}", rank, args_[0], error.what());
        status_ = std::max(status_, error.errnum() == EHOSTUNREACH ? EX_NOHOST
                                    : error.errnum() == ENOENT     ? not_started
                                                                   : not_executable);
    }

    void one_ended(uint32_t rank)
    {
        targets_.erase(rank);
        running_--;
        update_input();
        changed_.notify_all();
    }

    Task<> on_rank(uint32_t rank)
    {
        std::optional<Error> failure;
        try {
            Json request {{"cmd", command_}, {"flags", flag_stdout | flag_stderr | flag_write_credit}};
            co_await follow(rank, handle_.stream(service_ + ".exec", request, {.nodeid = rank}));
        } catch (const Error &error) {
            failure = error;
        }
        if (failure)
            note_failure(rank, *failure);
        one_ended(rank);
    }

    Task<> attach_on(uint32_t rank)
    {
        std::optional<Error> failure;
        try {
            Json request {{"flags", flag_stdout | flag_stderr}, {"pid", -1}};
            char *end = nullptr;
            long pid = std::strtol(args_[0].c_str(), &end, 10);
            if (*end)
                request.set("label", args_[0]);
            else
                request.set("pid", pid);
            co_await follow(rank, handle_.stream(service_ + ".attach", request, {.nodeid = rank}));
        } catch (const Error &error) {
            failure = error;
        }
        if (failure)
            note_failure(rank, *failure);
        one_ended(rank);
    }

    Task<> start_on(uint32_t rank)
    {
        std::optional<Error> failure;
        try {
            Json request {{"cmd", command_}, {"flags", args_.has("waitable") ? flag_waitable : 0}};
            Message answer = co_await handle_.rpc(service_ + ".exec", request, {.nodeid = rank});
            if (!args_.has("quiet"))
                print("{}: {}\n", rank, answer.json().get<int>("pid"));
        } catch (const Error &error) {
            failure = error;
        }
        if (failure)
            note_failure(rank, *failure);
        one_ended(rank);
    }

    Task<> follow(uint32_t rank, Stream stream)
    {
        targets_[rank].matchtag = stream.matchtag();
        if (args_.has("verbose"))
            warn("flux-exec: {} on rank {}", args_[0], rank);
        if (input_ended_)
            send_input(rank, targets_[rank], {});
        while (auto answer = co_await stream.next()) {
            const Json &json = answer->json();
            auto type = json.get<std::string>("type");
            Target &target = targets_[rank];
            if (type == "started" || type == "attached") {
                target.pid = json.get<int>("pid");
            } else if (type == "output") {
                show(rank, target, json.get<Json>("io"));
            } else if (type == "add-credit") {
                target.credit += json["channels"].value<int64_t>("stdin", 0);
                target.has_credit = true;
                update_input();
            } else if (type == "finished") {
                finished(rank, json.get<int>("status"));
            }
        }
    }

    void show(uint32_t rank, Target &target, const Json &io)
    {
        auto stream = io.value<std::string>("stream", "stdout");
        std::string data = io.value<std::string>("data", "");
        if (io.value<std::string>("encoding", "") == "base64")
            data = value_or_throw(base64_decode(data));
        FILE *file = stream == "stderr" ? stderr : stdout;
        if (!args_.has("label-io")) {
            std::fwrite(data.data(), 1, data.size(), file);
            std::fflush(file);
            return;
        }
        std::string &line = target.partial[stream];
        line += data;
        size_t begin = 0;
        for (size_t end; (end = line.find('\n', begin)) != std::string::npos; begin = end + 1)
            fmt::print(file, "{}: {}", rank, line.substr(begin, end + 1 - begin));
        line.erase(0, begin);
        if (!line.empty() && io.value<bool>("eof", false))
            fmt::print(file, "{}: {}\n", rank, std::exchange(line, {}));
        std::fflush(file);
    }

    void finished(uint32_t rank, int wait_status)
    {
        status_ = std::max(status_, exit_code_of(wait_status));
        if (wait_status && !args_.has("quiet"))
            warn("[{}]: {}", rank, describe_wait_status(wait_status));
    }

    // Standard input is read only while every process that still runs has room for it.
    void update_input()
    {
        if (input_ended_ || args_.has("noinput") || args_.has("attach"))
            return;
        bool room = !targets_.empty();
        for (const auto &[rank, target] : targets_)
            room &= target.has_credit && target.credit > 0;
        if (!watch_ && room && may_read_terminal())
            watch_ = handle_.loop().watch_fd(STDIN_FILENO, true, false, [this](bool, bool) { read_input(); });
        else if (watch_)
            watch_->set(room, false);
    }

    void read_input()
    {
        size_t room = stdin_chunk;
        for (const auto &[rank, target] : targets_)
            room = std::min(room, size_t(std::max<int64_t>(target.credit, 0)));
        if (room == 0 || targets_.empty())
            return update_input();
        char chunk[stdin_chunk];
        ssize_t n = ::read(STDIN_FILENO, chunk, room);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            return;
        if (n <= 0) {
            watch_->set(false, false);
            return end_input();
        }
        for (auto &[rank, target] : targets_) {
            target.credit -= n;
            send_input(rank, target, {chunk, size_t(n)});
        }
        update_input();
    }

    void end_input()
    {
        input_ended_ = true;
        for (const auto &[rank, target] : targets_)
            send_input(rank, target, {});
    }

    // No data: the end.
    void send_input(uint32_t rank, const Target &target, std::string_view data)
    {
        Json io {{"stream", "stdin"}, {"rank", fmt::format("{}", rank)}};
        if (data.empty()) {
            io.set("eof", true);
        } else {
            io.set("data", base64_encode(data));
            io.set("encoding", "base64");
        }
        handle_.notify(service_ + ".write", Json {{"matchtag", target.matchtag}, {"io", io}},
                       {.nodeid = rank});
    }

    Session &flux_;
    Handle &handle_;
    const Args &args_;
    std::vector<std::string> line_; // the program and its arguments
    std::string service_;
    Json command_;
    std::map<uint32_t, Target> targets_; // by rank
    size_t running_ = 0;
    int status_ = 0;
    Interrupts interrupts_;
    bool given_up_ = false;
    bool input_ended_ = false;
    std::unique_ptr<Loop::FdWatch> watch_;
    std::vector<std::shared_ptr<EvLoop::SignalWatch>> signals_;
    Condition changed_;
    Gate gate_;
};

// The ranks of a job, which --rank and --exclude then index.
std::vector<uint32_t> job_ranks(Session &flux, JobId id)
{
    Json request {{"id", id.value()}, {"keys", Json::array_of(std::vector<std::string> {"R"})}, {"flags", 0}};
    auto set = value_or_throw(ResourceSet::parse(flux.rpc("job-info.lookup", request).get<std::string>("R")));
    std::vector<uint32_t> out;
    for (uint32_t rank : set.ranks())
        out.push_back(rank);
    return out;
}

Idset chosen_indices(const Args &args, size_t size, std::string_view whose, int &status)
{
    Idset all = Idset::iota(uint32_t(size));
    std::string wanted = args.value("rank", "all");
    Idset ranks = wanted == "all" ? all : option_value("rank", Idset::parse(wanted));
    if (Idset missing = ranks - all; !missing.empty()) {
        warn("flux-exec: Error: --rank: {} has no rank {}: it has {}", whose, missing.format(), all.format());
        status = EX_NOHOST;
        ranks &= all;
    }
    if (args.has("exclude"))
        ranks -= option_value("exclude", Idset::parse(args.value("exclude")));
    return ranks;
}

int run_exec(const Args &args, Session &flux)
{
    if (args.has("waitable") && !args.has("bg"))
        throw UsageError("--waitable needs --bg: a process in the foreground is waited for anyway");
    if (args.has("attach")) {
        if (args.size() != 1)
            throw UsageError("--attach takes one PID or LABEL");
        Execution attachment(flux, args);
        return flux.run(attachment.attach(uint32_t(args.integer("rank", 0))));
    }
    Json environment = inherited_environment();
    int status = 0;
    Idset ranks;
    if (args.has("jobid")) {
        JobId id = option_value("jobid", JobId::parse(args.value("jobid")));
        auto of_job = job_ranks(flux, id);
        for (uint32_t index : chosen_indices(args, of_job.size(), "the job", status))
            ranks.add(of_job[index]);
        environment.set("FLUX_JOB_ID", id.f58());
    } else {
        ranks = chosen_indices(args, flux.size(), "the instance", status);
    }
    if (ranks.empty() && status)
        return status;
    if (ranks.empty())
        throw UsageError("no rank is left to run on: --exclude takes out all that --rank has");
    Execution execution(flux, args);
    int result =
        flux.run(args.has("bg") ? execution.start(ranks, environment) : execution.run(ranks, environment));
    return std::max(status, result);
}

} // namespace

const Command exec {
    .name = "exec",
    .args = "PROGRAM ARGS",
    .summary = "Run a program on brokers, outside of any job",
    .options = {{"-r,--rank=IDSET", "on these ranks (default: all)"},
                {"-x,--exclude=IDSET", "but not on these"},
                {"-j,--jobid=JOBID", "on the nodes of a job, which --rank and --exclude then count from 0"},
                {"-l,--label-io", "prefix output with its rank"},
                {"-n,--noinput", "send no standard input"},
                {"-d,--dir=DIR", "in this directory"},
                {"-q,--quiet", "do not report exit codes"},
                {"-v,--verbose", "say what is started where"},
                {"--with-imp", "through flux-imp run: exec.imp of the configuration"},
                {"--bg", "start it in the background, show rank and pid, return"},
                {"--waitable", "with --bg, keep its exit code for flux sproc wait"},
                {"--label=LABEL", "a name under which it can be found later"},
                {"--attach", "attach to a background process, PID or LABEL, of the rank given by --rank"}},
    .min_args = 1,
    .runs_program = true,
    .run = run_exec,
};

} // namespace flux::cmd
