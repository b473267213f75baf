// Long simulations: a content store keeps every version of every directory of the KVS, which is much for an
// instance that lives through years. Here what no key leads to any more is forgotten.
#pragma once
#include "common/client/handle.hpp"
#include "sim/stores.hpp"

namespace flux::sim {

// While nothing is being committed to the KVS. Returns how many bytes are left in the stores.
Task<size_t> forget_unreachable(Handle &client, SimStores &stores);

} // namespace flux::sim
