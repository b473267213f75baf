// Where this installation's parts are, relative to the running binary, and the environment that says so to
// the programs that a command starts.
#pragma once
#include <string>
#include <vector>

namespace flux::cmd {

struct Installation {
    std::string bin;     // the directory of this program
    std::string exec;    // flux-broker, flux-shell, flux-CMD programs
    std::string modules; // NAME.so
    std::string man;     // the manual pages, flux-NAME.1.md; need not exist

    // From /proc/self/exe: PREFIX/bin/flux has PREFIX/libexec/flux/cmd, PREFIX/lib/flux/modules; in a build
    // tree the programs stand beside each other in build/bin.
    static Installation find();
    static Installation at(const std::string &binary);
};

// A variable of the environment, or nothing.
std::string environment_value(const char *name);

// Prepends to PATH, FLUX_EXEC_PATH and FLUX_MODULE_PATH what is not there yet.
void set_up_environment(const Installation &installation);

// The first executable file of this name in a colon-separated list of directories, or empty.
std::string find_program(const std::string &name, const std::string &search_path);

// The names NAME of the programs flux-NAME in FLUX_EXEC_PATH that people may call.
std::vector<std::string> external_commands();

// Replaces this process. Throws Error(errno) that names the program when it cannot.
[[noreturn]] void exec_program(const std::string &path, const std::vector<std::string> &arguments);

} // namespace flux::cmd
