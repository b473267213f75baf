#include "cmd/debugger.hpp"

#include <memory>

// Debuggers look these up by name, in the symbol table of the executable.
extern "C" {

struct MPIR_PROCDESC {
    const char *host_name;
    const char *executable_name;
    int pid;
};

[[gnu::used]] MPIR_PROCDESC *MPIR_proctable = nullptr;
[[gnu::used]] int MPIR_proctable_size = 0;
[[gnu::used]] volatile int MPIR_being_debugged = 0; // set by the debugger
[[gnu::used]] volatile int MPIR_debug_state = 0;

[[gnu::used, gnu::noinline]] void MPIR_Breakpoint()
{
    __asm__ volatile(""); // a place to stop at, also when optimized
}
}

namespace flux::cmd {

namespace {

constexpr int debug_spawned = 1; // MPIR_debug_state: the table is complete

} // namespace

void tell_debugger(const std::vector<TaskEntry> &tasks, const std::string &program)
{
    // They stay until the process ends: the debugger may look at any time.
    static std::vector<TaskEntry> kept;
    static std::string executable;
    static std::vector<MPIR_PROCDESC> table;
    kept = tasks;
    executable = program;
    table.clear();
    for (const auto &entry : kept)
        table.push_back({entry.host.c_str(), executable.c_str(), entry.pid});
    MPIR_proctable = table.data();
    MPIR_proctable_size = int(table.size());
    MPIR_debug_state = debug_spawned;
    MPIR_Breakpoint();
}

} // namespace flux::cmd
