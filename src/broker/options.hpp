// The command line of flux-broker.
#pragma once
#include <string>
#include <vector>

#include "broker/attributes.hpp"
#include "common/json/json.hpp"

namespace flux {

struct Options {
    Attributes attributes;              // of -S
    std::string config_path;            // of -c, else FLUX_CONF_DIR, or empty
    std::vector<std::string> conf;      // of --conf, in order
    std::vector<std::string> initial_program;
    bool verbose = false;
    bool help = false;
};

extern const char *const broker_usage;

// EINVAL names the option and the value.
Options parse_options(const std::vector<std::string> &args);

} // namespace flux
