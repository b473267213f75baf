// Find: which vertices satisfy an expression such as "status=up and (sched-now=free or property=ssd)".
//
// Predicates: status=up|down, sched-now=allocated|free, sched-future=reserved|free, jobid-alloc=ID,
// jobid-reserved=ID, jobid-span=ID, jobid-tag=ID, agfilter=t|f, names=HOSTLIST, property=NAME. Two beside
// each other are joined by "and".
#pragma once
#include <string_view>
#include <vector>

#include "common/graph/emit.hpp"
#include "common/graph/matcher.hpp"

namespace flux::graph {

// EINVAL says what was expected where.
Expected<std::vector<VertexId>> find_vertices(const Matcher &matcher, std::string_view expression);
// What was found and what is above it, for the writers, all of it as exclusive; for R only what was found.
Allocation found_as_allocation(const Matcher &matcher, const std::vector<VertexId> &found,
                               MatchFormat format);

} // namespace flux::graph
