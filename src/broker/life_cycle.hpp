// LifeCycle: join -> init -> quorum -> run -> cleanup -> shutdown -> finalize, as one coroutine. Loads the
// default modules, runs the initial program, whose exit status becomes the instance's, and takes everything
// down again.
#pragma once
#include <string>
#include <vector>

#include "broker/broker.hpp"

namespace flux {

struct ModuleSpec {
    std::string name;
    bool rank0_only = false;
    std::vector<std::string> arguments;
};

// One module a line: NAME [rank0] [ARGUMENTS...]; # starts a comment. EINVAL with file:line.
std::vector<ModuleSpec> parse_module_list(std::string_view text, std::string_view file_name);

class LifeCycle {
public:
    struct Plan {
        std::vector<ModuleSpec> modules;
        std::vector<std::string> initial_program; // empty: run until asked to stop
        std::vector<std::string> environment;     // of the initial program
    };
    LifeCycle(Broker &broker, Plan plan);

    // The whole life; the value is the instance's exit status (128 + signal for a killed initial program, 1
    // when the instance could not start).
    Task<int> run();
    // Ends the run state. A signal's number is forwarded to the initial program, 0 asks for a normal
    // shutdown.
    void stop(int signum);

private:
    Task<bool> load_modules();
    Task<int> run_initial_program();
    Broker &broker_;
    Plan plan_;
    std::unique_ptr<Process> program_;
    std::optional<int> wait_status_;
    bool stopping_ = false;
    Condition changed_;
};

} // namespace flux
