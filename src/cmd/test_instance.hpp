// TestInstance: several brokers on this machine (flux start --test-size). Starts them, is their PMI-1 server, waits for
// them and cleans up.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/pmi/pmi_server.hpp"
#include "common/runtime/ev_loop.hpp"
#include "common/subprocess/posix_spawner.hpp"
#include "common/types/hostlist.hpp"

namespace flux::cmd {

class TestInstance {
public:
    struct Plan {
        static constexpr uint32_t max_size = 4096; // brokers

        uint32_t size = 1;
        std::vector<std::string> command;         // of a broker, without its own options
        std::vector<std::string> initial_program; // for rank 0
        std::string rundir;                       // empty: a new one that is removed at the end
        bool remove_rundir = false;
        std::optional<Hostlist> hosts; // brokers get these names and no PMI: they boot from a configuration
        std::string clique = "single"; // "single", "per-broker", "none" or a task map (RFC 34)
        bool only_leader = false;      // start rank 0 only
        bool exit_with_leader = false; // its exit status counts and its exit starts the timeout, not anybody's
        double exit_timeout = 20;      // seconds from the first exit until the other brokers are killed
        bool trace = false;            // the PMI server's conversations, on stderr
    };
    explicit TestInstance(Plan plan);
    ~TestInstance();
    // Until every broker has ended; the exit status of the whole. Throws when one cannot be started.
    int run();

private:
    struct Broker {
        std::unique_ptr<Process> process;
        std::unique_ptr<PmiServer> pmi;
        std::optional<int> wait_status;
    };
    void start(uint32_t rank);
    std::unique_ptr<PmiServer> make_pmi(uint32_t rank);
    void enter_barrier();
    void exited(uint32_t rank, int wait_status);
    void kill_all();

    Plan plan_;
    EvLoop loop_;
    PosixSpawner spawner_;
    std::vector<Broker> brokers_;
    std::map<std::string, std::string, std::less<>> pmi_values_;
    uint32_t in_barrier_ = 0;
    uint32_t running_ = 0;
    bool exit_seen_ = false;
    Timer exit_timer_;
};

} // namespace flux::cmd
