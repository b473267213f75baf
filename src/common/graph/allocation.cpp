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

    void emit_everything(VertexId v, uint16_t depth)
    {
        for (VertexId child : graph_.children(v))
            if (graph_[child].subsystem == Graph::containment)
                emit_everything(child, uint16_t(depth + 1));
        out_.push_back({v, graph_[v].size, depth, true, false, true});
    }

    // True when something exclusive was written.
    bool emit(VertexId v, uint16_t depth, bool covered)
    {
        Entry &entry = entries_.find(v)->second;
        std::ranges::sort(entry.below); // the order of the children in the graph
        bool whole = entry.exclusive && !entry.part;
        bool any = entry.exclusive;
        for (VertexId child : graph_.children(v))
            if (entry.everything && graph_[child].subsystem == Graph::containment)
                emit_everything(child, uint16_t(depth + 1));
        for (VertexId child : entry.below)
            if (!entry.everything || graph_[child].subsystem != Graph::containment)
                any = emit(child, uint16_t(depth + 1), covered || whole) || any;
        if (any)
            out_.push_back({v, entry.amount, depth, entry.exclusive, entry.part, covered});
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

std::vector<Pick> picks_of(const Allocation &allocation, const std::function<bool(VertexId)> &keep)
{
    std::vector<Pick> out;
    for (const auto &one : allocation)
        if (one.exclusive && (!keep || keep(one.vertex)))
            out.push_back({one.vertex, one.amount, true, one.part});
    return out;
}

} // namespace flux::graph
