// What the world is told of an instance once it takes jobs, and when it ends: its own admin.eventlog, which
// `flux startlog` shows, and, when it is a job of another instance, that one's job manager, so that others
// find it by the job's id.
#pragma once
#include "broker/broker.hpp"
#include "common/runtime/task.hpp"

namespace flux {

// On rank 0, for the life of the broker. What cannot be told is logged.
Task<> announce(Broker &broker);

} // namespace flux
