// ConstraintCheck: which vertices the constraint of a job (RFC 31) lets it have.
//
// It is asked of nodes and storage nodes. A property that vertices of another type bear, if the job requests
// that type (a gpu's model, a drive's speed), is asked of those vertices; they have what is above them has,
// too. Of the others it is then not known whether they satisfy it, and what is not known refuses nobody.
#pragma once
#include "common/graph/request.hpp"
#include "common/types/constraint.hpp"

namespace flux::graph {

class ConstraintCheck {
public:
    // EINVAL when the constraint is not understood.
    static Expected<ConstraintCheck> make(const JobRequest &request, const Graph &graph);

    // Is it asked of vertices of this type?
    bool asks(const Graph &graph, TypeId type) const
    {
        return constrains_ && (graph.is_host(type) || is_bearer(type));
    }
    // The same, because of a property that this type bears.
    bool is_bearer(TypeId type) const;
    bool has_bearers() const { return !borne_.empty(); }
    // May a vertex of such a type be used?
    bool allows(const Graph &graph, VertexId v) const;
    // May it, as far as it and all that is above it are asked?
    bool allows_path(const Graph &graph, VertexId v) const;

private:
    ResourceConstraint constraint_;
    bool constrains_ = false;
    std::map<std::string, std::vector<TypeId>, std::less<>> borne_; // properties, by requested types
};

} // namespace flux::graph
