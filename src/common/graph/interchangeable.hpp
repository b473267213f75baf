// Interchangeable resources: a request for so many exclusive vertices of one type, wherever they are, on a
// machine where all of that type are alike: cores, or whole nodes; also slots, where nodes are taken whole.
// When such a job can start is a matter of counting; which vertices it gets is decided when it starts.
#pragma once
#include <optional>

#include "common/graph/request.hpp"

namespace flux::graph {

struct Interchangeable {
    TypeId type;
    int64_t count;
};

// Nothing when it matters which vertices the job gets: with a constraint, a range or alternatives, where what
// is asked for has to be near each other, or comes from another subsystem.
std::optional<Interchangeable> interchangeable(const JobRequest &request, const Graph &graph,
                                               bool node_exclusive);

} // namespace flux::graph
