// flux-bench: measures what doc/performance.md reports, each rate beside the physical limit of the same
// machine in the same minute. The program runs twice: outside, where it starts instances and measures limits
// and commands, and as the initial program of an instance, where it is a client (--inside SCENARIO).
#pragma once
#include <functional>
#include <string>
#include <vector>

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

struct Limit {
    std::string name; // empty: there is none
    double value = 0;
};

struct Row {
    std::string name;
    double value = 0;
    std::string unit; // "/s", "ms", "MB", "B", ""
    Limit limit {};
    double rung = 0;   // the first rung that is due, in the row's unit; 0: none
    double record = 0; // where we go
    double cpu_us =
        0; // of the broker of rank 0 for each operation: tells more than a rate where others use the machine
    bool more_is_better() const { return unit == "/s"; }
};

double now(); // seconds, monotonic
double median(std::vector<double> values);

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
std::vector<Row> measure(const Options &options, const std::function<void(const Row &)> &report);

} // namespace flux::bench
