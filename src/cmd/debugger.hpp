// What a parallel debugger finds in the program that launched, or attached to, a parallel job (the MPIR process
// acquisition interface): the table of its tasks, and a function to stop in when that is complete.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace flux::cmd {

struct TaskEntry { // where a task is
    uint32_t task = 0;
    std::string host;
    int pid = 0;
};

// Fills in the table and calls MPIR_Breakpoint(). `program` is the executable of all tasks.
void tell_debugger(const std::vector<TaskEntry> &tasks, const std::string &program);

} // namespace flux::cmd
