#include "common/job/resource_set.hpp"

#include <algorithm>
#include <deque>
#include <numeric>
#include <unordered_map>

#include "common/base/quote.hpp"

namespace flux {

namespace {

using NodeShape = ResourceSet::NodeShape;
using Run = ResourceSet::Run;
using Shape = ResourceSet::Shape;

// Results for pairs of shapes: equal ones are combined once, and go on sharing.
template <class Combine>
class ShapeCombiner {
public:
    explicit ShapeCombiner(Combine combine) : combine_(combine) {}
    const Shape &operator()(const Shape &a, const Shape &b)
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
    std::unordered_map<std::pair<const NodeShape *, const NodeShape *>, Shape, Hash> results_;
    std::vector<Shape> keys_;
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

// Both sets' runs side by side: visit(from, end, mine, theirs) for each stretch of ranks in which neither
// changes; null for the set that has none of them. Until visit returns false.
template <class Visit>
void sweep(std::span<const Run> mine, std::span<const Run> theirs, Visit visit)
{
    auto a = mine.begin(), b = theirs.begin();
    uint32_t from = 0;
    while (a != mine.end() || b != theirs.end()) {
        auto next = [&](auto run, auto end) {
            return run == end ? UINT32_MAX : std::max(run->first, from);
        };
        uint32_t first_a = next(a, mine.end()), first_b = next(b, theirs.end());
        from = std::min(first_a, first_b);
        bool has_a = first_a == from, has_b = first_b == from;
        uint32_t end = std::min(has_a ? a->end() : first_a, has_b ? b->end() : first_b);
        if (!visit(from, end, has_a ? &*a : nullptr, has_b ? &*b : nullptr))
            return;
        a += has_a && a->end() == end;
        b += has_b && b->end() == end;
        from = end;
    }
}

// The ranks from `first` to `end` - 1 of a run.
Run part_of(const Run &run, uint32_t first, uint32_t end)
{
    Run part = run;
    part.host += first - run.first;
    part.first = first;
    part.count = end - first;
    return part;
}

auto run_after(std::span<const Run> runs, uint32_t rank)
{
    return std::ranges::upper_bound(runs, rank, {}, &Run::first);
}

class NodeTarget : public ConstraintTarget {
public:
    NodeTarget(const ResourceSet &set, const ResourceSet::Node &node) : set_(set), node_(node) {}
    bool has_property(std::string_view name) const override { return set_.has_property(node_.rank, name); }
    std::string_view hostname() const override
    {
        if (host_.empty())
            host_ = node_.hostname();
        return host_;
    }
    uint32_t rank() const override { return node_.rank; }

private:
    const ResourceSet &set_;
    ResourceSet::Node node_;
    mutable std::string host_; // when somebody asks
};

} // namespace

ResourceSet::Node ResourceSet::Nodes::operator[](size_t index) const
{
    auto after = std::ranges::upper_bound(runs_, index, {}, &Run::index);
    const Run &run = *(after - 1);
    return {run.first + uint32_t(index - run.index), &run};
}

std::optional<ResourceSet::Node> ResourceSet::find(uint32_t rank) const noexcept
{
    std::span<const Run> runs = runs_;
    auto after = run_after(runs, rank);
    if (after == runs.begin() || (after - 1)->end() <= rank)
        return std::nullopt;
    return Node {rank, &*(after - 1)};
}

size_t ResourceSet::ncores() const noexcept
{
    size_t count = 0;
    for (const auto &run : runs_)
        count += run.count * run.shape->cores.count();
    return count;
}

size_t ResourceSet::ngpus() const noexcept
{
    size_t count = 0;
    for (const auto &run : runs_)
        count += run.count * run.shape->gpus.count();
    return count;
}

Idset ResourceSet::ranks() const
{
    Idset out;
    for (const auto &run : runs_)
        out.add(run.first, run.end() - 1);
    return out;
}

Hostlist ResourceSet::nodelist() const
{
    Hostlist out;
    for (const auto &run : runs_)
        if (run.hosts)
            out.append(*run.hosts, run.host, run.count);
    return out;
}

Idset ResourceSet::ranks_of(const Hostlist &hosts) const
{
    Idset out;
    HostIndex wanted(hosts);
    for (const auto &node : nodes())
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
    Shape shape;
    if (!runs_.empty() && runs_.back().shape->cores == cores && runs_.back().shape->gpus == gpus)
        shape = runs_.back().shape;
    else
        shape = std::make_shared<const NodeShape>(NodeShape {cores, gpus});
    Run run {rank, 1, std::move(shape), nullptr, 0, 0};
    if (!host.empty() && !find(rank)) {
        if (!names_ || names_->size() >= Hostlist::max_hosts)
            names_ = std::make_shared<Hostlist>();
        run.host = uint32_t(names_->size());
        names_->append_name(host);
        run.hosts = names_;
    }
    merge(std::move(run));
}

void ResourceSet::merge_node(const Node &from, Shape shape)
{
    Run run = part_of(*from.run, from.rank, from.rank + 1);
    run.shape = std::move(shape);
    merge(std::move(run));
}

void ResourceSet::merge(Run run)
{
    if (run.first > Idset::max_id)
        throw Error(E2BIG, "rank {} is over the limit of {}", run.first, Idset::max_id);
    if (nnodes() >= max_ranks && !find(run.first))
        throw Error(E2BIG, "resource set of more than {} ranks", max_ranks);
    if (runs_.empty() || runs_.back().end() <= run.first) {
        append(runs_, std::move(run));
        return;
    }
    ResourceSet one;
    append(one.runs_, std::move(run));
    unite(one);
}

// Behind all others; as part of the last one where it continues that.
void ResourceSet::append(std::vector<Run> &runs, Run run)
{
    run.index = 0;
    if (!runs.empty()) {
        Run &last = runs.back();
        if (last.end() == run.first && last.hosts == run.hosts &&
            (!run.hosts || last.host + last.count == run.host) &&
            (last.shape == run.shape || *last.shape == *run.shape)) {
            last.count += run.count;
            return;
        }
        run.index = last.index + last.count;
    }
    runs.push_back(std::move(run));
}

// combine(mine, theirs) gets nullptr for ranks that one side lacks and returns the shape to keep, or null.
template <class Combine>
void ResourceSet::combine(const ResourceSet &other, Combine combine)
{
    std::vector<Run> out;
    out.reserve(runs_.size() + other.runs_.size());
    sweep(runs_, other.runs_, [&](uint32_t first, uint32_t end, const Run *mine, const Run *theirs) {
        Shape shape = combine(mine ? &mine->shape : nullptr, theirs ? &theirs->shape : nullptr);
        if (shape && !shape->empty()) {
            Run run = part_of(mine ? *mine : *theirs, first, end);
            run.shape = std::move(shape);
            append(out, std::move(run));
        }
        return true;
    });
    runs_ = std::move(out);
}

ResourceSet &ResourceSet::unite(const ResourceSet &other)
{
    ShapeCombiner unite(unite_shapes);
    combine(other, [&](const Shape *mine, const Shape *theirs) {
        if (!mine || !theirs || *mine == *theirs)
            return mine ? *mine : *theirs;
        return unite(*mine, *theirs);
    });
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
    combine(other, [&](const Shape *mine, const Shape *theirs) {
        if (!mine || !theirs)
            return mine ? *mine : Shape();
        return *mine == *theirs ? Shape() : subtract(*mine, *theirs);
    });
    restrict_properties();
    return *this;
}

ResourceSet &ResourceSet::intersect(const ResourceSet &other)
{
    ShapeCombiner intersect(intersect_shapes);
    combine(other, [&](const Shape *mine, const Shape *theirs) {
        if (!mine || !theirs)
            return Shape();
        return *mine == *theirs ? *mine : intersect(*mine, *theirs);
    });
    restrict_properties();
    return *this;
}

bool ResourceSet::contains(const ResourceSet &other) const
{
    bool all = true;
    sweep(runs_, other.runs_, [&](uint32_t, uint32_t, const Run *mine, const Run *theirs) {
        all = !theirs || (mine && (mine->shape == theirs->shape ||
                                   (mine->shape->cores.contains(theirs->shape->cores) &&
                                    mine->shape->gpus.contains(theirs->shape->gpus))));
        return all;
    });
    return all;
}

bool ResourceSet::intersects(const ResourceSet &other) const
{
    bool any = false;
    sweep(runs_, other.runs_, [&](uint32_t, uint32_t, const Run *mine, const Run *theirs) {
        any = mine && theirs &&
              (mine->shape->cores.intersects(theirs->shape->cores) ||
               mine->shape->gpus.intersects(theirs->shape->gpus));
        return !any;
    });
    return any;
}

bool ResourceSet::same_resources(const ResourceSet &other) const
{
    bool same = true;
    sweep(runs_, other.runs_, [&](uint32_t, uint32_t, const Run *mine, const Run *theirs) {
        same = mine && theirs && (mine->shape == theirs->shape || *mine->shape == *theirs->shape);
        return same;
    });
    return same;
}

ResourceSet ResourceSet::subset(const Idset &ranks) const
{
    ResourceSet out;
    out.starttime_ = starttime_;
    out.expiration_ = expiration_;
    out.nslots_ = nslots_;
    out.scheduling_ = scheduling_;
    auto wanted = ranks.runs().begin(), end = ranks.runs().end();
    for (const auto &run : runs_) {
        while (wanted != end && wanted->last < run.first)
            wanted++;
        for (auto part = wanted; part != end && part->first < run.end(); part++)
            append(out.runs_,
                   part_of(run, std::max(run.first, part->first), std::min(run.end(), part->last + 1)));
    }
    if (!out.empty())
        out.properties_ = properties_;
    out.restrict_properties();
    return out;
}

ResourceSet ResourceSet::without(const Idset &ranks) const
{
    return subset(this->ranks() - ranks);
}

ResourceSet ResourceSet::matching(const ResourceConstraint &constraint) const
{
    Idset matched;
    for (const auto &node : nodes())
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

// new_ranks[i] becomes the rank of the i-th node.
void ResourceSet::renumber(const std::vector<uint32_t> &new_ranks)
{
    for (auto &[name, ranks] : properties_) {
        Idset renamed;
        for (uint32_t rank : ranks) {
            const Run &run = *find(rank)->run;
            renamed.add(new_ranks[run.index + (rank - run.first)]);
        }
        ranks = std::move(renamed);
    }
    std::vector<Run> nodes;
    nodes.reserve(new_ranks.size());
    for (const auto &run : runs_)
        for (uint32_t rank = run.first; rank < run.end(); rank++) {
            nodes.push_back(part_of(run, rank, rank + 1));
            nodes.back().first = new_ranks[nodes.size() - 1];
        }
    std::ranges::sort(nodes, {}, &Run::first);
    runs_.clear();
    for (auto &node : nodes)
        append(runs_, std::move(node));
}

void ResourceSet::remap()
{
    std::vector<uint32_t> new_ranks(nnodes());
    std::iota(new_ranks.begin(), new_ranks.end(), 0);
    renumber(new_ranks);
}

Expected<void> ResourceSet::rerank(const Hostlist &hosts)
{
    std::unordered_map<std::string, std::deque<uint32_t>> places; // a host may stand there more than once
    uint32_t index = 0;
    for (auto host : hosts)
        places[std::move(host)].push_back(index++);
    std::vector<uint32_t> new_ranks;
    for (const auto &node : nodes()) {
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
    if (hosts.size() != nnodes())
        throw Error(EINVAL, "{} host names for {} ranks", hosts.size(), nnodes());
    auto names = std::make_shared<const Hostlist>(hosts);
    std::vector<Run> runs = std::move(runs_);
    runs_.clear();
    for (auto &run : runs) {
        run.hosts = names;
        run.host = uint32_t(run.index);
        append(runs_, std::move(run));
    }
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

void ResourceSet::remove_property(std::string_view name, const Idset &ranks)
{
    auto found = properties_.find(name);
    if (found == properties_.end())
        return;
    found->second -= ranks;
    if (found->second.empty())
        properties_.erase(found);
}

void ResourceSet::set_properties(Properties properties)
{
    properties_ = std::move(properties);
    restrict_properties();
}

void ResourceSet::drop_instance_local_properties()
{
    std::erase_if(properties_, [](const auto &item) { return item.first.starts_with('+'); });
}

} // namespace flux
