#include "common/job/resource_set.hpp"

#include <algorithm>
#include <deque>
#include <unordered_map>

#include "common/base/quote.hpp"

namespace flux {

namespace {

using NodeShape = ResourceSet::NodeShape;
using ShapePtr = std::shared_ptr<const NodeShape>;

// Results for pairs of shapes: 10,000 equal nodes are combined once, and go on sharing.
template <class Combine>
class ShapeCombiner {
public:
    explicit ShapeCombiner(Combine combine) : combine_(combine) {}
    const ShapePtr &operator()(const ShapePtr &a, const ShapePtr &b)
    {
        auto &result = results_[{a.get(), b.get()}];
        if (!result) {
            result = std::make_shared<const NodeShape>(combine_(*a, *b));
            keys_.insert(keys_.end(), {a, b}); // or another shape could come to live at a key's address
        }
        return result;
    }

private:
    struct Hash {
        size_t operator()(const std::pair<const NodeShape *, const NodeShape *> &key) const
        {
            return std::hash<const void *>()(key.first) * 31 + std::hash<const void *>()(key.second);
        }
    };
    Combine combine_;
    std::unordered_map<std::pair<const NodeShape *, const NodeShape *>, ShapePtr, Hash> results_;
    std::vector<ShapePtr> keys_;
};

NodeShape unite_shapes(const NodeShape &a, const NodeShape &b)
{
    return {a.cores | b.cores, a.gpus | b.gpus};
}
NodeShape subtract_shapes(const NodeShape &a, const NodeShape &b)
{
    return {a.cores - b.cores, a.gpus - b.gpus};
}
NodeShape intersect_shapes(const NodeShape &a, const NodeShape &b)
{
    return {a.cores & b.cores, a.gpus & b.gpus};
}

auto node_at(auto &nodes, uint32_t rank)
{
    return std::ranges::lower_bound(nodes, rank, {}, &ResourceSet::Node::rank);
}

class NodeTarget : public ConstraintTarget {
public:
    NodeTarget(const ResourceSet &set, const ResourceSet::Node &node) : set_(set), node_(node) {}
    bool has_property(std::string_view name) const override { return set_.has_property(node_.rank, name); }
    std::string_view hostname() const override { return node_.hostname(); }
    uint32_t rank() const override { return node_.rank; }

private:
    const ResourceSet &set_;
    const ResourceSet::Node &node_;
};

} // namespace

const ResourceSet::Node *ResourceSet::find(uint32_t rank) const noexcept
{
    auto at = node_at(nodes_, rank);
    return at != nodes_.end() && at->rank == rank ? &*at : nullptr;
}

size_t ResourceSet::ncores() const noexcept
{
    size_t count = 0;
    for (const auto &node : nodes_)
        count += node.cores().count();
    return count;
}

size_t ResourceSet::ngpus() const noexcept
{
    size_t count = 0;
    for (const auto &node : nodes_)
        count += node.gpus().count();
    return count;
}

Idset ResourceSet::ranks() const
{
    Idset out;
    for (const auto &node : nodes_)
        out.add(node.rank);
    return out;
}

Hostlist ResourceSet::nodelist() const
{
    Hostlist out;
    for (const auto &node : nodes_)
        if (!node.hostname().empty())
            out.append_name(node.hostname());
    return out;
}

Idset ResourceSet::ranks_of(const Hostlist &hosts) const
{
    Idset out;
    HostIndex wanted(hosts);
    for (const auto &node : nodes_)
        if (wanted.contains(node.hostname()))
            out.add(node.rank);
    return out;
}

void ResourceSet::add_node(uint32_t rank, std::string_view host, Idset cores, Idset gpus)
{
    if (find(rank))
        throw Error(EEXIST, "rank {} is in the resource set already", rank);
    merge_node(rank, host, cores, gpus);
}

void ResourceSet::merge_node(uint32_t rank, std::string_view host, const Idset &cores, const Idset &gpus)
{
    // Nodes mostly come in rank order and alike: share the shape of the one before.
    ShapePtr shape;
    if (!nodes_.empty() && nodes_.back().cores() == cores && nodes_.back().gpus() == gpus)
        shape = nodes_.back().shape;
    else
        shape = std::make_shared<const NodeShape>(NodeShape {cores, gpus});
    auto *known = find(rank);
    merge_node(Node {rank, nullptr, known ? known->host : std::make_shared<const std::string>(host)},
               std::move(shape));
}

void ResourceSet::merge_node(const Node &from, std::shared_ptr<const NodeShape> shape)
{
    if (from.rank > Idset::max_id)
        throw Error(E2BIG, "rank {} is over the limit of {}", from.rank, Idset::max_id);
    auto at = nodes_.empty() || nodes_.back().rank < from.rank ? nodes_.end() : node_at(nodes_, from.rank);
    if (at != nodes_.end() && at->rank == from.rank) {
        at->shape = std::make_shared<const NodeShape>(unite_shapes(*at->shape, *shape));
        return;
    }
    if (nodes_.size() >= max_ranks)
        throw Error(E2BIG, "resource set of more than {} ranks", max_ranks);
    nodes_.insert(at, Node {from.rank, std::move(shape), from.host});
}

// One pass over both node lists. combine(mine, theirs) gets nullptr for a rank that one side lacks and
// returns the shape to keep, or null.
template <class Combine>
void ResourceSet::combine(const ResourceSet &other, Combine combine)
{
    std::vector<Node> out;
    out.reserve(std::max(nodes_.size(), other.nodes_.size()));
    auto a = nodes_.begin();
    auto b = other.nodes_.begin();
    while (a != nodes_.end() || b != other.nodes_.end()) {
        bool has_a = a != nodes_.end() && (b == other.nodes_.end() || a->rank <= b->rank);
        bool has_b = b != other.nodes_.end() && (a == nodes_.end() || b->rank <= a->rank);
        const Node &node = has_a ? *a : *b;
        ShapePtr shape = combine(has_a ? &a->shape : nullptr, has_b ? &b->shape : nullptr);
        if (shape && !shape->empty())
            out.push_back({node.rank, std::move(shape), node.host});
        a += has_a;
        b += has_b;
    }
    nodes_ = std::move(out);
}

// A job against a cluster: worth touching only the nodes of the small side.
bool ResourceSet::much_smaller(const ResourceSet &other) const
{
    return other.nodes_.size() * 8 < nodes_.size();
}

ResourceSet &ResourceSet::unite(const ResourceSet &other)
{
    ShapeCombiner unite(unite_shapes);
    bool all_known =
        std::ranges::all_of(other.nodes_, [&](const Node &node) { return find(node.rank) != nullptr; });
    if (all_known && much_smaller(other)) {
        for (const auto &node : other.nodes_)
            if (auto &shape = node_at(nodes_, node.rank)->shape; shape != node.shape)
                shape = unite(shape, node.shape);
    } else {
        combine(other, [&](const ShapePtr *mine, const ShapePtr *theirs) {
            if (!mine || !theirs || *mine == *theirs)
                return mine ? *mine : *theirs;
            return unite(*mine, *theirs);
        });
    }
    for (const auto &[name, ranks] : other.properties_)
        properties_[name] |= ranks;
    if (starttime_ == 0)
        starttime_ = other.starttime_;
    if (expiration_ == 0)
        expiration_ = other.expiration_;
    if (!scheduling_)
        scheduling_ = other.scheduling_;
    return *this;
}

ResourceSet &ResourceSet::subtract(const ResourceSet &other)
{
    if (other.empty())
        return *this;
    ShapeCombiner subtract(subtract_shapes);
    if (much_smaller(other)) {
        bool emptied = false;
        for (const auto &node : other.nodes_) {
            auto at = node_at(nodes_, node.rank);
            if (at == nodes_.end() || at->rank != node.rank)
                continue;
            at->shape = subtract(at->shape, node.shape);
            emptied |= at->shape->empty();
        }
        if (emptied) {
            std::erase_if(nodes_, [](const Node &node) { return node.shape->empty(); });
            restrict_properties();
        }
        return *this;
    }
    combine(other, [&](const ShapePtr *mine, const ShapePtr *theirs) {
        if (!mine || !theirs)
            return mine ? *mine : ShapePtr();
        return *mine == *theirs ? ShapePtr() : subtract(*mine, *theirs);
    });
    restrict_properties();
    return *this;
}

ResourceSet &ResourceSet::intersect(const ResourceSet &other)
{
    ShapeCombiner intersect(intersect_shapes);
    combine(other, [&](const ShapePtr *mine, const ShapePtr *theirs) {
        if (!mine || !theirs)
            return ShapePtr();
        return *mine == *theirs ? *mine : intersect(*mine, *theirs);
    });
    restrict_properties();
    return *this;
}

bool ResourceSet::contains(const ResourceSet &other) const
{
    for (const auto &node : other.nodes_) {
        const Node *mine = find(node.rank);
        if (!mine)
            return false;
        if (mine->shape != node.shape &&
            !(mine->cores().contains(node.cores()) && mine->gpus().contains(node.gpus())))
            return false;
    }
    return true;
}

bool ResourceSet::intersects(const ResourceSet &other) const
{
    for (const auto &node : other.nodes_)
        if (const Node *mine = find(node.rank))
            if (mine->cores().intersects(node.cores()) || mine->gpus().intersects(node.gpus()))
                return true;
    return false;
}

bool ResourceSet::same_resources(const ResourceSet &other) const
{
    return std::ranges::equal(nodes_, other.nodes_, [](const Node &a, const Node &b) {
        return a.rank == b.rank && (a.shape == b.shape || *a.shape == *b.shape);
    });
}

// The nodes that are to be kept, with all that holds for the set. Copies no others: there can be 100,000.
template <class Keep>
ResourceSet ResourceSet::filtered(Keep keep) const
{
    ResourceSet out;
    out.starttime_ = starttime_;
    out.expiration_ = expiration_;
    out.nslots_ = nslots_;
    out.scheduling_ = scheduling_;
    std::ranges::copy_if(nodes_, std::back_inserter(out.nodes_), keep);
    if (!out.nodes_.empty())
        out.properties_ = properties_;
    out.restrict_properties();
    return out;
}

ResourceSet ResourceSet::subset(const Idset &ranks) const
{
    return filtered([&](const Node &node) { return ranks.contains(node.rank); });
}

ResourceSet ResourceSet::without(const Idset &ranks) const
{
    return filtered([&](const Node &node) { return !ranks.contains(node.rank); });
}

ResourceSet ResourceSet::matching(const ResourceConstraint &constraint) const
{
    Idset matched;
    for (const auto &node : nodes_)
        if (constraint.match(NodeTarget(*this, node)))
            matched.add(node.rank);
    return subset(matched);
}

void ResourceSet::restrict_properties()
{
    if (properties_.empty())
        return;
    Idset all = ranks();
    for (auto &[name, ranks] : properties_)
        ranks &= all;
    std::erase_if(properties_, [](const auto &item) { return item.second.empty(); });
}

// new_ranks[i] becomes the rank of nodes_[i].
void ResourceSet::renumber(const std::vector<uint32_t> &new_ranks)
{
    for (auto &[name, ranks] : properties_) {
        Idset renamed;
        for (uint32_t rank : ranks)
            renamed.add(new_ranks[node_at(nodes_, rank) - nodes_.begin()]);
        ranks = std::move(renamed);
    }
    for (size_t i = 0; i < nodes_.size(); i++)
        nodes_[i].rank = new_ranks[i];
    std::ranges::sort(nodes_, {}, &Node::rank);
}

void ResourceSet::remap()
{
    std::vector<uint32_t> new_ranks(nodes_.size());
    for (uint32_t i = 0; i < new_ranks.size(); i++)
        new_ranks[i] = i;
    renumber(new_ranks);
}

Expected<void> ResourceSet::rerank(const Hostlist &hosts)
{
    std::unordered_map<std::string, std::deque<uint32_t>> places; // a host may stand there more than once
    uint32_t index = 0;
    for (auto host : hosts)
        places[std::move(host)].push_back(index++);
    std::vector<uint32_t> new_ranks;
    for (const auto &node : nodes_) {
        auto place = places.find(node.hostname());
        if (place == places.end() || place->second.empty())
            return fail(ENOENT, "host {} of rank {} is not in the list of hosts", node.hostname(), node.rank);
        new_ranks.push_back(place->second.front());
        place->second.pop_front();
    }
    renumber(new_ranks);
    return {};
}

void ResourceSet::set_hosts(const Hostlist &hosts)
{
    if (hosts.size() != nodes_.size())
        throw Error(EINVAL, "{} host names for {} ranks", hosts.size(), nodes_.size());
    auto names = std::make_shared<const std::vector<std::string>>(hosts.begin(), hosts.end());
    for (size_t i = 0; i < nodes_.size(); i++)
        nodes_[i].host = std::shared_ptr<const std::string>(names, &(*names)[i]);
}

bool ResourceSet::has_property(uint32_t rank, std::string_view name) const noexcept
{
    auto found = properties_.find(name);
    return found != properties_.end() && found->second.contains(rank);
}

Expected<void> ResourceSet::add_property(std::string_view name, const Idset &ranks)
{
    if (name.empty() || name.find_first_of("!&'\"^`|()") != std::string_view::npos)
        return fail(EINVAL, "property \"{}\": a name must not be empty or hold any of ! & ' \" ^ ` | ( )",
                    quoted(name, 80));
    for (uint32_t rank : ranks)
        if (!find(rank))
            return fail(EINVAL, "property \"{}\": rank {} is not in the resource set", quoted(name, 80),
                        rank);
    if (!ranks.empty())
        properties_[std::string(name)] |= ranks;
    return {};
}

void ResourceSet::remove_property(std::string_view name)
{
    if (auto found = properties_.find(name); found != properties_.end())
        properties_.erase(found);
}

void ResourceSet::drop_instance_local_properties()
{
    std::erase_if(properties_, [](const auto &item) { return item.first.starts_with('+'); });
}

} // namespace flux
