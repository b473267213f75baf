// flux proxy: a shell, or a program, whose flux commands talk to another instance.
#include <csignal>
#include <sys/wait.h>
#include <thread>

#include "cmd/commands.hpp"
#include "cmd/instance_uri.hpp"
#include "cmd/print.hpp"

namespace flux::cmd {

namespace {

constexpr auto reconnect_interval = std::chrono::seconds(2);

// The program, and the instance that it talks to: whether one of them has ended.
class Proxied {
public:
    Proxied(const Args &args, std::string uri, pid_t pid) : args_(args), uri_(std::move(uri)), pid_(pid) {}

    // Until the program has ended: its exit code.
    int wait()
    {
        for (bool lost = false; !ended(); lost = true) {
            if (lost && !args_.has("reconnect"))
                return abandon();
            if (lost)
                std::this_thread::sleep_for(reconnect_interval);
            watch();
        }
        return code();
    }

private:
    bool ended()
    {
        ended_ = ended_ || ::waitpid(pid_, &status_, WNOHANG) == pid_;
        return ended_;
    }
    int code() const { return WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_); }

    static Task<> follow(Handle &handle)
    {
        auto states = handle.stream("state-machine.monitor", Json::object(), {.nodeid = 0});
        while (co_await states.next()) {
        }
    }

    // Returns when the connection is lost, or the program has ended.
    void watch()
    {
        try {
            Session flux(uri_);
            flux.connect();
            auto child = flux.loop().watch_signal(SIGCHLD, [&](int) {
                if (ended())
                    flux.handle().fail_all(Error(ECANCELED, "{}", "the program has ended"));
            });
            if (!ended())
                flux.run(follow(flux.handle()));
        } catch (const Error &) {
            // one or the other: wait() looks
        }
    }

    // Without an instance the program is told to end, unless --nohup, and waited for: its terminal is ours.
    int abandon()
    {
        warn("flux-proxy: ERROR: the connection to {} is lost", uri_);
        if (!args_.has("nohup"))
            for (int signum : {SIGHUP, SIGCONT})
                ::kill(pid_, signum);
        while (!ended_ && ::waitpid(pid_, &status_, 0) < 0 && errno == EINTR) {
        }
        return code();
    }

    const Args &args_;
    std::string uri_;
    pid_t pid_;
    int status_ = 0;
    bool ended_ = false;
};

void check_version(const Args &args, Session &flux)
{
    auto version = flux.attribute("version");
    if (version == FLUX_VERSION)
        return;
    auto text = fmt::format("{} runs Flux {}, and this is {}", args[0], version, FLUX_VERSION);
    if (!args.has("force"))
        throw Error(EINVAL, "{}: --force connects all the same", text);
    warn("flux-proxy: {}", text);
}

int run_proxy(const Args &args, Session &)
{
    std::string uri = target_uri(args[0]);
    {
        Session flux(uri);
        check_version(args, flux); // or says now that nobody is there
    }
    pid_t pid = start_in_instance(uri, args.from(1));
    return Proxied(args, uri, pid).wait();
}

} // namespace

const Command proxy {
    .name = "proxy",
    .args = "TARGET [PROGRAM ARGS]",
    .summary = "Run a program (or a shell) that talks to another instance: a URI, or a job",
    .options = {{"-f,--force", "also with an instance of another version of Flux"},
                {"-n,--nohup", "send the program no SIGHUP when the instance is lost"},
                {"--reconnect", "when it is lost, try again every two seconds"}},
    .min_args = 1,
    .runs_program = true,
    .run = run_proxy,
};

} // namespace flux::cmd
