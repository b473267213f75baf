// Formats by name: those built in, and those that a site or a user has in flux-COMMAND.toml (or .json) below
// XDG_CONFIG_DIRS/flux and XDG_CONFIG_HOME/flux, the user's last.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cmd/command.hpp"
#include "cmd/output_format.hpp"

namespace flux::cmd {

struct FormatFamily {
    std::string_view command;         // "jobs": the file flux-jobs.toml
    std::string_view table;           // the table in it that has "formats"; empty: the top
    std::string_view variable;        // the environment variable with another default
    std::vector<NamedFormat> formats; // one of them is "default"
    const NamedFormat *find(std::string_view name) const;
};

// The format that --format asks for, by name or as text. nullopt when it asked for "help" or
// "get-config=NAME", which is answered on standard output.
std::optional<std::string> choose_format(const Args &args, const FormatFamily &family);

// Where people and sites have their settings for flux, in order of increasing precedence.
std::vector<std::string> config_directories();
// The tables of flux-COMMAND.toml and .json, merged; an empty object when there is none.
Json command_config(std::string_view command);

} // namespace flux::cmd
