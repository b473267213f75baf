// Monitor: how much memory a job uses on a node, at most, and how much processor time (option sysmon). Where
// the job has a cgroup of its own (version 2) that is asked, else /proc is: all descendants of the shell are
// added up.
#pragma once
#include <functional>
#include <optional>
#include <string>

#include "common/runtime/loop.hpp"

namespace flux::shell {

class Monitor {
public:
    static constexpr double first_sample =
        0.05; // seconds; then ever later, up to the period: short jobs are seen too

    // trace: each sample is said, too.
    Monitor(Loop &loop, double period, bool trace, std::function<void(std::string)> say);
    // "memory.peak=12.3MiB loadavg=0.97", since it was made.
    std::string summary();

private:
    struct Use {
        uint64_t memory = 0;  // bytes now
        double processor = 0; // seconds so far
    };
    Use use() const;
    void sample();
    void sample_later(double delay);
    double load(const Use &now) const;

    Loop &loop_;
    double period_;
    bool trace_;
    std::function<void(std::string)> say_;
    std::optional<std::string> cgroup_; // its directory
    Duration begin_;
    Use at_begin_;
    uint64_t peak_ = 0;
    Timer timer_;
};

// Memory as people read it: "12.3MiB".
std::string format_memory(uint64_t bytes);

} // namespace flux::shell
