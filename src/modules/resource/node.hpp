// What this node has. Cores are counted from /sys, which takes microseconds; hwloc, which takes tens of
// milliseconds, is asked only for what it alone can tell: devices where there are any, and the topology
// (resource.topo-get).
#pragma once
#include <cstdint>
#include <string>

#include "common/base/error.hpp"
#include "common/types/idset.hpp"

namespace flux {

struct NodeInventory {
    uint32_t cores = 0;
    uint32_t gpus = 0;
};

// restrict: only what this process may run on. FLUX_HWLOC_XMLFILE names a topology that stands for the
// node's.
NodeInventory discover_node(bool restrict); // throws Error(EIO)
std::string topology_xml(bool restrict);    // the same
// What of it has these cores, by their logical numbers, as XML again. EINVAL when it has none of them.
std::string restricted_topology(const std::string &xml, const Idset &cores);
// Of a topology in a file. ENOENT, EINVAL with the path.
NodeInventory read_topology_xml(const std::string &path);

} // namespace flux
