// Readers: graphs from R (RFC 20) and JGF. Every error names the place and what is wrong there (EINVAL).
// GRUG recipes, hwloc XML and YAML are read by formats/: they need libraries that others do not want.
#pragma once
#include <string_view>
#include <vector>

#include "common/graph/graph.hpp"
#include "common/graph/search.hpp"
#include "common/job/resource_set.hpp"
#include "common/json/json.hpp"

namespace flux::graph {

// "corona263" is "corona" and 263; without a number it is -1.
std::pair<std::string, int64_t> split_number(const std::string &name);

// JGF: long, short and shorthand.
Expected<Graph> read_jgf(const Json &jgf);
// Adds the vertices of a JGF document that are not there yet; those that are (same path) are where it is
// attached. Returns the number of new vertices, and those that are to be set down when the totals are there.
Expected<size_t> attach_jgf(Graph &graph, const Json &jgf, std::vector<VertexId> &down);
// The vertices below which attach_jgf would add; ENOENT when nothing of the document is in the graph, or all.
Expected<std::vector<VertexId>> attach_points(const Graph &graph, const Json &jgf);
// The exclusive vertices of a JGF document, in a graph that has them; of one in shorthand, as `shorthand` or
// its writer says, with all that is below. ENOENT names one that is not there.
Expected<std::vector<Pick>> jgf_picks(const Graph &graph, const Json &jgf, bool shorthand = false);

// R version 1: its scheduling key when that is a graph, unless `force` says that only R_lite counts.
Expected<Graph> read_rv1(const Json &r, bool force = false);
Expected<std::vector<Pick>> rv1_picks(const Graph &graph, const Json &r);
// The same from resources that are parsed already.
Graph graph_of(const ResourceSet &resources);
// Adds its nodes, with what is on them, below a vertex.
void add_nodes(Graph &graph, VertexId above, const ResourceSet &resources);
Expected<std::vector<Pick>> picks_of(const Graph &graph, const ResourceSet &resources);

} // namespace flux::graph
