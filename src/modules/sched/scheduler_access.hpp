// SchedulerAccess: what the scheduler lets its further services see and do.
#pragma once
#include "modules/sched/machine.hpp"
#include "modules/sched/sched_config.hpp"

namespace flux {

class SchedulerAccess {
public:
    virtual ~SchedulerAccess() = default;
    // Is the machine known, with all that running jobs have of it?
    virtual bool ready() const = 0;
    virtual Machine &machine() = 0; // throws Error(EAGAIN) while it is not ready
    virtual const SchedConfig &config() const = 0;
    virtual graph::Time now() const = 0;
    virtual uint32_t brokers() const = 0;
    virtual bool is_pending(int64_t id) const = 0; // in a queue
    virtual Json status() = 0;                     // as StatusView has it
    // Something was given to others than the queues' jobs, or given back by them.
    virtual void use_changed(bool freed) = 0;
    // Vertices, states or properties are others.
    virtual void machine_changed() = 0;
};

} // namespace flux
