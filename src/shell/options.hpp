// What a user tells the shell: attributes.system.shell.options of the jobspec (flux-shell-options(7)),
// checked once.
#pragma once
#include <map>
#include <optional>
#include <string>

#include "common/job/jobspec.hpp"
#include "common/runtime/loop.hpp"

namespace flux::shell {

struct StreamOptions {
    bool to_file = false;
    std::string path; // a mustache template
    bool label = false;
    bool line_buffered = true;
};

// Tasks that get a pseudo-terminal, of whose output the interactive one's goes to who is attached.
struct TerminalOptions {
    std::string ranks = "all"; // an idset or "all"
    bool capture = true;       // output goes where standard output goes
    bool interactive = false;  // that of task 0
    bool contains(uint32_t task) const;
};

// Archives (flux-archive(1)) that are extracted before the tasks start.
struct StageIn {
    std::vector<std::string> names {"main"};
    std::string pattern;     // a glob; empty: all files
    std::string destination; // empty: the job's temporary directory
    bool global = false;     // it is one for all nodes: the first extracts, the others wait
};

// A process that runs beside a node's tasks for as long as they do.
struct Coprocess {
    std::string name;
    std::vector<std::string> command; // mustache templates
    std::string output;               // the same; a file
    std::string ranks = "all";        // of shells, an idset or "all"
    bool runs_on(uint32_t nodeid) const;
};

struct Options {
    static constexpr double default_exit_timeout = 30;          // seconds
    static constexpr uint64_t max_output_limit = 1'000'000'000; // bytes per stream
    static constexpr double default_monitor_period = 2;         // seconds
    static constexpr double least_monitor_period = 0.01;        // seconds
    static constexpr size_t max_coprocesses = 100;

    int verbose = 0;
    bool own_process_groups = true;
    bool pmi = true;
    bool exit_on_error = false;
    std::optional<double> exit_timeout = default_exit_timeout; // seconds; nullopt is none
    std::string taskmap_scheme = "block";
    std::string taskmap_value;
    std::string cpu_affinity; // empty: leave the tasks where they are
    std::string gpu_affinity = "on";
    std::map<std::string, int64_t> rlimits;
    StreamOptions stdout_, stderr_;
    std::optional<TerminalOptions> terminal;
    bool append = false;
    uint64_t output_limit = max_output_limit;
    std::string stdin_path; // a file instead of the channel
    std::optional<int> warn_signal;
    double warn_seconds = 60; // before the job's expiration
    std::optional<int> oom_adjust;
    bool affinity_verbose = false;      // tell which cores each task gets
    bool affinity_dry_run = false;      // and leave it at that
    bool topology_file = false;         // hwloc.xmlfile
    bool topology_of_job = false;       // hwloc.restrict
    std::optional<StageIn> stage_in;
    std::vector<Coprocess> coprocesses;
    double coprocess_kill_timeout = 10;   // seconds from SIGTERM to SIGKILL
    std::optional<double> monitor_period; // sysmon: seconds between samples
    std::vector<std::string> warnings;  // about options that nobody here knows

    // EINVAL names the option and what it may be.
    static Expected<Options> parse(const Jobspec &jobspec);
};

} // namespace flux::shell
