// flux exec: a program on brokers, without the scheduler (RFC 42).
#include <climits>
#include <filesystem>
#include <list>
#include <unistd.h>

#include "cmd/commands.hpp"
#include "cmd/print.hpp"
#include "cmd/submit_options.hpp"
#include "common/base/encoding.hpp"
#include "common/job/job_exit.hpp"
#include "common/runtime/sync.hpp"
#include "common/types/idset.hpp"

extern char **environ;

namespace flux::cmd {

namespace {

constexpr int flag_stdout = 1; // of rexec.exec: which streams come back
constexpr int flag_stderr = 2;
constexpr int not_started = 127; // the exit code of a program that is not there
constexpr int not_executable = 126;
constexpr size_t stdin_chunk = 64u << 10;

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

class Execution {
public:
    Execution(Handle &handle, const Args &args, std::string service)
        : handle_(handle), args_(args), service_(std::move(service)), changed_(handle.loop()),
          gate_(handle.loop())
    {
    }

    Task<int> run(Idset ranks)
    {
        command_ = Json {{"cwd", args_.value("dir", std::filesystem::current_path().string())},
                         {"cmdline", Json::array_of(args_.positional())},
                         {"env", inherited_environment()},
                         {"opts", Json::object()},
                         {"channels", Json::array()}};
        running_ = ranks.count();
        for (uint32_t rank : ranks)
            gate_.spawn(on_rank(rank));
        start_stdin();
        while (running_ > 0)
            co_await changed_.wait();
        co_return status_;
    }

private:
    Task<> on_rank(uint32_t rank)
    {
        std::string failure;
        int errnum = 0;
        try {
            co_await follow(rank);
        } catch (const Error &error) {
            failure = error.what();
            errnum = error.errnum();
        }
        if (errnum) {
            warn("flux-exec: Error: rank {}: {}: {}", rank, args_[0], failure);
            status_ = std::max(status_, errnum == ENOENT ? not_started : not_executable);
        }
        targets_.erase(rank);
        running_--;
        changed_.notify_all();
    }

    Task<> follow(uint32_t rank)
    {
        Json request {{"cmd", command_}, {"flags", flag_stdout | flag_stderr}};
        auto stream = handle_.stream(service_ + ".exec", request, {.nodeid = rank});
        targets_[rank] = stream.matchtag();
        if (input_ended_)
            send_input(rank, stream.matchtag(), {});
        while (auto answer = co_await stream.next()) {
            const Json &json = answer->json();
            auto type = json.get<std::string>("type");
            if (type == "output")
                show(rank, json.get<Json>("io"));
            else if (type == "finished")
                finished(rank, json.get<int>("status"));
        }
    }

    void show(uint32_t rank, const Json &io)
    {
        auto text = io.find<std::string>("data");
        if (!text)
            return;
        std::string data =
            io.value<std::string>("encoding", "") == "base64" ? value_or_throw(base64_decode(*text)) : *text;
        FILE *file = io.value<std::string>("stream", "stdout") == "stderr" ? stderr : stdout;
        if (args_.has("label-io"))
            data.insert(0, fmt::format("{}: ", rank));
        std::fwrite(data.data(), 1, data.size(), file);
        std::fflush(file);
    }

    void finished(uint32_t rank, int wait_status)
    {
        status_ = std::max(status_, exit_code_of(wait_status));
        if (wait_status && !args_.has("quiet"))
            warn("[{}]: {}", rank, describe_wait_status(wait_status));
    }

    void start_stdin()
    {
        if (args_.has("noinput")) {
            end_input();
            return;
        }
        watch_ = handle_.loop().watch_fd(STDIN_FILENO, true, false, [this](bool, bool) { read_input(); });
    }

    void read_input()
    {
        char chunk[stdin_chunk];
        ssize_t n = ::read(STDIN_FILENO, chunk, sizeof(chunk));
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            return;
        if (n <= 0) {
            watch_->set(false, false);
            return end_input();
        }
        for (auto [rank, matchtag] : targets_)
            send_input(rank, matchtag, {chunk, size_t(n)});
    }

    void end_input()
    {
        input_ended_ = true;
        for (auto [rank, matchtag] : targets_)
            send_input(rank, matchtag, {});
    }

    // No data: the end.
    void send_input(uint32_t rank, uint32_t matchtag, std::string_view data)
    {
        Json io {{"stream", "stdin"}, {"rank", fmt::format("{}", rank)}};
        if (data.empty()) {
            io.set("eof", true);
        } else {
            io.set("data", base64_encode(data));
            io.set("encoding", "base64");
        }
        handle_.notify(service_ + ".write", Json {{"matchtag", matchtag}, {"io", io}}, {.nodeid = rank});
    }

    Handle &handle_;
    const Args &args_;
    std::string service_;
    Json command_;
    std::map<uint32_t, uint32_t> targets_; // matchtags by rank
    size_t running_ = 0;
    int status_ = 0;
    bool input_ended_ = false;
    std::unique_ptr<Loop::FdWatch> watch_;
    Condition changed_;
    Gate gate_;
};

Task<int> execute(Handle &handle, const Args &args, Idset ranks)
{
    Execution execution(handle, args, "rexec");
    co_return co_await execution.run(std::move(ranks));
}

int run_exec(const Args &args, Session &flux)
{
    Idset all = Idset::iota(flux.size());
    std::string wanted = args.value("rank", "all");
    Idset ranks = wanted == "all" ? all : value_or_throw(Idset::parse(wanted));
    if (!all.contains(ranks))
        throw UsageError(fmt::format("--rank: the instance has only the ranks {}", all.format()));
    if (args.has("exclude"))
        ranks -= value_or_throw(Idset::parse(args.value("exclude")));
    if (ranks.empty())
        throw UsageError("no rank is left to run on");
    return flux.run(execute(flux.handle(), args, ranks));
}

} // namespace

const Command exec {
    .name = "exec",
    .args = "PROGRAM ARGS",
    .summary = "Run a program on brokers, outside of any job",
    .options = {{"-r,--rank=IDSET", "on these ranks (default: all)"},
                {"-x,--exclude=IDSET", "but not on these"},
                {"-l,--label-io", "prefix output with its rank"},
                {"-n,--noinput", "send no standard input"},
                {"-d,--dir=DIR", "in this directory"},
                {"-q,--quiet", "do not report exit codes"}},
    .min_args = 1,
    .runs_program = true,
    .run = run_exec,
};

} // namespace flux::cmd
