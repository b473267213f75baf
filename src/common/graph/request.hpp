// Request: the resources of a jobspec (RFC 14), made ready for matching against one graph.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "common/graph/graph.hpp"
#include "common/graph/schedule.hpp"
#include "common/job/jobspec.hpp"

namespace flux::graph {

struct Request {
    enum class Kind : uint8_t { resource, slot, xor_slot };
    Kind kind = Kind::resource;
    TypeId type = 0;
    Count count;
    std::string unit;
    std::string label;
    std::optional<bool> exclusive;
    std::vector<Request> with;

    Needs below;            // at least what must be below one vertex of it
    Needs one;              // the same, with the vertex itself
    Needs all;              // of the smallest acceptable count
    bool colocated = false; // a slot whose resources belong together on one node
};

struct JobRequest {
    std::vector<Request> resources;
    Needs needs;         // of all
    bool rivals = false; // resources beside each other may want the same vertices
    Time duration = 0;   // seconds; 0 is as long as the graph
    Json constraint;     // RFC 31, or absent
};

// EINVAL names what is wrong: a type that the graph does not know, siblings of one type, ...
Expected<JobRequest> compile_request(const Jobspec &jobspec, const Graph &graph);
// The variants of a request with xor_slots, in their order; at most max_variants.
constexpr size_t max_variants = 1000;
std::vector<JobRequest> expand_variants(const JobRequest &request, const Graph &graph);

} // namespace flux::graph
