// Changes of a machine that is in use, as the query tool and the scheduler's resource service make them.
#pragma once
#include <string_view>

#include "common/graph/matcher.hpp"

namespace flux::graph {

// Adds what a JGF document has and the graph has not; returns the new vertices. Nothing is added on an error:
// EINVAL what is wrong with the document, ENOENT nothing of it is in the graph, or all of it.
Expected<std::vector<VertexId>> add_subgraph(Matcher &matcher, const Json &jgf);

// What a path names, or a set of ranks. ENOENT, and EINVAL for a root, which cannot be removed.
Expected<std::vector<VertexId>> removable(const Graph &graph, std::string_view path_or_ranks);

// Gives back those of a job's vertices that are picked, with what is below them. True when nothing is left.
Expected<bool> release_picks(Matcher &matcher, int64_t id, const std::vector<Pick> &picks);

// "KEY=VALUE". EINVAL says how it should look.
Expected<std::pair<std::string, std::string>> parse_property(std::string_view setting);

} // namespace flux::graph
