#include "common/graph/first_order.hpp"

#include <algorithm>
#include <array>
#include <tuple>

#include "common/base/text.hpp"

namespace flux::graph {

Expected<void> PruneFilters::add(std::string_view text)
{
    for (std::string_view one : split_words(text, ",")) {
        size_t colon = one.find(':');
        if (colon == one.npos || colon == 0 || colon + 1 == one.size())
            return fail(EINVAL, "prune filter \"{}\": expected HIGH-LEVEL-TYPE:LOW-LEVEL-TYPE", one);
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
    constexpr std::array<std::string_view, 7> order {"core", "socket",       "gpu", "node",
                                                     "rack", "storage_node", "ssd"}; // then those of the graph
    std::tuple<size_t, TypeId> last {0, 0}; // the type 0 is none
    for (const auto &[above, below] : filters_)
        if ((above == "ALL" || above == graph.type_name(high)) && below != graph.type_name(high)) {
            size_t place = size_t(std::ranges::find(order, below) - order.begin());
            last = std::max(last, {place, graph.find_type(below).value_or(unknown)});
        }
    return last == std::tuple {size_t(0), TypeId(0)} ? std::nullopt : std::optional(std::get<TypeId>(last));
}

const FirstOrder::Counted &FirstOrder::counted(const Graph &graph, TypeId high)
{
    auto [known, added] = counted_.try_emplace(high);
    if (added)
        if (auto low = filters_.last(graph, high))
            known->second = {true, *low == PruneFilters::unknown ? -1 : graph.column(*low)};
    return known->second;
}

void FirstOrder::pass(const Graph &graph, VertexId v, int64_t left)
{
    VertexId above = graph[v].parent;
    Parent &parent = parents_[above];
    auto [known, added] = left_.try_emplace(v, left);
    if (!added) {
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

// Of a job that is to begin later others may have it all now.
int64_t FirstOrder::free_now(const Graph &graph, const Schedule &schedule, VertexId v, int column, Time now)
{
    for (VertexId at = v; at != no_vertex; at = graph[at].parent)
        if (schedule.taken(at))
            return 0;
    return column < 0 ? 0 : schedule.free_below(v, uint32_t(column), {now, now + 1, true});
}

void FirstOrder::pass_everything_below(const Graph &graph, const Schedule &schedule, VertexId v, Time now)
{
    for (VertexId child : graph.children(v))
        if (graph[child].child_count > 0) {
            if (auto [any, column] = counted(graph, graph[child].type); any)
                pass(graph, child, free_now(graph, schedule, child, column, now));
            pass_everything_below(graph, schedule, child, now);
        }
}

void FirstOrder::passed(const Graph &graph, const Schedule &schedule, const Allocation &allocation, Time start, Time now)
{
    for (size_t i = 0; i < allocation.size(); i++) {
        const Assigned &one = allocation[i];
        VertexId v = one.vertex;
        if (graph[v].child_count == 0)
            continue;
        if (one.everything)
            pass_everything_below(graph, schedule, v, now);
        auto [any, column] = counted(graph, graph[v].type);
        if (!any || graph[v].parent == no_vertex)
            continue;
        if (column < 0 || start > now || one.everything || !(one.exclusive || one.covered)) {
            pass(graph, v, free_now(graph, schedule, v, column, now));
            continue;
        }
        // It is its own, and only what it was given below counts: that the schedule does not know.
        int64_t left = schedule.free_below(v, uint32_t(column), {now, now + 1, true});
        for (size_t below = i; below-- > 0 && allocation[below].depth > one.depth;)
            if (graph.column(graph[allocation[below].vertex].type) == column)
                left -= allocation[below].amount;
        pass(graph, v, left);
    }
}

} // namespace flux::graph
