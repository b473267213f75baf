#include "common/graph/request.hpp"

#include <algorithm>
#include <cmath>

namespace flux::graph {

namespace {

int64_t bounded(uint64_t count)
{
    return int64_t(std::min<uint64_t>(count, Count::max_value));
}

void add_needs(Needs &needs, const Needs &more, int64_t times)
{
    for (auto [column, amount] : more) {
        int64_t product;
        if (__builtin_mul_overflow(amount, times, &product))
            product = int64_t(Count::max_value);
        auto found = std::ranges::find(needs, column, &std::pair<uint32_t, int64_t>::first);
        if (found == needs.end())
            needs.emplace_back(column, product);
        else if (__builtin_add_overflow(found->second, product, &found->second))
            found->second = int64_t(Count::max_value);
    }
}

bool mentions_node(const std::vector<Request> &list, TypeId node)
{
    return std::ranges::any_of(
        list, [&](const Request &one) { return one.type == node || mentions_node(one.with, node); });
}

// What alternatives (xor_slots) need is left out of the sums, which must be a lower bound.
void compute_needs(Request &request, const Graph &graph)
{
    for (auto &child : request.with) {
        compute_needs(child, graph);
        if (child.kind != Request::Kind::xor_slot)
            add_needs(request.below, child.all, 1);
    }
    // What it supplies in another subsystem is not below it.
    if (request.kind == Request::Kind::resource && graph.supplies(request.type))
        request.below = {};
    // A lower bound of what is taken from the totals: of what may be shared, or comes in other units, one is
    // enough; the count of a pool is in units, of which one vertex has many.
    bool resource = request.kind == Request::Kind::resource;
    bool inexact = resource && (request.exclusive == false || !graph.has_unit(request.type, request.unit));
    int64_t count = inexact ? 1 : bounded(request.count.min());
    // What other subsystems have may come from elsewhere than below.
    int column = resource && graph.only_contained(request.type) ? graph.column(request.type) : -1;
    request.one = request.below;
    if (column >= 0)
        add_needs(request.one, {{uint32_t(column), 1}}, 1);
    request.all = {};
    add_needs(request.all, request.below, resource && graph.pooled(request.type) ? 1 : count);
    if (column >= 0)
        add_needs(request.all, {{uint32_t(column), count}}, 1);
    if (request.kind == Request::Kind::slot) {
        bool single =
            request.with.size() == 1 && request.with[0].with.empty() && request.with[0].count.max() == 1;
        request.colocated =
            !single && !mentions_node(request.with, graph.node_type()) &&
            std::ranges::all_of(request.with, [&](const Request &child) {
                return child.kind == Request::Kind::resource && graph.only_below_nodes(child.type);
            });
    }
}

Request compile(const ResourceVertex &vertex, const Graph &graph)
{
    Request out;
    out.count = vertex.count;
    out.unit = vertex.unit;
    out.label = vertex.label;
    out.exclusive = vertex.exclusive;
    if (vertex.type == "slot") {
        out.kind = Request::Kind::slot;
    } else if (vertex.type == "xor_slot") {
        out.kind = Request::Kind::xor_slot;
    } else {
        auto type = graph.find_type(vertex.type);
        if (!type)
            throw Error(EINVAL,
                        "Value of \"type\" must be a resource type known to fluxion: \"{}\" does not occur "
                        "in the graph",
                        vertex.type);
        out.type = *type;
    }
    for (const auto &child : vertex.with)
        out.with.push_back(compile(child, graph));
    return out;
}

bool has_rivals(const std::vector<Request> &list)
{
    size_t slots = 0;
    for (size_t i = 0; i < list.size(); i++) {
        slots += list[i].kind != Request::Kind::resource;
        for (size_t j = 0; j < i; j++)
            if (list[i].kind == Request::Kind::resource && list[i].kind == list[j].kind &&
                list[i].type == list[j].type)
                return true;
        if (has_rivals(list[i].with))
            return true;
    }
    return slots > 1 || (slots > 0 && slots < list.size());
}

void finish(JobRequest &request, const Graph &graph)
{
    request.needs = {};
    for (auto &one : request.resources) {
        compute_needs(one, graph);
        if (one.kind != Request::Kind::xor_slot)
            add_needs(request.needs, one.all, 1);
    }
    request.rivals = has_rivals(request.resources);
}

// All lists that choose one of the xor_slots standing beside each other, here and below.
std::vector<std::vector<Request>> variants_of(const std::vector<Request> &list)
{
    std::vector<std::vector<Request>> out {{}};
    std::vector<std::vector<Request>> choices; // of the xor_slots of this list: one of them is taken
    for (const auto &one : list) {
        std::vector<Request> alternatives;
        for (auto &with : variants_of(one.with)) {
            Request copy = one;
            copy.with = std::move(with);
            alternatives.push_back(std::move(copy));
        }
        if (one.kind == Request::Kind::xor_slot) {
            choices.push_back(std::move(alternatives));
            continue;
        }
        std::vector<std::vector<Request>> next;
        for (const auto &head : out)
            for (const auto &tail : alternatives)
                if (next.size() < max_variants) {
                    next.push_back(head);
                    next.back().push_back(tail);
                }
        out = std::move(next);
    }
    if (choices.empty())
        return out;
    std::vector<std::vector<Request>> chosen;
    for (const auto &alternatives : choices)
        for (auto one : alternatives) {
            one.kind = Request::Kind::slot;
            for (auto head : out)
                if (chosen.size() < max_variants) {
                    head.push_back(one);
                    chosen.push_back(std::move(head));
                }
        }
    return chosen;
}

bool has_xor(const std::vector<Request> &list)
{
    return std::ranges::any_of(
        list, [](const Request &one) { return one.kind == Request::Kind::xor_slot || has_xor(one.with); });
}

void clear_needs(std::vector<Request> &list)
{
    for (auto &one : list) {
        one.below = one.one = one.all = {};
        clear_needs(one.with);
    }
}

} // namespace

Expected<JobRequest> compile_request(const Jobspec &jobspec, const Graph &graph)
try {
    JobRequest out;
    for (const auto &vertex : jobspec.resources())
        out.resources.push_back(compile(vertex, graph));
    finish(out, graph);
    double duration = std::ceil(jobspec.duration());
    if (duration > double(Graph::max_duration))
        return fail(EINVAL, "attributes.system.duration: {} s is longer than the {} s that the graph lasts",
                    duration, Graph::max_duration);
    out.duration = Time(duration);
    out.constraint = jobspec.constraints();
    return out;
} catch (const Error &error) {
    return std::unexpected(error);
}

std::vector<JobRequest> expand_variants(const JobRequest &request, const Graph &graph)
{
    if (!has_xor(request.resources))
        return {request};
    std::vector<JobRequest> out;
    for (auto &list : variants_of(request.resources)) {
        JobRequest one = request;
        one.resources = std::move(list);
        clear_needs(one.resources);
        finish(one, graph);
        out.push_back(std::move(one));
    }
    return out;
}

} // namespace flux::graph
