#include "modules/sched/placement.hpp"

#include <algorithm>
#include <optional>

namespace flux {

namespace {

class Target : public ConstraintTarget {
public:
    Target(const ResourceSet &set, const ResourceSet::Node &node) : set_(set), node_(node) {}
    bool has_property(std::string_view name) const override { return set_.has_property(node_.rank, name); }
    std::string_view hostname() const override { return node_.hostname(); }
    uint32_t rank() const override { return node_.rank; }

private:
    const ResourceSet &set_;
    const ResourceSet::Node &node_;
};

uint64_t slots_that_fit(const JobShape &shape, size_t cores, size_t gpus)
{
    uint64_t fit = shape.cores_per_slot ? cores / shape.cores_per_slot : cores;
    if (shape.gpus_per_slot)
        fit = std::min<uint64_t>(fit, gpus / shape.gpus_per_slot);
    return fit;
}

} // namespace

Placement::Placement(ResourceSet all) : all_(std::move(all))
{
    for (const auto &node : all_.nodes()) {
        index_[node.rank] = nodes_.size();
        nodes_.push_back({node.rank, node.cores(), node.gpus()});
    }
}

Placement::Node *Placement::find(uint32_t rank)
{
    auto found = index_.find(rank);
    return found == index_.end() ? nullptr : &nodes_[found->second];
}

void Placement::set_up(const Idset &ranks, bool up)
{
    for (uint32_t rank : ranks) {
        auto found = index_.find(rank);
        if (found == index_.end() || up_.contains(rank) == up)
            continue;
        auto &node = nodes_[found->second];
        if (up) {
            up_.add(rank);
            free_cores_ += node.cores.count();
            if (!node.cores.empty())
                open_.insert(found->second);
        } else {
            up_.remove(rank);
            free_cores_ -= node.cores.count();
            open_.erase(found->second);
        }
    }
}

ResourceSet Placement::allocated() const
{
    ResourceSet out;
    auto total = all_.nodes();
    for (size_t i = 0; i < nodes_.size(); i++) {
        Idset cores = total[i].cores() - nodes_[i].cores;
        Idset gpus = total[i].gpus() - nodes_[i].gpus;
        if (!cores.empty() || !gpus.empty())
            out.add_node(nodes_[i].rank, total[i].hostname(), cores, gpus);
    }
    return out;
}

// With `anything`, of all resources as if nothing ran and everything were up. Empty when it does not fit.
ResourceSet Placement::pick(const JobShape &shape, const Json &constraint, bool anything) const
{
    std::optional<ResourceConstraint> wanted;
    if (constraint)
        wanted = value_or_throw(compile_resource_constraint(constraint));
    ResourceSet out;
    auto total = all_.nodes();
    uint64_t slots_left = shape.nslots;
    uint64_t nodes_left = shape.nnodes;
    auto consider = [&](size_t i) { // false: the job has all it needs
        const Idset &cores = anything ? total[i].cores() : nodes_[i].cores;
        const Idset &gpus = anything ? total[i].gpus() : nodes_[i].gpus;
        bool whole = cores.count() == total[i].cores().count() && gpus.count() == total[i].gpus().count();
        uint64_t fit = slots_that_fit(shape, cores.count(), gpus.count());
        uint64_t want = shape.nnodes ? shape.slots_per_node : std::min(fit, slots_left);
        if (want == 0 || fit < want || (shape.node_exclusive && !whole) ||
            (wanted && !wanted->match(Target(all_, total[i]))))
            return true;
        if (shape.node_exclusive)
            out.add_node(total[i].rank, total[i].hostname(), cores, gpus);
        else
            out.add_node(total[i].rank, total[i].hostname(), cores.take(want * shape.cores_per_slot),
                         gpus.take(want * shape.gpus_per_slot));
        slots_left -= std::min(want, slots_left);
        nodes_left -= nodes_left > 0;
        return shape.nnodes ? nodes_left > 0 : slots_left > 0;
    };
    bool more = true;
    if (anything)
        for (size_t i = 0; i < nodes_.size() && more; i++)
            more = consider(i);
    else
        for (auto at = open_.begin(); at != open_.end() && more; ++at)
            more = consider(*at);
    return more ? ResourceSet() : out;
}

Expected<void> Placement::feasible(const JobShape &shape, const Json &constraint) const
{
    try {
        if (!pick(shape, constraint, true).empty())
            return {};
    } catch (const Error &error) {
        return std::unexpected(error);
    }
    if (shape.nnodes > all_.nnodes())
        return fail(EOVERFLOW, "never satisfiable: asks {} nodes, the instance has {}", shape.nnodes,
                    all_.nnodes());
    if (shape.ncores() > all_.ncores())
        return fail(EOVERFLOW, "never satisfiable: asks {} cores, the instance has {}", shape.ncores(),
                    all_.ncores());
    if (shape.ngpus() > all_.ngpus())
        return fail(EOVERFLOW, "never satisfiable: asks {} gpus, the instance has {}", shape.ngpus(),
                    all_.ngpus());
    return fail(EOVERFLOW, "never satisfiable: not enough nodes have what one needs here{}",
                constraint ? " and match the constraint" : "");
}

Expected<ResourceSet> Placement::allocate(const JobShape &shape, const Json &constraint)
{
    if (shape.ncores() > free_cores_)
        return fail(ENOSPC, "{} cores are free, the job asks {}", free_cores_, shape.ncores());
    try {
        auto out = pick(shape, constraint, false);
        if (out.empty())
            return fail(ENOSPC, "the job's resources are in use");
        if (auto taken = take(out); !taken)
            return std::unexpected(taken.error());
        out.set_nslots(shape.nslots);
        return out;
    } catch (const Error &error) {
        return std::unexpected(error);
    }
}

Expected<void> Placement::take(const ResourceSet &resources)
{
    for (const auto &part : resources.nodes()) {
        Node *node = find(part.rank);
        if (!node)
            return fail(ENOENT, "rank {} is not among the resources", part.rank);
        if (!node->cores.contains(part.cores()) || !node->gpus.contains(part.gpus()))
            return fail(EEXIST, "resources of rank {} are allocated already", part.rank);
    }
    for (const auto &part : resources.nodes()) {
        Node *node = find(part.rank);
        node->cores -= part.cores();
        node->gpus -= part.gpus();
        if (up_.contains(part.rank)) {
            free_cores_ -= part.cores().count();
            if (node->cores.empty())
                open_.erase(index_[part.rank]);
        }
    }
    return {};
}

void Placement::free(const ResourceSet &resources)
{
    auto total = all_.nodes();
    for (const auto &part : resources.nodes()) {
        auto found = index_.find(part.rank);
        if (found == index_.end())
            continue;
        auto &node = nodes_[found->second];
        size_t before = node.cores.count();
        node.cores |= part.cores() & total[found->second].cores();
        node.gpus |= part.gpus() & total[found->second].gpus();
        if (up_.contains(part.rank)) {
            free_cores_ += node.cores.count() - before;
            if (!node.cores.empty())
                open_.insert(found->second);
        }
    }
}

} // namespace flux
