#include "common/graph/allocation.hpp"

#include <algorithm>
#include <unordered_map>

namespace flux::graph {

namespace {

class Builder {
public:
    explicit Builder(const Graph &graph) : graph_(graph) {}

    void add(const Pick &pick)
    {
        Entry &entry = insert(pick.vertex);
        if (pick.part) {
            entry.amount = entry.part ? entry.amount + pick.amount : pick.amount;
            entry.part = true;
        } else {
            entry.amount = pick.amount;
        }
        entry.exclusive = entry.exclusive || pick.exclusive;
        entry.everything = entry.everything || pick.everything;
    }

    void make_nodes_exclusive()
    {
        for (auto &[v, entry] : entries_)
            if (graph_[v].type == graph_.node_type())
                entry.exclusive = entry.everything = true;
    }

    Allocation build()
    {
        std::ranges::sort(roots_);
        for (VertexId root : roots_)
            emit(root, 0, false);
        return std::move(out_);
    }

private:
    struct Entry {
        int64_t amount;
        bool exclusive = false;
        bool part = false;
        bool everything = false; // that is below it, too
        std::vector<VertexId> below;
    };

    Entry &insert(VertexId v)
    {
        auto [at, added] = entries_.try_emplace(v);
        if (added) {
            at->second.amount = graph_[v].size;
            VertexId parent = graph_[v].parent;
            if (parent == no_vertex) {
                roots_.push_back(v);
            } else {
                insert(parent).below.push_back(v);
                return entries_.find(v)->second;
            }
        }
        return at->second;
    }

    // True when something exclusive was written.
    bool emit(VertexId v, uint16_t depth, bool covered)
    {
        Entry &entry = entries_.find(v)->second;
        std::ranges::sort(entry.below); // the order of the children in the graph
        bool whole = entry.exclusive && !entry.part;
        bool any = entry.exclusive;
        for (VertexId child : entry.below)
            if (!entry.everything || graph_[child].subsystem != Graph::containment)
                any = emit(child, uint16_t(depth + 1), covered || whole) || any;
        if (any)
            out_.push_back({v, entry.amount, depth, entry.exclusive, entry.part, covered, entry.everything});
        return any;
    }

    const Graph &graph_;
    std::unordered_map<VertexId, Entry> entries_;
    std::vector<VertexId> roots_;
    Allocation out_;
};

} // namespace

Allocation make_allocation(const Graph &graph, const std::vector<Pick> &picks, bool node_exclusive)
{
    Builder builder(graph);
    for (const auto &pick : picks)
        builder.add(pick);
    if (node_exclusive)
        builder.make_nodes_exclusive();
    return builder.build();
}

namespace {

void list_everything(const Graph &graph, VertexId v, uint16_t depth, Allocation &out)
{
    for (VertexId child : graph.children(v))
        if (graph[child].subsystem == Graph::containment) {
            list_everything(graph, child, uint16_t(depth + 1), out);
            out.push_back({child, graph[child].size, depth, true, false, true});
        }
}

} // namespace

Allocation expanded(const Graph &graph, const Allocation &allocation)
{
    Allocation out;
    out.reserve(allocation.size());
    for (const auto &one : allocation) {
        if (one.everything) {
            size_t place = out.size(); // before what is below it in other subsystems
            while (place > 0 && out[place - 1].depth > one.depth)
                place--;
            Allocation below;
            list_everything(graph, one.vertex, uint16_t(one.depth + 1), below);
            out.insert(out.begin() + long(place), below.begin(), below.end());
        }
        out.push_back(one);
        out.back().everything = false;
    }
    return out;
}

std::vector<Pick> picks_of(const Graph &graph, const Allocation &allocation, const std::function<bool(VertexId)> &keep)
{
    std::vector<Pick> out;
    for (const auto &one : allocation) {
        if (!one.exclusive)
            continue;
        Allocation below;
        if (one.everything)
            list_everything(graph, one.vertex, 0, below);
        bool all = keep(one.vertex) && std::ranges::all_of(below, [&](const Assigned &part) { return keep(part.vertex); });
        for (const auto &part : below)
            if (!all && keep(part.vertex))
                out.push_back({part.vertex, part.amount, true, false});
        if (keep(one.vertex))
            out.push_back({one.vertex, one.amount, true, one.part, one.everything && all});
    }
    return out;
}

} // namespace flux::graph
