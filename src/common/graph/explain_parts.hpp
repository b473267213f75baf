// What explain.cpp and explain_never.cpp share: what a request wants, in numbers and in words.
#pragma once
#include <string>
#include <vector>

#include "common/graph/matcher.hpp"

namespace flux::graph {

// One type of resource that a request wants, of all its slots together.
struct Wanted {
    const Request *request;
    int64_t count; // vertices, or units of a pool
    bool exclusive;
};

std::vector<Wanted> wanted_by(const std::vector<Request> &list);
int64_t times_count(int64_t times, const Request &request); // its least count, so many times
std::string plural(int64_t count, std::string_view word);
// " with property gold", " on host n9", or nothing.
std::string condition(const Json &constraint);

// What the machine has of each type is enough, but not in one place: a sentence that says where it is not, or
// nothing. What is up or free does not matter.
std::optional<std::string> why_never_together(const Graph &graph, const JobRequest &request,
                                              const ConstraintCheck &constraint);

} // namespace flux::graph
