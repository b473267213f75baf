#include "common/graph/emit.hpp"

#include <algorithm>
#include <map>
#include <ranges>

#include "common/types/hostlist.hpp"
#include "common/types/idset.hpp"

namespace flux::graph {

namespace {

constexpr size_t dump_flags = 0; // jansson's own separators: ", " and ": "

std::string line_of(const Graph &graph, const Assigned &one, bool pretty)
{
    std::string line = "      ";
    for (int i = 0; i <= one.depth; i++)
        line += "---";
    return line +
           fmt::format("{}[{}:{}]\n", graph.name(one.vertex), one.amount,
                       pretty ? (one.exclusive ? "exclusive" : "shared") : (one.exclusive ? "x" : "s"));
}

struct HostShare {
    Idset cores;
    Idset gpus;
    bool any = false; // something of it is exclusive
};

// By rank: what the hosts give.
std::map<int64_t, std::pair<VertexId, HostShare>> shares_by_host(const Graph &graph,
                                                                 const Allocation &allocation)
{
    auto core = graph.find_type("core"), gpu = graph.find_type("gpu");
    std::map<int64_t, std::pair<VertexId, HostShare>> out;
    for (const auto &one : expanded(graph, allocation)) {
        VertexId host = one.vertex;
        while (host != no_vertex && !graph.is_host(graph[host].type))
            host = graph[host].parent;
        if (host == no_vertex)
            continue;
        int64_t rank = graph[host].rank >= 0 ? graph[host].rank : graph[host].id;
        auto &[vertex, share] = out[rank];
        vertex = host;
        share.any = share.any || one.exclusive;
        if (!one.exclusive || graph[one.vertex].id < 0 || graph[one.vertex].id > Idset::max_id)
            continue;
        if (graph[one.vertex].type == core)
            share.cores.add(uint32_t(graph[one.vertex].id));
        else if (graph[one.vertex].type == gpu)
            share.gpus.add(uint32_t(graph[one.vertex].id));
    }
    std::erase_if(out, [](const auto &entry) { return !entry.second.second.any; });
    return out;
}

Json jgf_node(const Graph &graph, const Assigned &one)
{
    const Vertex &vertex = graph[one.vertex];
    const std::string &type = graph.type_name(vertex.type);
    const std::string &basename = graph.basename_of(one.vertex);
    Json metadata {{"type", type}};
    if (basename != type)
        metadata.set("basename", basename);
    std::string name = graph.name(one.vertex);
    if (name != fmt::format("{}{}", basename, vertex.id))
        metadata.set("name", name);
    metadata.set("id", vertex.id);
    metadata.set("rank", vertex.rank);
    if (const auto &properties = graph.properties(one.vertex); !properties.empty()) {
        Json object = Json::object();
        for (const auto &[key, value] : properties)
            object.set(key, value);
        metadata.set("properties", std::move(object));
    }
    if (!graph.unit_of(one.vertex).empty())
        metadata.set("unit", graph.unit_of(one.vertex));
    if (one.exclusive)
        metadata.set("exclusive", true);
    if (one.amount != 1)
        metadata.set("size", one.amount);
    if (vertex.down)
        metadata.set("status", 1);
    Json paths = Json::object();
    paths.set(graph.subsystems()[vertex.subsystem], graph.path(one.vertex));
    metadata.set("paths", std::move(paths));
    return Json {{"id", std::to_string(vertex.uniq_id)}, {"metadata", std::move(metadata)}};
}

} // namespace

std::optional<MatchFormat> parse_match_format(std::string_view name)
{
    constexpr std::pair<std::string_view, MatchFormat> known[] = {
        {"simple", MatchFormat::simple},
        {"pretty_simple", MatchFormat::pretty_simple},
        {"rlite", MatchFormat::rlite},
        {"rv1", MatchFormat::rv1},
        {"rv1_nosched", MatchFormat::rv1_nosched},
        {"rv1_shorthand", MatchFormat::rv1_shorthand},
        {"jgf", MatchFormat::jgf},
        {"jgf_shorthand", MatchFormat::jgf_shorthand},
    };
    for (auto [text, format] : known)
        if (text == name)
            return format;
    return std::nullopt;
}

Json emit_rlite(const Graph &graph, const Allocation &allocation)
{
    std::map<std::string, std::pair<Json, Idset>>
        by_children; // equal ones share an entry, in the order of their text
    for (const auto &[rank, entry] : shares_by_host(graph, allocation)) {
        const HostShare &share = entry.second;
        Json children = Json::object();
        if (!share.cores.empty())
            children.set("core", share.cores.format());
        if (!share.gpus.empty())
            children.set("gpu", share.gpus.format());
        auto &[json, ranks] = by_children[children.dump()];
        json = children;
        if (rank >= 0 && rank <= int64_t(Idset::max_id))
            ranks.add(uint32_t(rank));
    }
    Json out = Json::array();
    for (const auto &[text, entry] : by_children)
        out.append(Json {{"rank", entry.second.format()}, {"children", entry.first}});
    return out;
}

Json emit_r(const Graph &graph, const Allocation &allocation, Time start, Time end)
{
    Hostlist hosts;
    std::map<std::string, Idset> properties;
    for (const auto &[rank, entry] : shares_by_host(graph, allocation)) {
        hosts.append_name(graph.name(entry.first));
        if (rank >= 0 && rank <= int64_t(Idset::max_id))
            for (const auto &[key, value] : graph.properties(entry.first))
                properties[key].add(uint32_t(rank));
    }
    Json nodelist = Json::array();
    if (!hosts.empty())
        nodelist.append(hosts.encode());
    Json execution {{"R_lite", emit_rlite(graph, allocation)}, {"nodelist", std::move(nodelist)}};
    if (!properties.empty()) {
        Json object = Json::object();
        for (const auto &[key, ranks] : properties)
            object.set(key, ranks.format());
        execution.set("properties", std::move(object));
    }
    execution.set("starttime", start);
    execution.set("expiration", end);
    return Json {{"version", 1}, {"execution", std::move(execution)}};
}

Json emit_jgf(const Graph &graph, const Allocation &compact, bool shorthand)
{
    Allocation allocation = expanded(graph, compact);
    Json nodes = Json::array(), edges = Json::array();
    bool complete = true;
    // A whole vertex comes after what is below it: from the end it is seen first.
    std::vector<bool> left_out(allocation.size(), false);
    if (shorthand)
        for (size_t i = 0; i < allocation.size(); i++)
            left_out[i] = allocation[i].covered;
    for (size_t i = 0; i < allocation.size(); i++) {
        const Assigned &one = allocation[i];
        if (left_out[i]) {
            complete = false;
            continue;
        }
        nodes.append(jgf_node(graph, one));
        VertexId parent = graph[one.vertex].parent;
        if (parent == no_vertex)
            continue;
        Json edge {{"source", std::to_string(graph[parent].uniq_id)},
                   {"target", std::to_string(graph[one.vertex].uniq_id)}};
        if (uint8_t subsystem = graph[one.vertex].subsystem; subsystem != Graph::containment)
            edge.set("metadata", Json {{"subsystem", graph.subsystems()[subsystem]}});
        edges.append(std::move(edge));
    }
    Json out {{"graph", Json {{"nodes", std::move(nodes)}, {"edges", std::move(edges)}}}};
    if (shorthand && !complete)
        out.set("writer", "fluxion:jgf_shorthand");
    return out;
}

Json emit_json(const Graph &graph, const Allocation &allocation, Time start, Time end, MatchFormat format)
{
    switch (format) {
    case MatchFormat::simple:
    case MatchFormat::pretty_simple:
        return {};
    case MatchFormat::rlite:
        return emit_rlite(graph, allocation);
    case MatchFormat::rv1_nosched:
        return emit_r(graph, allocation, start, end);
    case MatchFormat::rv1:
    case MatchFormat::rv1_shorthand: {
        Json r = emit_r(graph, allocation, start, end);
        r.set("scheduling", emit_jgf(graph, allocation, format == MatchFormat::rv1_shorthand));
        return r;
    }
    case MatchFormat::jgf:
    case MatchFormat::jgf_shorthand:
        return emit_jgf(graph, allocation, format == MatchFormat::jgf_shorthand);
    }
    return {};
}

std::string emit(const Graph &graph, const Allocation &allocation, Time start, Time end, MatchFormat format)
{
    if (allocation.empty())
        return {};
    if (Json json = emit_json(graph, allocation, start, end, format))
        return json.dump(dump_flags) + "\n";
    std::string out;
    Allocation all = expanded(graph, allocation);
    if (format == MatchFormat::pretty_simple) // from the root down: the other way round
        for (const auto &one : std::views::reverse(all))
            out += line_of(graph, one, true);
    else
        for (const auto &one : all)
            out += line_of(graph, one, false);
    return out;
}

Allocation whole_graph(const Graph &graph)
{
    Allocation out;
    std::function<void(VertexId, uint16_t)> add = [&](VertexId v, uint16_t depth) {
        for (VertexId child : graph.children(v))
            add(child, uint16_t(depth + 1));
        out.push_back({v, graph[v].size, depth, false, false, false});
    };
    for (size_t subsystem = 0; subsystem < graph.subsystems().size(); subsystem++)
        if (VertexId root = graph.root(uint8_t(subsystem)); root != no_vertex)
            add(root, 0);
    return out;
}

std::string emit_dot(const Graph &graph)
{
    std::string out = "digraph resources {\n  node [shape=box, fontname=\"sans-serif\"];\n";
    auto to = std::back_inserter(out);
    for (VertexId v = 0; v < graph.size(); v++) {
        if (graph[v].removed)
            continue;
        std::string size = graph[v].size == 1 ? "" : fmt::format("\\n{} {}", graph[v].size, graph.unit_of(v));
        std::string name;
        for (char c : graph.name(v))
            name += c == '"' || c == '\\' ? std::string("\\") + c : std::string(1, c);
        fmt::format_to(to, "  {} [label=\"{}{}\"{}];\n", v, name, size, graph[v].down ? ", color=red" : "");
        if (graph[v].parent != no_vertex)
            fmt::format_to(
                to, "  {} -> {}{};\n", graph[v].parent, v,
                graph[v].subsystem == Graph::containment
                    ? ""
                    : fmt::format(" [style=dashed, label=\"{}\"]", graph.subsystems()[graph[v].subsystem]));
    }
    for (const auto &link : graph.links())
        fmt::format_to(to, "  {} -> {} [style=dashed, label=\"{}\"];\n", link.from, link.to,
                       graph.subsystems()[link.subsystem]);
    return out + "}\n";
}

} // namespace flux::graph
