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

// JGF: long, short and shorthand.
Expected<Graph> read_jgf(const Json &jgf);
// Adds the vertices of a JGF document that are not there yet; those that are (same path) are where it is
// attached. Returns the number of new vertices.
Expected<size_t> attach_jgf(Graph &graph, const Json &jgf);
// The vertex at which attach_jgf would begin to add; ENOENT when nothing of the document is in the graph.
Expected<VertexId> attach_point(const Graph &graph, const Json &jgf);
// The exclusive vertices of a JGF document, in a graph that has them. ENOENT names one that is not there.
Expected<std::vector<Pick>> jgf_picks(const Graph &graph, const Json &jgf);

// R version 1: its scheduling key when that is a graph, unless `force` says that only R_lite counts.
Expected<Graph> read_rv1(const Json &r, bool force = false);
Expected<std::vector<Pick>> rv1_picks(const Graph &graph, const Json &r);
// The same from resources that are parsed already.
Graph graph_of(const ResourceSet &resources);
Expected<std::vector<Pick>> picks_of(const Graph &graph, const ResourceSet &resources);

} // namespace flux::graph
