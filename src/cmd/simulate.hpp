// What the parts of flux-simulate share.
#pragma once
#include <span>
#include <string>

#include "common/graph/replay.hpp"

namespace flux::cmd {

// Utilisation and queue length over time as an SVG document.
std::string replay_plot(std::string_view title, const graph::ReplayResult &result, int64_t procs);

} // namespace flux::cmd
