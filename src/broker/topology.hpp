// Topology: who is whose parent in the tree of brokers (tbon.topo). The tree's shape is shared by all that look at it;
// a Topology is that shape seen from one rank.
#pragma once
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "common/base/error.hpp"
#include "common/types/idset.hpp"

namespace flux {

class Topology {
public:
    // Every rank r > 0 hangs under (r - 1) / fanout. fanout >= 1.
    Topology(uint32_t rank, uint32_t size, uint32_t fanout);
    // parents[r - 1] is the parent of rank r. EINVAL when that is no tree with rank 0 as its root.
    static Expected<Topology> from_parents(uint32_t rank, std::vector<uint32_t> parents);
    // tbon.topo: "kary:K" (0: all under rank 0), "mincrit", "mincrit:K" (K routers, three levels), "binomial". EINVAL
    // names what is allowed. ("custom" is the configuration's: from_parents.)
    static Expected<Topology> parse(std::string_view topo, uint32_t rank, uint32_t size);
    // The same tree from another rank.
    Topology at(uint32_t rank) const;

    uint32_t rank() const { return rank_; }
    uint32_t size() const { return uint32_t(shape_->level.size()); }
    std::optional<uint32_t> parent() const { return parent_of(rank_); }
    std::optional<uint32_t> parent_of(uint32_t rank) const;
    std::span<const uint32_t> children() const { return children_of(rank_); }
    std::span<const uint32_t> children_of(uint32_t rank) const; // ascending
    // The child of this rank through which `target` is reached, nullopt when it is not below.
    std::optional<uint32_t> child_toward(uint32_t target) const;
    uint32_t level_of(uint32_t rank) const { return shape_->level[rank]; } // 0 for the root
    uint32_t max_level() const { return shape_->max_level; }
    Idset subtree(uint32_t rank) const; // with the rank itself
    Idset routers() const;              // rank 0 and every rank that has children

private:
    struct Shape {
        std::vector<uint32_t> parent; // parent[0] is 0
        std::vector<uint32_t> level;
        std::vector<uint32_t> first_child; // index into children; one more than there are ranks
        std::vector<uint32_t> children;
        uint32_t max_level = 0;
    };
    Topology(uint32_t rank, std::shared_ptr<const Shape> shape) : rank_(rank), shape_(std::move(shape)) {}
    static std::shared_ptr<const Shape> make_shape(std::vector<uint32_t> parent);

    uint32_t rank_;
    std::shared_ptr<const Shape> shape_;
};

} // namespace flux
