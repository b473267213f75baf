// Readers that need libraries: GRUG recipes (expat), hwloc's XML (libhwloc), YAML (libyaml). Programs that
// want them link flux_graph_formats; flux and the broker do without.
#pragma once
#include <set>
#include <string>
#include <string_view>

#include "common/graph/graph.hpp"
#include "common/json/json.hpp"

namespace flux::graph {

// A recipe in GraphML that says how to generate a graph. EINVAL names the line, or the node or edge of the
// recipe.
// More than `limit` vertices are EOVERFLOW.
Expected<Graph> read_grug(std::string_view text, size_t limit = Graph::max_vertices);

// A node's topology as hwloc exports it. `only`: the types to keep (empty: all that are known).
Expected<Graph> read_hwloc(const std::string &xml, const std::set<std::string> &only = {});

// A YAML document as JSON: plain scalars become numbers, booleans and null as in YAML 1.2's core schema;
// anchors and aliases are followed. EINVAL names line and column.
Expected<Json> parse_yaml(std::string_view text);

// One of grug, hwloc, jgf, jgf_shorthand, rv1exec, rv1exec_force.
bool is_load_format(std::string_view format);
Expected<Graph> load_graph(const std::string &text, std::string_view format,
                           const std::set<std::string> &only = {});

} // namespace flux::graph
