#include "broker/topology.hpp"

#include <charconv>

namespace flux {

Topology::Topology(uint32_t rank, uint32_t size, uint32_t fanout) : rank_(rank), size_(size), fanout_(fanout)
{
    FLUX_ASSERT(rank < size && fanout >= 1);
}

Expected<uint32_t> Topology::parse_fanout(std::string_view topo, uint32_t size)
{
    constexpr std::string_view prefix = "kary:";
    uint32_t fanout = 0;
    auto number = topo.starts_with(prefix) ? topo.substr(prefix.size()) : std::string_view();
    auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), fanout);
    if (number.empty() || error != std::errc() || end != number.data() + number.size())
        return fail(EINVAL, "tbon.topo \"{}\" is not a topology: use kary:K with K from 0 (flat) up", topo);
    return fanout == 0 ? std::max(size, 2u) - 1 : fanout;
}

std::optional<uint32_t> Topology::parent_of(uint32_t rank) const
{
    return rank == 0 ? std::nullopt : std::optional((rank - 1) / fanout_);
}

std::vector<uint32_t> Topology::children_of(uint32_t rank) const
{
    std::vector<uint32_t> children;
    for (uint64_t child = uint64_t(rank) * fanout_ + 1;
         child <= (uint64_t(rank) + 1) * fanout_ && child < size_; child++)
        children.push_back(uint32_t(child));
    return children;
}

std::optional<uint32_t> Topology::child_toward(uint32_t target) const
{
    if (target >= size_)
        return std::nullopt;
    while (target > rank_) {
        uint32_t parent = *parent_of(target);
        if (parent == rank_)
            return target;
        target = parent;
    }
    return std::nullopt;
}

uint32_t Topology::level_of(uint32_t rank) const
{
    uint32_t level = 0;
    for (; rank > 0; rank = *parent_of(rank))
        level++;
    return level;
}

} // namespace flux
