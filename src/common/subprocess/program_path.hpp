// Where a program is: the search of execvp(3), but with a PATH that is given, and with an error that names
// the program.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace flux {

// The path to execute for argv[0] `program`, looked up in the PATH of `environment` ("NAME=value") unless it
// has a slash; relative entries count from cwd (empty: the current directory). Throws Error: ENOENT when
// there is none, EACCES when what was found is not executable.
std::string find_program(std::string_view program, const std::vector<std::string> &environment,
                         std::string_view cwd);

} // namespace flux
