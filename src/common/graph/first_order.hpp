// FirstOrder: in which order a first fit goes through the children of a vertex. Those that no job has passed
// come first, the last of the tree before the others; then those that were passed, the ones with most left
// first, as it was when the last job came by. So jobs are spread until everything was used once.
#pragma once
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/graph/allocation.hpp"

namespace flux::graph {

// Which types are counted below vertices of which type: "ALL:core,ALL:node". Totals of all types are kept
// whatever it says; the last of the types counts for FirstOrder.
class PruneFilters {
public:
    Expected<void> add(std::string_view text); // EINVAL when it is not HL:LL[,HL:LL...]
    static PruneFilters usual();               // ALL:core,ALL:node
    // The last of the types that are counted below vertices of a type, `unknown` when the graph does not have
    // it; nothing when no filter is for that type.
    static constexpr TypeId unknown = UINT16_MAX;
    std::optional<TypeId> last(const Graph &graph, TypeId high) const;

private:
    struct Filter {
        std::string high; // a type, or ALL
        std::string low;
    };
    std::vector<Filter> filters_;
};

class FirstOrder {
public:
    explicit FirstOrder(PruneFilters filters = {}) : filters_(std::move(filters)) {}
    // A job was given this, or gives it back; what is reserved for later does not count.
    void use(const Graph &graph, const Allocation &allocation, bool add);
    bool nothing_given() const { return given_.empty(); }
    // A job was given this, now or to have it later.
    void passed(const Graph &graph, const Allocation &allocation);
    // The graph has other types: all use is entered anew.
    void forget_use()
    {
        counted_.clear();
        given_.clear();
    }

    // Visits the children of a vertex until one says true; then it is.
    template <class Visit>
    bool visit_children(const Graph &graph, VertexId parent, Visit &&visit) const
    {
        auto children = graph.children(parent);
        auto known = parents_.find(parent);
        size_t end = known == parents_.end() ? children.size() : known->second.first_passed(children.size());
        for (size_t i = end; i-- > 0;)
            if ((known == parents_.end() || !left_.contains(children[i])) && visit(children[i]))
                return true;
        if (known == parents_.end())
            return false;
        for (const auto &one : known->second.passed)
            if (visit(one.child))
                return true;
        return false;
    }

private:
    struct Passed {
        int64_t left;
        VertexId child;
        bool operator<(const Passed &other) const
        {
            return left != other.left ? left > other.left : child > other.child;
        }
    };
    struct Parent {
        std::set<Passed> passed;
        size_t end = 0;   // of the children from here on all have been passed,
        size_t count = 0; // as long as there are so many
        size_t first_passed(size_t children) const { return children == count ? end : children; }
    };
    struct Counted {
        bool any = false;
        int column = -1; // none: there is nothing of it
    };
    const Counted &counted(const Graph &graph, TypeId high);
    void pass(const Graph &graph, VertexId v);
    template <class Visit>
    void visit_inner(const Graph &graph, const Allocation &allocation, Visit &&visit);

    PruneFilters filters_;
    std::unordered_map<TypeId, Counted> counted_;
    std::unordered_map<VertexId, Parent> parents_;
    std::unordered_map<VertexId, int64_t> left_;  // by child
    std::unordered_map<VertexId, int64_t> given_; // by inner vertex, of its counted type below it, now
};

} // namespace flux::graph
