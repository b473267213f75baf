// Units of pools: "GB" of a vertex against "MB" of a request.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

namespace flux::graph {

struct UnitRatio { // one of the vertex's unit is numerator/denominator of the request's
    int64_t numerator = 1;
    int64_t denominator = 1;
    int64_t to_request(int64_t amount) const { return int64_t(__int128(amount) * numerator / denominator); }
    int64_t to_vertex(int64_t amount) const // rounded up, as much as is needed
    {
        __int128 product = (__int128(amount) * denominator + numerator - 1) / numerator;
        return product > (INT64_MAX >> 2) ? INT64_MAX >> 2 : int64_t(product);
    }
};

// 1 when one of them is empty or they are the same; nothing when one cannot be turned into the other. Known
// are B, W, Hz, b/s, B/s and what stands with k, M, G, T, P or Ki, Mi, Gi, Ti, Pi.
std::optional<UnitRatio> unit_ratio(std::string_view vertex_unit, std::string_view request_unit);

} // namespace flux::graph
