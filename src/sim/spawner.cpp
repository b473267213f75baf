#include "sim/spawner.hpp"

#include <csignal>

#include "common/job/job_exit.hpp"
#include "sim/shell.hpp"

namespace flux::sim {

bool CoreLedger::take(uint32_t rank, const Idset &cores, uint64_t job, uint64_t &holder)
{
    for (auto core : cores)
        if (auto found = held_.find({rank, core}); found != held_.end()) {
            holder = found->second;
            return false;
        }
    for (auto core : cores)
        held_[{rank, core}] = job;
    return true;
}

void CoreLedger::release(uint32_t rank, const Idset &cores, uint64_t job)
{
    for (auto core : cores)
        if (auto found = held_.find({rank, core}); found != held_.end() && found->second == job)
            held_.erase(found);
}

SimProcess::SimProcess(ProcessWorld &world, ProcessCallbacks callbacks)
    : world_(world), callbacks_(std::move(callbacks)), pid_(world.next_pid++)
{
    world_.started++;
    world_.running++;
}

SimProcess::~SimProcess()
{
    *alive_ = false;
    if (!exited_)
        leave();
}

void SimProcess::leave()
{
    set_waiting(false);
    world_.running--;
}

void SimProcess::set_waiting(bool waiting)
{
    if (std::exchange(waiting_, waiting) != waiting)
        waiting ? world_.waiting++ : world_.waiting--;
}

void SimProcess::signal(int signum)
{
    if (exited_)
        throw Error(ESRCH, "process {} has exited", pid_);
    later(Duration::zero(), [this, signum] { on_signal(signum); });
}

void SimProcess::on_signal(int signum)
{
    if (signum != SIGCONT && signum != SIGCHLD && signum != SIGWINCH && signum != SIGURG)
        exit(wait_status_of_signal(signum));
}

void SimProcess::later(Duration delay, std::function<void()> fn)
{
    loop().after(delay, [this, alive = alive_, fn = std::move(fn)] {
        if (*alive && !exited_)
            fn();
    });
}

void SimProcess::output(std::string_view stream, std::string_view bytes)
{
    if (exited_)
        return;
    if (paused_ || !unread_.empty())
        unread_.emplace_back(stream, bytes);
    else if (callbacks_.on_output)
        callbacks_.on_output(stream, bytes);
}

// One stream is all that anybody pauses: a shell's channel.
void SimProcess::set_reading(std::string_view, bool reading)
{
    paused_ = !reading;
    if (!paused_ && (!unread_.empty() || unread_exit_))
        loop().after(Duration::zero(), [this, alive = alive_] {
            if (*alive)
                catch_up();
        });
}

void SimProcess::catch_up()
{
    auto alive = alive_;
    while (!paused_ && !unread_.empty()) {
        auto [stream, bytes] = std::move(unread_.front());
        unread_.erase(unread_.begin());
        if (callbacks_.on_output)
            callbacks_.on_output(stream, bytes);
        if (!*alive)
            return;
    }
    if (!paused_ && unread_exit_)
        if (auto on_exit = callbacks_.on_exit)
            on_exit(*std::exchange(unread_exit_, std::nullopt));
}

void SimProcess::exit(int wait_status)
{
    if (std::exchange(exited_, true))
        return;
    leave();
    on_end();
    if (paused_ || !unread_.empty())
        unread_exit_ = wait_status;
    else if (callbacks_.on_exit)
        callbacks_.on_exit(wait_status);
}

namespace {

// A program without input and output that ends by itself.
class Timed : public SimProcess {
public:
    Timed(ProcessWorld &world, ProcessCallbacks callbacks, Duration how_long, int code)
        : SimProcess(world, std::move(callbacks))
    {
        later(how_long, [this, code] {
            output("stdout", "");
            output("stderr", "");
            exit(wait_status_of_exit(code));
        });
    }
};

// A prolog, epilog or housekeeping: takes its time, now and then fails, and now and then does not end when it is told to.
class Perilog : public SimProcess {
public:
    Perilog(ProcessWorld &world, ProcessCallbacks callbacks, Duration start, double failing, std::string job,
            uint32_t rank)
        : SimProcess(world, std::move(callbacks)), job_(std::move(job)), rank_(rank)
    {
        world_.around[job_]++;
        world_.perilogs++;
        int code = random().chance(failing) ? 1 : 0;
        deaf_ = random().chance(failing / 4);
        later(start + seconds(random().unit()), [this, code] {
            output("stdout", "done\n");
            output("stdout", "");
            output("stderr", "");
            exit(wait_status_of_exit(code));
        });
    }
    ~Perilog() override
    {
        if (!exited())
            Perilog::on_end();
    }

private:
    void on_signal(int signum) override
    {
        if (signum == SIGKILL || !deaf_)
            SimProcess::on_signal(signum);
    }
    void on_end() override
    {
        if (--world_.around[job_] == 0)
            world_.around.erase(job_);
        if (!deaf_) // what is not waited for may take longer than anybody knows
            world_.around_ended[{rank_, job_}] = loop().clock().wall_time();
    }
    std::string job_;
    uint32_t rank_;
    bool deaf_;
};

std::string variable(const ProcessSpec &spec, std::string_view name)
{
    for (const auto &entry : spec.environment)
        if (entry.starts_with(name) && entry.substr(name.size()).starts_with('='))
            return entry.substr(name.size() + 1);
    return {};
}

// local:///run/RANK/local
uint32_t rank_of(std::string_view uri)
{
    constexpr std::string_view before = "local:///run/";
    return uint32_t(std::atoi(std::string(uri.substr(std::min(before.size(), uri.size()))).c_str()));
}

constexpr Delay start_time {std::chrono::microseconds(500), std::chrono::milliseconds(10), 0.02,
                            std::chrono::seconds(2)};

} // namespace

std::unique_ptr<Process> SimSpawner::spawn(ProcessSpec spec, ProcessCallbacks callbacks)
{
    auto name = spec.argv.at(0).substr(spec.argv[0].rfind('/') + 1);
    auto argument = [&] {
        return spec.argv.size() > 1 ? std::atof(spec.argv[1].c_str()) : 0.0;
    };
    auto start = start_time.draw(world_.physics.random);
    if (name == "perilog") // FAILING: how often it does, 0 to 1
        return std::make_unique<Perilog>(world_, std::move(callbacks), start, argument(),
                                         variable(spec, "FLUX_JOB_ID"),
                                         rank_of(variable(spec, "FLUX_URI")));
    if (name == "flux-shell" && world_.around.contains(spec.argv.at(1)))
        world_.violated(fmt::format("job {} is started while its prolog or epilog runs", spec.argv[1]));
    if (name == "flux-shell")
        return std::make_unique<SimShell>(world_, std::move(spec), std::move(callbacks), start);
    if (name == "true" || name == "false")
        return std::make_unique<Timed>(world_, std::move(callbacks), start, name == "false");
    if (name == "exit")
        return std::make_unique<Timed>(world_, std::move(callbacks), start, int(argument()));
    if (name == "sleep")
        return std::make_unique<Timed>(world_, std::move(callbacks), start + seconds(argument()), 0);
    throw Error(ENOENT, "{}: there is no such program in a simulation", name);
}

} // namespace flux::sim
