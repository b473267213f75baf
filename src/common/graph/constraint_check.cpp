#include "common/graph/constraint_check.hpp"

#include <algorithm>
#include <set>

namespace flux::graph {

namespace {

constexpr size_t max_unknown = 8; // properties of one vertex; more are taken to be there

void collect_names(const Json &constraint, std::set<std::string> &names)
{
    for (auto [op, values] : constraint.members())
        for (auto value : values.elements()) {
            std::string_view name = value.string_view();
            if (value.is_object())
                collect_names(value, names);
            else if (op == "properties" && !name.empty())
                names.emplace(name.substr(name.starts_with('^')));
        }
}

void collect_types(const std::vector<Request> &list, std::set<TypeId> &types)
{
    for (const auto &one : list) {
        if (one.kind == Request::Kind::resource)
            types.insert(one.type);
        collect_types(one.with, types);
    }
}

class Target : public ConstraintTarget {
public:
    Target(const Graph &graph, VertexId v) : graph_(graph), v_(v), host_(v)
    {
        while (host_ != no_vertex && !graph.is_host(graph[host_].type))
            host_ = graph[host_].parent;
    }
    bool has_property(std::string_view name) const override
    {
        if (std::ranges::find(assumed, name) != assumed.end())
            return true;
        for (VertexId at = v_; at != no_vertex; at = at == host_ ? no_vertex : graph_[at].parent)
            if (graph_.property(at, name))
                return true;
        return false;
    }
    std::string_view hostname() const override // few constraints ask for it
    {
        if (name_.empty() && host_ != no_vertex)
            name_ = graph_.name(host_);
        return name_;
    }
    uint32_t rank() const override { return host_ == no_vertex ? UINT32_MAX : uint32_t(graph_[host_].rank); }

    std::vector<std::string_view> assumed;

private:
    const Graph &graph_;
    VertexId v_, host_;
    mutable std::string name_;
};

} // namespace

Expected<ConstraintCheck> ConstraintCheck::make(const JobRequest &request, const Graph &graph)
{
    ConstraintCheck out;
    out.constrains_ = bool(request.constraint) && request.constraint.size() > 0;
    if (!out.constrains_)
        return out;
    auto compiled = compile_resource_constraint(request.constraint);
    if (!compiled)
        return std::unexpected(compiled.error());
    out.constraint_ = std::move(*compiled);
    std::set<std::string> names;
    std::set<TypeId> types;
    collect_names(request.constraint, names);
    collect_types(request.resources, types);
    for (const auto &name : names)
        for (TypeId type : types)
            if (graph.bears(type, name))
                out.borne_[name].push_back(type);
    return out;
}

bool ConstraintCheck::is_bearer(TypeId type) const
{
    return std::ranges::any_of(
        borne_, [&](const auto &one) { return std::ranges::find(one.second, type) != one.second.end(); });
}

bool ConstraintCheck::allows(const Graph &graph, VertexId v) const
{
    Target target(graph, v);
    std::vector<std::string_view> unknown;
    for (const auto &[name, types] : borne_)
        if (std::ranges::find(types, graph[v].type) == types.end() && !target.has_property(name))
            unknown.push_back(name);
    while (unknown.size() > max_unknown) {
        target.assumed.push_back(unknown.back());
        unknown.pop_back();
    }
    size_t known = target.assumed.size();
    for (size_t which = 0; which < size_t(1) << unknown.size(); which++) {
        target.assumed.resize(known);
        for (size_t i = 0; i < unknown.size(); i++)
            if (which >> i & 1)
                target.assumed.push_back(unknown[i]);
        if (constraint_.match(target))
            return true;
    }
    return false;
}

bool ConstraintCheck::allows_path(const Graph &graph, VertexId v) const
{
    for (VertexId at = v; at != no_vertex; at = graph[at].parent)
        if (asks(graph, graph[at].type) && !allows(graph, at))
            return false;
    return true;
}

} // namespace flux::graph
