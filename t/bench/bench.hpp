// flux-bench: measures what doc/performance.md reports, each rate beside the physical limit of the same
// machine in the same minute. The program runs twice: outside, where it starts instances and measures limits
// and commands, and as the initial program of an instance, where it is a client (--inside SCENARIO).
#pragma once
#include <string>
#include <vector>

#include "bench/report.hpp"
#include "common/json/json.hpp"

namespace flux::bench {

struct Options {
    std::string bin;      // directory of flux and flux-broker
    std::string json;     // file for the results; empty: none
    std::string only;     // rows whose name has this; empty: all
    std::string work_dir; // for files of this run
    bool smoke = false;   // tiny counts: does everything still run?
};

// How many of something, fewer in a smoke run.
inline int scaled(const Options &options, int count, int smoke_count)
{
    return options.smoke ? smoke_count : count;
}

// --- limits.cpp: what the machine can do without us
double spawn_serial_ms(int count);         // posix_spawn of /bin/true until it has ended
double spawn_rate(int count, int at_once); // per second
double xargs_rate(int count);              // of /bin/true by xargs -P2
double unix_round_trips(int count);        // per second, two threads
double unix_messages(int count);           // one way, 256 bytes each, in large writes
double zmq_round_trips(int count);
double fdatasyncs(const std::string &directory, int count); // 256 bytes appended, then synced

// --- process.cpp
struct Finished {
    int status = -1; // as waitpid gives it
    double seconds = 0;
    bool timed_out = false;
};
// Runs a program to its end, at most so long; then it is told to end, and killed if it does not.
enum class Quiet { output, all }; // what goes to /dev/null: stdout, or stderr too
Finished run_program(const std::vector<std::string> &argv, double timeout_s, Quiet quiet = Quiet::output);

// --- inside.cpp: a client in the instance of FLUX_URI
Json run_inside(const std::string &scenario, int count, const std::string &bin);

// --- outside.cpp
void measure(const Options &options, Report &report);

} // namespace flux::bench
