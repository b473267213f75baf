// Faults: what befalls an instance while a workload runs, chosen by the seed. Each is a task for World::spawn that goes on
// until `over`; heal() then makes the instance whole again.
#pragma once
#include "sim/world.hpp"

namespace flux::sim {

struct FaultTimes {
    double between = 5;  // mean seconds from one fault to the next
    double repair = 2;   // mean seconds until what broke is there again
};

// Brokers other than the root die, leaves and interior ones; those that end because their parent did, and those that
// died, are started again after a while, as an init system does.
Task<> kill_brokers(World &world, const bool &over, FaultTimes times = {});
Task<> restart_ended(World &world, const bool &over, FaultTimes times = {});
// Links break: the brokers on both sides live.
Task<> break_links(World &world, const bool &over, FaultTimes times = {});
// Links stand still for a while, then go on.
Task<> stall_links(World &world, const bool &over, FaultTimes times = {});
// The store of rank 0 refuses to write for a while.
Task<> fill_disk(World &world, const bool &over, FaultTimes times = {});

// On the broker of the client.
Task<> remove_module(ClientPtr client, std::string name);
Task<> load_module(ClientPtr client, std::string name);

// Starts what is down until every broker is online.
void heal(World &world, Duration within = 600s);

} // namespace flux::sim
