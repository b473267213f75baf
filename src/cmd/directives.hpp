// Submission directives in a script (RFC 36): "# flux: -N4 --queue=batch".
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "common/base/error.hpp"

namespace flux::cmd {

// The arguments of all directives, in their order, as a shell would part them. EINVAL names the line.
Expected<std::vector<std::string>> parse_directives(std::string_view script);

} // namespace flux::cmd
