// SimSpawner: processes as actors that take the time they are told. flux-shell is a SimShell (sim/shell.hpp),
// a few small programs are here: true, false, exit N, sleep SECONDS, perilog FAILING. Others do not exist
// (ENOENT).
#pragma once
#include <map>
#include <optional>
#include <set>

#include "common/runtime/spawner.hpp"
#include "common/types/idset.hpp"
#include "sim/pipe.hpp"

namespace flux::sim {

// Which job holds which core of which rank, as the running shells see it: the truth that schedulers must
// respect.
class CoreLedger {
public:
    // False when somebody else holds one of them; `holder` is then the job that does.
    bool take(uint32_t rank, const Idset &cores, uint64_t job, uint64_t &holder);
    void release(uint32_t rank, const Idset &cores, uint64_t job);
    size_t held() const { return held_.size(); }

private:
    std::map<std::pair<uint32_t, uint32_t>, uint64_t> held_;
};

// What processes need of the run.
struct ProcessWorld {
    Physics physics;
    CoreLedger &cores;
    std::function<void(std::string)> violated;
    std::set<uint64_t> maimed;            // jobs that a shell of has ended
    std::map<std::string, size_t> around; // prologs, epilogs and housekeepings that run, by job (f58)
    uint64_t perilogs = 0;                // that were started
    std::map<std::pair<uint32_t, std::string>, double> around_ended; // by rank and job, wall time of the last one's end
    int next_pid = 1000;
    uint64_t started = 0;
    size_t running = 0;
    size_t waiting = 0; // of those, shells without a job
    size_t busy() const { return running - waiting; }
};

class SimProcess : public Process {
public:
    SimProcess(ProcessWorld &world, ProcessCallbacks callbacks);
    ~SimProcess() override;
    int pid() const override { return pid_; }
    void signal(int signum) override;
    void write(std::string_view, std::string_view) override {}
    void close(std::string_view) override {}
    void set_reading(std::string_view stream, bool reading) override;

protected:
    Loop &loop() { return world_.physics.loop; }
    Random &random() { return world_.physics.random; }
    bool exited() const { return exited_; }
    // Whether what it says is taken. What it says all the same is kept until then, and its exit with it.
    bool is_read() const { return !paused_; }
    void output(std::string_view stream, std::string_view bytes);
    // What is to happen later, if the process still lives then.
    void later(Duration delay, std::function<void()> fn);
    virtual void on_signal(int signum);
    virtual void on_end() {} // it exits, or is forgotten while it runs
    void exit(int wait_status);
    // It has nothing to do, and uses nothing of the machine.
    void set_waiting(bool waiting);
    ProcessWorld &world_;

private:
    void catch_up();
    void leave();
    ProcessCallbacks callbacks_;
    int pid_;
    bool exited_ = false;
    bool paused_ = false;
    bool waiting_ = false;
    std::vector<std::pair<std::string, std::string>> unread_; // stream, bytes
    std::optional<int> unread_exit_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

class SimSpawner : public Spawner {
public:
    explicit SimSpawner(ProcessWorld &world) : world_(world) {}
    std::unique_ptr<Process> spawn(ProcessSpec spec, ProcessCallbacks callbacks) override;

private:
    ProcessWorld &world_;
};

} // namespace flux::sim
