// Configuration: the TOML files of a directory (or one file) as one JSON object, tables of later files over
// earlier ones.
#pragma once
#include <string>

#include "common/json/json.hpp"

namespace flux {

// path: a directory (every *.toml in it, by name), a .toml or a .json file. Throws Error(EINVAL) with
// file:line:column.
Json load_config(const std::string &path);

} // namespace flux
