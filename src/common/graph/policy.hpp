// Policy: which of the resources that would do are taken.
//
// A named policy, or a composed one in words: "policy=low node_centric=true node_exclusive=true
// stop_on_1_matches=true compact=true".
#pragma once
#include <string>
#include <string_view>

#include "common/base/error.hpp"

namespace flux::graph {

struct Policy {
    enum class Order : uint8_t {
        high,      // greatest ids first
        low,       // least ids first
        locality,  // at the top of a request from the last run of consecutive ids, else as high
        variation, // low performance classes (property perf_class) first, in a slot those with the least
                   // spread
    };
    Order order = Order::high;
    bool node_centric = true;    // the id of the node decides before that of what is in it
    bool node_exclusive = false; // whole nodes
    bool first_match = true;     // the search ends as soon as enough is found
    bool compact = false; // below the lowest vertex (socket, rack, ...) that has enough, the fullest such

    // first, firstnodex, high, low, hinode, lonode, hinodex, lonodex, locality, variation, compact, or a
    // composed one. EINVAL names what is not understood.
    static Expected<Policy> parse(std::string_view text);
};

} // namespace flux::graph
