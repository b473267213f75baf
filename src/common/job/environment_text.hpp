// A jobspec's environment is most of its bytes, and nobody but the shell reads it. Here it is cut out of the
// text as it is, so that it is not decoded and encoded again on its way from the user to the shell.
#pragma once
#include <string>
#include <string_view>

#include "common/json/json.hpp"

namespace flux {

struct SplitJobspec {
    Json jobspec;            // without attributes.system.environment
    std::string environment; // the text of that object, on one line; empty when there is none
};

// EPROTO when the text is no JSON. An environment that is not an object of strings stays in the jobspec, for
// whoever checks it.
Expected<SplitJobspec> split_environment(std::string_view text);

} // namespace flux
