#include "cmd/test_instance.hpp"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "cmd/print.hpp"
#include "common/types/taskmap.hpp"

extern char **environ;

namespace flux::cmd {

namespace {

constexpr const char *pmi_channel = "PMI_FD";

// A test instance is nobody's job, whatever this process belongs to.
std::vector<std::string> broker_environment()
{
    constexpr std::string_view dropped[] = {"FLUX_URI=", "FLUX_JOB_", "FLUX_TASK_", "FLUX_KVS_NAMESPACE=", "PMI_",
                                            "PMIX_",     "SLURM_"};
    std::vector<std::string> out;
    for (char **entry = environ; *entry; entry++)
        if (std::ranges::none_of(dropped, [&](auto prefix) { return std::string_view(*entry).starts_with(prefix); }))
            out.emplace_back(*entry);
    return out;
}

std::string process_mapping(const std::string &clique, uint32_t size)
{
    if (clique == "none")
        return "";
    if (clique == "single")
        return Taskmap::block({size}).encode_pmi();
    if (clique == "per-broker")
        return Taskmap::block(std::vector<uint32_t>(size, 1)).encode_pmi();
    auto map = Taskmap::parse(clique);
    if (!map)
        throw Error(EINVAL, "--test-pmi-clique={}: use single, per-broker, none or a task map: {}", clique,
                    map.error().text());
    return map->encode_pmi();
}

int exit_status(int wait_status)
{
    return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

} // namespace

TestInstance::TestInstance(Plan plan) : plan_(std::move(plan)), spawner_(loop_), brokers_(plan_.size)
{
    pmi_values_["PMI_process_mapping"] = process_mapping(plan_.clique, plan_.size);
    if (plan_.rundir.empty()) {
        const char *tmp = std::getenv("TMPDIR");
        plan_.rundir = fmt::format("{}/flux-XXXXXX", tmp && *tmp ? tmp : "/tmp");
        if (!mkdtemp(plan_.rundir.data()))
            throw Error(errno, "cannot make a run directory {}: {}", plan_.rundir, errno_text(errno));
        plan_.remove_rundir = true;
    } else if (mkdir(plan_.rundir.c_str(), 0700) == 0) {
        plan_.remove_rundir = true;
    } else if (errno != EEXIST) {
        throw Error(errno, "cannot make the run directory {}: {}", plan_.rundir, errno_text(errno));
    }
}

TestInstance::~TestInstance()
{
    std::error_code ignored;
    if (plan_.remove_rundir)
        std::filesystem::remove_all(plan_.rundir, ignored);
}

std::unique_ptr<PmiServer> TestInstance::make_pmi(uint32_t rank)
{
    PmiServer::Callbacks callbacks;
    callbacks.send = [this, rank](std::string_view bytes) {
        if (plan_.trace)
            warn("pmi {} < {}", rank, bytes.substr(0, bytes.find('\n')));
        if (brokers_[rank].process)
            brokers_[rank].process->write(pmi_channel, bytes);
    };
    callbacks.put = [this](std::string_view key, std::string_view value) {
        return pmi_values_.emplace(key, value).second;
    };
    callbacks.get = [this](std::string_view key) -> std::optional<std::string> {
        auto found = pmi_values_.find(key);
        return found == pmi_values_.end() ? std::nullopt : std::optional(found->second);
    };
    callbacks.barrier = [this] { enter_barrier(); };
    callbacks.abort = [this, rank](int, std::string_view message) {
        warn("rank {} gave up: {}", rank, message);
        kill_all();
    };
    callbacks.protocol_error = [this, rank](const Error &error) {
        warn("rank {}: {}", rank, error.text());
        kill_all();
    };
    return std::make_unique<PmiServer>(
        PmiServer::Options {.rank = rank, .size = plan_.size, .kvsname = "flux-start"}, std::move(callbacks));
}

void TestInstance::enter_barrier()
{
    if (++in_barrier_ < plan_.size)
        return;
    in_barrier_ = 0;
    for (auto &broker : brokers_)
        if (broker.pmi)
            broker.pmi->barrier_complete();
}

void TestInstance::start(uint32_t rank)
{
    ProcessSpec spec;
    spec.argv = plan_.command;
    spec.argv.push_back(fmt::format("-Srundir={}", plan_.rundir));
    spec.environment = broker_environment();
    if (plan_.hosts) {
        spec.argv.push_back(fmt::format("-Shostname={}", plan_.hosts->nth(rank)));
    } else {
        spec.environment.push_back(fmt::format("PMI_RANK={}", rank));
        spec.environment.push_back(fmt::format("PMI_SIZE={}", plan_.size));
        spec.channels = {pmi_channel};
        brokers_[rank].pmi = make_pmi(rank);
    }
    // A signal from the terminal is for the leader and its program; the others end when it does.
    spec.new_process_group = rank != 0;
    spec.inherit_stdin = rank == 0;
    spec.capture_output = false;
    if (rank == 0)
        spec.argv.insert(spec.argv.end(), plan_.initial_program.begin(), plan_.initial_program.end());
    ProcessCallbacks callbacks;
    callbacks.on_output = [this, rank](std::string_view stream, std::string_view bytes) {
        if (stream != pmi_channel || bytes.empty())
            return;
        if (plan_.trace)
            warn("pmi {} > {}", rank, bytes.substr(0, bytes.find('\n')));
        brokers_[rank].pmi->receive(bytes);
    };
    callbacks.on_exit = [this, rank](int status) { exited(rank, status); };
    brokers_[rank].process = spawner_.spawn(std::move(spec), std::move(callbacks));
    running_++;
}

int TestInstance::run()
{
    signal(SIGINT, SIG_IGN);
    std::vector<std::shared_ptr<EvLoop::SignalWatch>> signals;
    for (int signum : {SIGTERM, SIGHUP})
        signals.push_back(loop_.watch_signal(signum, [this](int number) {
            if (!brokers_[0].wait_status)
                brokers_[0].process->signal(number);
        }));
    for (uint32_t rank = 0; rank < (plan_.only_leader ? 1 : plan_.size); rank++)
        start(rank);
    loop_.run();
    int status = exit_status(brokers_[0].wait_status.value_or(0));
    if (!plan_.exit_with_leader)
        for (auto &broker : brokers_)
            status = std::max(status, exit_status(broker.wait_status.value_or(0)));
    return status;
}

void TestInstance::exited(uint32_t rank, int wait_status)
{
    brokers_[rank].wait_status = wait_status;
    if (WIFSIGNALED(wait_status))
        warn("rank {} was killed by signal {} ({})", rank, WTERMSIG(wait_status), strsignal(WTERMSIG(wait_status)));
    else if (WEXITSTATUS(wait_status) != 0 && rank != 0)
        warn("rank {} exited with status {}", rank, WEXITSTATUS(wait_status));
    if (--running_ == 0)
        return loop_.stop();
    bool counts = rank == 0 || !plan_.exit_with_leader;
    if (counts && !std::exchange(exit_seen_, true))
        exit_timer_ = Timer(loop_, seconds(plan_.exit_timeout), [this] {
            warn("some brokers did not end within {} s of the first: killing them", plan_.exit_timeout);
            kill_all();
        });
}

void TestInstance::kill_all()
{
    for (auto &broker : brokers_)
        if (broker.process && !broker.wait_status)
            broker.process->signal(SIGKILL);
}

} // namespace flux::cmd
