// Which processors and gpus each task gets, and the limits of all of them. What a child inherits is set on
// the shell itself just before each start: posix_spawn knows neither affinity nor limits.
#pragma once
#include <sys/resource.h>

#include <optional>
#include <utility>
#include <vector>

#include "shell/job.hpp"

namespace flux::shell {

// nullopt: leave CUDA_VISIBLE_DEVICES alone (no gpus, or gpu-affinity=off). Throws Error(EINVAL) on a bad
// map.
std::optional<Idset> gpus_of_task(const Job &job, uint32_t task);

// The logical cores of R for a task, by option cpu-affinity: on, per-task, map:LIST. nullopt: not bound.
std::optional<Idset> cores_of_task(const Job &job, uint32_t task);

// The shell's own processors become those of the task's cores, for the task to inherit. Nothing when it is
// not bound.
void bind_for_task(const Job &job, uint32_t task);

// Sets the soft limits of the option rlimit, and oom.adjust. Throws Error(EINVAL) that names an unknown limit
// or one above the hard limit, EPERM where that is not allowed.
void apply_rlimits(const Job &job);

// The soft limits of this process, for the next job to begin with.
class SoftLimits {
public:
    SoftLimits();
    void restore() const;

private:
    std::vector<std::pair<int, rlim_t>> limits_;
};

// Whether these options change the shell's process itself for good: then it runs no other job.
bool mark_the_process(const Options &options);

} // namespace flux::shell
