// Allocation: the part of the graph that a job got, as a tree in post-order (children before their parents).
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "common/graph/graph.hpp"
#include "common/graph/planner.hpp"
#include "common/graph/schedule.hpp"

namespace flux::graph {

struct Pick { // what a search has found
    VertexId vertex;
    int64_t amount;
    bool exclusive;
    bool part;               // of a divisible pool
    bool everything = false; // that is below it, too
};

struct Assigned {
    VertexId vertex;
    int64_t amount;          // of the vertex's size
    uint16_t depth;          // 0: a root
    bool exclusive;          // else only passed through
    bool part;               // exclusive use of an amount of a divisible pool
    bool covered;            // something above is exclusive: that counts
    bool everything = false; // all that is below it is exclusive, too, and not listed
};
using Allocation = std::vector<Assigned>;

// The picked vertices and what is above them. With node_exclusive every node on the way is taken whole, with
// all that is in it.
Allocation make_allocation(const Graph &graph, const std::vector<Pick> &picks, bool node_exclusive);
// The same with everything listed.
Allocation expanded(const Graph &graph, const Allocation &allocation);
// Of an allocation those picks whose vertex satisfies the predicate.
std::vector<Pick> picks_of(const Graph &graph, const Allocation &allocation,
                           const std::function<bool(VertexId)> &keep);

// A job and what it has.
struct JobUse {
    int64_t id = 0;
    Time start = 0;
    Time end = 0; // seconds
    bool reserved = false;
    JobSlot slot = 0;
    double overhead = 0; // seconds that matching took
    Allocation allocation;
    std::vector<int64_t> amounts; // by column, of the allocation: how much it takes of the machine
    std::vector<int64_t> held;    // by column: amounts that are kept for it, before it has certain vertices
};

} // namespace flux::graph
