// Topology: who is whose parent in the tree of brokers (tbon.topo). Pure arithmetic for a k-ary tree.
#pragma once
#include <optional>
#include <vector>

#include "common/base/error.hpp"

namespace flux {

class Topology {
public:
    // Every rank r > 0 hangs under (r - 1) / fanout. fanout >= 1.
    Topology(uint32_t rank, uint32_t size, uint32_t fanout);
    // "kary:K" (K >= 0; 0: all under rank 0). EINVAL names what is allowed.
    static Expected<uint32_t> parse_fanout(std::string_view topo, uint32_t size);

    uint32_t rank() const { return rank_; }
    uint32_t size() const { return size_; }
    std::optional<uint32_t> parent() const { return parent_of(rank_); }
    std::optional<uint32_t> parent_of(uint32_t rank) const;
    std::vector<uint32_t> children() const { return children_of(rank_); }
    std::vector<uint32_t> children_of(uint32_t rank) const;
    // The child of this rank through which `target` is reached, nullopt when it is not below.
    std::optional<uint32_t> child_toward(uint32_t target) const;
    uint32_t level_of(uint32_t rank) const; // 0 for the root

private:
    uint32_t rank_, size_, fanout_;
};

} // namespace flux
