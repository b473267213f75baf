// Writers: what a job got, or what was found, as text in the formats of the graph scheduler; a graph as
// GraphViz dot.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "common/graph/allocation.hpp"
#include "common/json/json.hpp"

namespace flux::graph {

enum class MatchFormat { simple, pretty_simple, rlite, rv1, rv1_nosched, rv1_shorthand, jgf, jgf_shorthand };
std::optional<MatchFormat> parse_match_format(std::string_view name);

// With a newline at the end; empty when the allocation is.
std::string emit(const Graph &graph, const Allocation &allocation, Time start, Time end, MatchFormat format);

// The formats that are JSON: rlite, rv1 and jgf in all their forms; absent for the others.
Json emit_json(const Graph &graph, const Allocation &allocation, Time start, Time end, MatchFormat format);
Json emit_rlite(const Graph &graph, const Allocation &allocation);
Json emit_r(const Graph &graph, const Allocation &allocation, Time start, Time end); // without scheduling
// With shorthand what is below a vertex that is taken whole is left out.
Json emit_jgf(const Graph &graph, const Allocation &allocation, bool shorthand);
// The whole graph as an allocation in which nothing is exclusive.
Allocation whole_graph(const Graph &graph);

std::string emit_dot(const Graph &graph);

} // namespace flux::graph
