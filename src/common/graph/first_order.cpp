#include "common/graph/first_order.hpp"

#include <algorithm>
#include <utility>

#include "common/base/text.hpp"

namespace flux::graph {

Expected<void> PruneFilters::add(std::string_view text)
{
    for (std::string_view one : split_words(text, ",")) {
        size_t colon = one.find(':');
        if (colon == one.npos || colon == 0 || colon + 1 == one.size())
            return fail(EINVAL, "\"{}\" is not HIGH-LEVEL-TYPE:LOW-LEVEL-TYPE", one);
        filters_.push_back({std::string(one.substr(0, colon)), std::string(one.substr(colon + 1))});
    }
    return {};
}

PruneFilters PruneFilters::usual()
{
    PruneFilters out;
    out.filters_ = {{"ALL", "core"}, {"ALL", "node"}};
    return out;
}

std::optional<TypeId> PruneFilters::last(const Graph &graph, TypeId high) const
{
    std::optional<TypeId> last;
    for (const auto &[above, below] : filters_)
        if ((above == "ALL" || above == graph.type_name(high)) && below != graph.type_name(high))
            last = std::max(last.value_or(0), graph.find_type(below).value_or(unknown));
    return last;
}

const FirstOrder::Counted &FirstOrder::counted(const Graph &graph, TypeId high)
{
    auto [known, added] = counted_.try_emplace(high);
    if (added)
        if (auto low = filters_.last(graph, high))
            known->second = {true, *low == PruneFilters::unknown ? -1 : graph.column(*low)};
    return known->second;
}

void FirstOrder::pass(const Graph &graph, VertexId v)
{
    VertexId above = graph[v].parent;
    int column = counted(graph, graph[v].type).column;
    int64_t left = column < 0 ? 0 : graph.total(v)[size_t(column)];
    if (auto given = given_.find(v); given != given_.end())
        left -= given->second;
    Parent &parent = parents_[above];
    auto [known, added] = left_.try_emplace(v, left);
    if (!added) {
        if (known->second == left)
            return;
        parent.passed.erase({known->second, v});
        known->second = left;
    }
    parent.passed.insert({left, v});
    auto children = graph.children(above);
    parent.end = parent.first_passed(children.size());
    parent.count = children.size();
    while (parent.end > 0 && left_.contains(children[parent.end - 1]))
        parent.end--;
}

// `visit` gets each inner vertex on the way of a job and how much of its counted type the job was given below
// it: what is listed, and where everything was given, all.
template <class Visit>
void FirstOrder::visit_inner(const Graph &graph, const Allocation &allocation, Visit &&visit)
{
    std::vector<std::vector<int64_t>> sums; // by depth, of what is below the vertex there that comes next
    auto below_everything = [&](auto &self, VertexId v) -> void {
        for (VertexId child : graph.children(v))
            if (graph[child].child_count > 0) {
                if (auto [any, column] = counted(graph, graph[child].type); any)
                    visit(child, column < 0 ? 0 : graph.total(child)[size_t(column)]);
                self(self, child);
            }
    };
    for (const auto &one : allocation) {
        while (sums.size() < one.depth + size_t(2))
            sums.emplace_back(graph.tracked_count(), 0);
        auto &below = sums[one.depth + size_t(1)];
        auto &above = sums[one.depth];
        const Vertex &vertex = graph[one.vertex];
        if (one.everything && vertex.child_count > 0) {
            std::ranges::copy(graph.total(one.vertex), below.begin());
            below_everything(below_everything, one.vertex);
        }
        if (vertex.child_count > 0 && vertex.parent != no_vertex)
            if (auto [any, column] = counted(graph, vertex.type); any)
                visit(one.vertex, column < 0 ? 0 : below[size_t(column)]);
        for (size_t i = 0; i < below.size(); i++)
            above[i] += std::exchange(below[i], 0);
        if (int column = graph.column(vertex.type); one.exclusive && column >= 0)
            above[size_t(column)] += one.amount;
    }
}

void FirstOrder::use(const Graph &graph, const Allocation &allocation, bool add)
{
    visit_inner(graph, allocation, [&](VertexId v, int64_t amount) {
        if (amount == 0)
            return;
        int64_t &given = given_[v];
        given += add ? amount : -amount;
        FLUX_ASSERT(given >= 0);
        if (given == 0)
            given_.erase(v);
    });
}

void FirstOrder::passed(const Graph &graph, const Allocation &allocation)
{
    visit_inner(graph, allocation, [&](VertexId v, int64_t) { pass(graph, v); });
}

} // namespace flux::graph
