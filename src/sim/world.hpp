// World: a whole instance in one thread, in virtual time, from one seed: its brokers, the network between
// them, their disks and processes, the clients that use it, and the faults that befall it.
//
// A workload makes a world, boots it, spawns clients, lets things go wrong and checks what is left. What must
// not be is told to violated(); the run has failed then.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "broker/life_cycle.hpp"
#include "sim/links.hpp"
#include "sim/node.hpp"
#include "sim/run.hpp"
#include "sim/spawner.hpp"
#include "sim/stores.hpp"

namespace flux::sim {

using namespace std::chrono_literals;

extern const char *const default_modules; // the text of etc/flux/modules

struct Setup {
    uint32_t fanout = 2;
    uint32_t cores = 4;  // per node
    bool durable = true; // rank 0 has a statedir
    Delay socket_delay {std::chrono::microseconds(5), std::chrono::microseconds(60)};
    Json config = Json::object();
    std::vector<ModuleSpec> modules; // empty: those of etc/flux/modules
};

// Thrown where a run cannot go on; what was violated is in the run's list.
struct Stuck {};

class World {
public:
    World(Run &run, Setup setup = {});
    ~World();
    World(const World &) = delete;

    uint64_t seed() const { return run_.seed; }
    const Setup &setup() const { return setup_; }
    uint32_t size() const { return run_.size; }
    SimLoop &loop() { return loop_; }
    Random &random() { return random_; } // for workloads and faults
    Physics physics() { return {loop_, physics_random_, trace_}; }
    Network &network() { return network_; }
    SimStores &stores() { return stores_; }
    ProcessWorld &processes() { return processes_; }
    CoreLedger &cores() { return cores_; }
    const Trace &trace() const { return trace_; }
    std::string hosts() const;
    const std::string &resources() const { return resources_; } // R of the instance
    std::string host(uint32_t rank) const { return fmt::format("node{}", rank); }

    // --- brokers
    void boot();     // all, until the instance runs
    void shutdown(); // in order, until all have ended
    void crash();    // all die at once, and the machine of the store with them
    bool is_up(uint32_t rank) const { return nodes_.contains(rank); }
    Node &node(uint32_t rank) { return *nodes_.at(rank); }
    void kill(uint32_t rank);
    void start(uint32_t rank);

    // --- clients
    ClientPtr connect(uint32_t rank, Credentials who = owner_credentials);
    // An Error that escapes the task is a violation.
    void spawn(std::string what, Task<> task);
    // Until every task spawned so far has ended: if that takes longer, the run is stuck.
    void finish_clients(Duration within);
    void run(std::string what, Task<> task, Duration within);
    bool run_until(const std::function<bool()> &done, Duration within);
    void run_for(Duration how_long) { loop_.run_until_time(loop_.now() + how_long); }
    Sleep sleep(Duration how_long) { return sleep_for(loop_, how_long); }

    // --- judgement
    void violated(std::string what);
    template <class... Args>
    void expect(bool holds, fmt::format_string<Args...> format, Args &&...args)
    {
        if (!holds)
            violated(fmt::format(format, std::forward<Args>(args)...));
    }
    bool sound() const { return run_.violations.empty(); }

private:
    Task<> follow(uint64_t number, Task<> task);

    Run &run_;
    Setup setup_;
    std::string resources_;
    SimClock clock_;
    SimLoop loop_ {clock_};
    Random random_;
    Random physics_random_;
    Trace trace_;
    Network network_ {physics()};
    SimStores stores_ {physics()};
    CoreLedger cores_;
    ProcessWorld processes_;
    std::map<uint32_t, std::unique_ptr<Node>> nodes_;
    std::map<uint32_t, uint32_t> lives_;    // how often each rank was started
    std::map<uint64_t, std::string> tasks_; // under way, by number
    uint64_t next_task_ = 1;
    std::unique_ptr<Gate> gate_;
};

} // namespace flux::sim
