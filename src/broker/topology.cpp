#include "broker/topology.hpp"

#include <bit>
#include <charconv>
#include <numeric>

namespace flux {

namespace {

constexpr uint32_t mincrit_max_fanout = 1024;

std::vector<uint32_t> kary_parents(uint32_t size, uint32_t fanout)
{
    std::vector<uint32_t> parent(size, 0);
    for (uint32_t rank = 1; rank < size; rank++)
        parent[rank] = (rank - 1) / fanout;
    return parent;
}

// Ranks 1..routers stand between the root and the leaves, which they share evenly.
std::vector<uint32_t> mincrit_parents(uint32_t size, uint32_t routers)
{
    std::vector<uint32_t> parent(size, 0);
    if (routers == 0 || size <= routers + 1)
        return parent;
    uint32_t leaves = size - 1 - routers;
    for (uint32_t leaf = 0; leaf < leaves; leaf++)
        parent[routers + 1 + leaf] = 1 + uint32_t(uint64_t(leaf) * routers / leaves);
    return parent;
}

uint32_t mincrit_routers(uint32_t size)
{
    if (size - 1 <= mincrit_max_fanout)
        return 0;
    uint32_t routers = 1;
    while (uint64_t(routers) * mincrit_max_fanout < size - 1 - routers)
        routers++;
    return routers;
}

// The parent of a rank is the rank without its lowest bit.
std::vector<uint32_t> binomial_parents(uint32_t size)
{
    std::vector<uint32_t> parent(size, 0);
    for (uint32_t rank = 1; rank < size; rank++)
        parent[rank] = rank & (rank - 1);
    return parent;
}

std::optional<uint32_t> number_after(std::string_view text, std::string_view prefix)
{
    uint32_t value = 0;
    if (!text.starts_with(prefix) || text.size() == prefix.size())
        return std::nullopt;
    text.remove_prefix(prefix.size());
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

} // namespace

std::shared_ptr<const Topology::Shape> Topology::make_shape(std::vector<uint32_t> parent)
{
    auto shape = std::make_shared<Shape>();
    auto size = uint32_t(parent.size());
    shape->parent = std::move(parent);
    shape->first_child.assign(size + 1, 0);
    for (uint32_t rank = 1; rank < size; rank++)
        shape->first_child[shape->parent[rank] + 1]++;
    std::partial_sum(shape->first_child.begin(), shape->first_child.end(), shape->first_child.begin());
    shape->children.resize(size - 1);
    auto next = shape->first_child;
    for (uint32_t rank = 1; rank < size; rank++)
        shape->children[next[shape->parent[rank]]++] = rank;
    shape->level.assign(size, 0);
    for (uint32_t rank = 1; rank < size; rank++)
        for (uint32_t at = rank; at != 0; at = shape->parent[at])
            shape->level[rank]++;
    shape->max_level = *std::max_element(shape->level.begin(), shape->level.end());
    return shape;
}

Topology::Topology(uint32_t rank, uint32_t size, uint32_t fanout) : rank_(rank)
{
    FLUX_ASSERT(rank < size && fanout >= 1);
    shape_ = make_shape(kary_parents(size, fanout));
}

Expected<Topology> Topology::from_parents(uint32_t rank, std::vector<uint32_t> parents)
{
    parents.insert(parents.begin(), 0);
    auto size = uint32_t(parents.size());
    if (rank >= size)
        return fail(EINVAL, "rank {} is not in a tree of {} brokers", rank, size);
    for (uint32_t start = 1; start < size; start++) {
        uint32_t steps = 0;
        for (uint32_t at = start; at != 0; at = parents[at])
            if (parents[at] >= size || ++steps > size)
                return fail(EINVAL, "rank {} does not lead to rank 0 by its parents", start);
    }
    return Topology(rank, make_shape(std::move(parents)));
}

Expected<Topology> Topology::parse(std::string_view topo, uint32_t rank, uint32_t size)
{
    std::vector<uint32_t> parents;
    if (auto fanout = number_after(topo, "kary:"))
        parents = kary_parents(size, *fanout == 0 ? std::max(size, 2u) - 1 : *fanout);
    else if (topo == "mincrit")
        parents = mincrit_parents(size, mincrit_routers(size));
    else if (auto routers = number_after(topo, "mincrit:"))
        parents = mincrit_parents(size, *routers);
    else if (topo == "binomial")
        parents = binomial_parents(size);
    else
        return fail(EINVAL,
                    "tbon.topo \"{}\" is not a topology: use kary:K with K from 0 (flat) up, mincrit[:K] or "
                    "binomial",
                    topo);
    return Topology(rank, make_shape(std::move(parents)));
}

Topology Topology::at(uint32_t rank) const
{
    FLUX_ASSERT(rank < size());
    return Topology(rank, shape_);
}

std::optional<uint32_t> Topology::parent_of(uint32_t rank) const
{
    return rank == 0 ? std::nullopt : std::optional(shape_->parent[rank]);
}

std::span<const uint32_t> Topology::children_of(uint32_t rank) const
{
    auto first = shape_->first_child[rank];
    return std::span(shape_->children).subspan(first, shape_->first_child[rank + 1] - first);
}

std::optional<uint32_t> Topology::child_toward(uint32_t target) const
{
    if (target >= size())
        return std::nullopt;
    while (target != 0) {
        uint32_t parent = shape_->parent[target];
        if (parent == rank_)
            return target;
        target = parent;
    }
    return std::nullopt;
}

Idset Topology::subtree(uint32_t rank) const
{
    Idset out;
    std::vector<uint32_t> todo {rank};
    while (!todo.empty()) {
        uint32_t at = todo.back();
        todo.pop_back();
        out.add(at);
        for (uint32_t child : children_of(at))
            todo.push_back(child);
    }
    return out;
}

Idset Topology::routers() const
{
    Idset out;
    out.add(0);
    for (uint32_t rank = 0; rank < size(); rank++)
        if (!children_of(rank).empty())
            out.add(rank);
    return out;
}

} // namespace flux
