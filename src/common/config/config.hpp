// Configuration: the TOML files of a directory (or one file) as one JSON object, tables of later files over
// earlier ones.
#pragma once
#include <string>

#include "common/json/json.hpp"

namespace flux {

// path: a directory (every *.toml in it, by name), a .toml or a .json file. Throws Error(EINVAL) with
// file:line:column.
Json load_config(const std::string &path);

// A whole configuration as text: a JSON object, or TOML. EINVAL; `name` says in it where the text is from.
Json parse_config(const std::string &text, const std::string &name);

// Adds what an option --conf says: the path of a .toml or .json file, a whole JSON object, TOML text (with a newline), or
// TABLE.KEY=VALUE, whose value is JSON or else a string. EINVAL.
void merge_config(Json &config, const std::string &text);

} // namespace flux
