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
