// StatusView: the answer of sched.resource-status, remembered as far as it still holds.
#pragma once
#include "modules/sched/machine.hpp"

namespace flux {

class StatusView {
public:
    // {"all", "down", "allocated"}, each R
    Json get(Machine &machine);
    void use_changed() { allocated_ = {}; }
    void machine_changed() { *this = {}; }

private:
    uint64_t changes_ = 0; // of the machine, when all_ and down_ were made
    Json all_, down_, allocated_;
};

} // namespace flux
