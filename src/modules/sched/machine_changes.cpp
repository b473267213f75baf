// What administrators change of a machine beside what the resource module tells.
#include "common/graph/changes.hpp"
#include "common/graph/readers.hpp"
#include "modules/sched/machine.hpp"

namespace flux {

using graph::VertexId;

Expected<void> Machine::set_status(std::string_view path, bool up)
{
    const auto &graph = matcher_->graph();
    auto v = graph.find_path(path);
    if (!v)
        return fail(ENOENT, "there is no vertex {} in the resource graph", path.substr(0, 200));
    bool ranked = graph.is_host(graph[*v].type) && graph[*v].rank >= 0;
    auto rank = uint32_t(graph[*v].rank);
    bool unreachable = ranked && told_down_.contains(rank);
    if (up && unreachable && !held_down_.contains(*v))
        return fail(EINVAL,
                    "{} cannot be set up: its broker is down, or it is drained (flux resource status)",
                    path.substr(0, 200));
    changes_++;
    if (up)
        held_down_.erase(*v);
    else
        held_down_.insert(*v);
    matcher_->set_down(*v, !up || unreachable);
    if (ranked && up && !unreachable && all_.find(rank))
        up_.add(rank);
    else if (ranked)
        up_.remove(rank);
    return {};
}

ResourceSet Machine::down() const
{
    ResourceSet out = all_.without(up_);
    Shapes shapes;
    std::vector<VertexId> below(held_down_.begin(), held_down_.end());
    while (!below.empty()) {
        VertexId at = below.back();
        below.pop_back();
        if (host_of(at) != graph::no_vertex) {
            add_host_resources(at, shapes);
            continue;
        }
        for (VertexId child : matcher_->graph().children(at))
            below.push_back(child);
    }
    if (!shapes.empty())
        out.unite(set_of(shapes));
    return out;
}

Expected<void> Machine::check_hosts(const std::vector<VertexId> &added, uint32_t brokers) const
{
    const auto &graph = matcher_->graph();
    for (VertexId v : added) {
        if (!graph.is_host(graph[v].type) || graph[v].rank < 0)
            continue;
        auto rank = uint32_t(graph[v].rank);
        if (rank >= std::min(brokers, uint32_t(ResourceSet::max_ranks)))
            return fail(EINVAL, "{}: this instance has no broker of rank {}", graph.path(v), rank);
        for (VertexId other : graph.of_rank(int(rank)))
            if (other != v)
                return fail(EINVAL, "{}: rank {} is {} already", graph.path(v), rank, graph.path(other));
    }
    return {};
}

// R of the instance gets what was added, so that jobs which are given it are told so.
void Machine::adopt_hosts(const std::vector<VertexId> &added)
{
    const auto &graph = matcher_->graph();
    whole_.clear();
    Shapes shapes;
    for (VertexId v : added)
        add_host_resources(v, shapes);
    for (const auto &[rank, taken] : shapes) {
        auto shape = taken.shape();
        VertexId host = graph.of_rank(int(rank))[0];
        bool is_new = !all_.find(rank);
        all_.merge_node(rank, graph.name(host), shape->cores, shape->gpus);
        if (!is_new)
            continue;
        for (const auto &[name, value] : graph.properties(host))
            (void)all_.add_property(name, Idset {rank});
        if (graph[host].down)
            held_down_.insert(host);
        bool down = graph[host].down || told_down_.contains(rank);
        matcher_->set_down(host, down);
        if (!down)
            up_.add(rank);
    }
}

// Nodes that the graph does not have stand where they would if it had been made with them.
Idset Machine::expand(const ResourceSet &nodes)
{
    adopt_properties(nodes); // of those that are known, too
    Idset fresh = nodes.ranks() - known_;
    known_ |= fresh;
    const auto &graph = matcher_->graph();
    if (fresh.empty() || graph.empty())
        return {};
    Idset missing;
    for (uint32_t rank : fresh)
        if (graph.of_rank(int(rank)).empty())
            missing.add(rank);
    auto build = [&](graph::Graph &growing) {
        graph::add_nodes(growing, growing.root(), nodes.subset(missing));
        growing.sort_by_rank(growing.root());
    };
    if (!missing.empty())
        matcher_->grow({graph.root()}, build);
    whole_.clear();
    changes_++;
    ResourceSet added = nodes.subset(fresh - all_.ranks());
    added.set_scheduling({});
    added.set_starttime(all_.starttime());
    added.set_expiration(all_.expiration());
    all_.unite(added);
    add_properties(nodes.subset(fresh).properties());
    set_up(fresh, false);
    return fresh;
}

std::vector<std::pair<int64_t, Error>> Machine::take_left_out(const Idset &ranks)
{
    std::vector<std::pair<int64_t, Error>> refused;
    for (auto at = left_out_.begin(); at != left_out_.end();) {
        auto &[id, left_out] = *at++;
        ResourceSet part = left_out.subset(ranks);
        part.intersect(all_);
        if (part.empty())
            continue;
        auto picks = graph::picks_of(matcher_->graph(), part);
        auto taken = !picks               ? std::unexpected(picks.error())
                     : matcher_->find(id) ? matcher_->extend(id, *picks)
                                          : take(id, part);
        if (!taken)
            refused.emplace_back(id, taken.error());
        left_out.subtract(part);
        if (left_out.empty())
            left_out_.erase(id);
    }
    return refused;
}

void Machine::add_properties(const ResourceSet::Properties &properties)
{
    for (const auto &[name, ranks] : properties)
        for (uint32_t rank : ranks)
            for (VertexId host : matcher_->graph().of_rank(int(rank)))
                if (!matcher_->graph().property(host, name))
                    matcher_->set_property(host, name, "");
    for (const auto &[name, ranks] : properties)
        (void)all_.add_property(name, ranks & all_.ranks());
    changes_++;
}

void Machine::remove_properties(const ResourceSet::Properties &properties)
{
    for (const auto &[name, ranks] : properties) {
        for (uint32_t rank : ranks)
            for (VertexId host : matcher_->graph().of_rank(int(rank)))
                matcher_->remove_property(host, name);
        all_.remove_property(name, ranks);
    }
    changes_++;
}

void Machine::adopt_properties(const ResourceSet &nodes)
{
    ResourceSet::Properties gone;
    for (const auto &[name, ranks] : all_.properties()) {
        auto found = nodes.properties().find(name);
        Idset theirs = ranks & nodes.ranks();
        gone[name] = found == nodes.properties().end() ? theirs : theirs - found->second;
    }
    remove_properties(gone);
    add_properties(nodes.properties());
}

Expected<void> Machine::add_subgraph(const Json &jgf, uint32_t brokers)
{
    auto added = graph::add_subgraph(*matcher_, jgf);
    if (!added)
        return std::unexpected(added.error());
    if (auto valid = check_hosts(*added, brokers); !valid) {
        for (VertexId v : *added)
            if (VertexId parent = matcher_->graph()[v].parent;
                parent == graph::no_vertex || parent < added->front())
                matcher_->shrink(v);
        return valid;
    }
    changes_++;
    adopt_hosts(*added);
    return {};
}

Expected<void> Machine::remove_subgraph(std::string_view path)
{
    const auto &graph = matcher_->graph();
    auto targets = graph::removable(graph, path);
    if (!targets)
        return std::unexpected(targets.error());
    for (VertexId v : *targets)
        for (int64_t id : matcher_->jobs_touching(v))
            if (!matcher_->find(id)->reserved)
                return fail(EBUSY, "{} is in use by job {}", graph.path(v), id);
    changes_++;
    for (VertexId v : *targets) {
        Shapes shapes;
        Idset ranks;
        if (VertexId host = host_of(v); host != graph::no_vertex && host != v)
            add_host_resources(v, shapes);
        else
            ranks = ranks_with({v});
        all_.subtract(set_of(shapes));
        all_ = all_.without(ranks);
        up_ -= ranks;
        matcher_->shrink(v);
        whole_.clear();
        std::erase_if(held_down_, [&](VertexId held) { return graph[held].removed; });
    }
    return {};
}

} // namespace flux
