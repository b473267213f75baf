#include <algorithm>
#include <charconv>
#include <unordered_map>
#include <unordered_set>

#include "common/graph/readers.hpp"

namespace flux::graph {

namespace {

constexpr int64_t unnumbered = INT64_MIN;

struct Node {
    std::string key; // its id in the document
    std::string type, basename, name, unit;
    std::vector<std::pair<std::string, std::string>> paths; // subsystem, path
    Properties properties;
    int64_t id = 0, uniq_id = 0, size = 1;
    int rank = -1;
    bool exclusive = false, down = false;
    int parent = -1;
    std::string subsystem = "containment"; // that it belongs to
};

struct Edge {
    size_t from;
    size_t to;
    std::string subsystem;
    std::string relation;
};

struct Document {
    std::vector<Node> nodes;
    std::vector<Edge> edges; // beside the tree
};

template <class... Args>
[[noreturn]] void bad(fmt::format_string<Args...> format, Args &&...args)
{
    throw Error(EINVAL, "JGF: {}", fmt::format(format, std::forward<Args>(args)...));
}

int64_t trailing_number(const std::string &text, int64_t fallback)
{
    int64_t number = split_number(text).second;
    return number < 0 ? fallback : number;
}

std::string text_member(const Json &object, const char *key, const std::string &where)
{
    Json value = object[key];
    if (value && !value.is_string())
        bad("{}.{}: expected a string, found {}", where, key, value.type_name());
    return std::string(value.string_view());
}

int64_t integer_member(const Json &object, const char *key, int64_t fallback, const std::string &where)
{
    Json value = object[key];
    if (value && !value.is_integer())
        bad("{}.{}: expected an integer, found {}", where, key, value.type_name());
    return value ? json_integer_value(value.raw()) : fallback;
}

Node read_node(const Json &json, size_t index)
{
    std::string where = fmt::format("graph.nodes[{}]", index);
    if (!json.is_object())
        bad("{}: expected an object, found {}", where, json.type_name());
    Node node;
    if (!json["id"].is_string())
        bad("{}.id: expected a string, found {}", where, json["id"].type_name());
    node.key = json["id"].string_view();
    Json metadata = json["metadata"];
    if (!metadata.is_object())
        bad("{}.metadata: expected an object, found {}", where, metadata.type_name());
    where = fmt::format("{} (id \"{}\")", where, node.key.substr(0, 40));
    node.type = text_member(metadata, "type", where);
    if (node.type.empty())
        bad("{}: it has no type", where);
    node.basename = text_member(metadata, "basename", where);
    if (node.basename.empty())
        node.basename = node.type;
    node.name = text_member(metadata, "name", where);
    node.unit = text_member(metadata, "unit", where);
    bool is_number =
        !node.key.empty() && std::ranges::all_of(node.key, [](uint8_t c) { return std::isdigit(c); });
    int64_t number = trailing_number(node.key, int64_t(index));
    node.uniq_id = integer_member(metadata, "uniq_id", is_number ? number : unnumbered, where);
    int64_t id = node.type == "node" && !node.name.empty() ? trailing_number(node.name, -1)
                 : node.uniq_id == unnumbered              ? number
                                                           : node.uniq_id;
    node.id = integer_member(metadata, "id", id, where);
    if (node.name.empty())
        node.name = fmt::format("{}{}", node.basename, node.id);
    int64_t rank = integer_member(metadata, "rank", -1, where);
    node.size = integer_member(metadata, "size", 1, where);
    if (rank < -1 || rank > INT32_MAX)
        bad("{}.rank: {} is not a rank", where, rank);
    if (node.size < 0)
        bad("{}.size: {} is negative", where, node.size);
    node.rank = int(rank);
    if (Json exclusive = metadata["exclusive"]) {
        if (!exclusive.is_boolean())
            bad("{}.exclusive: expected true or false, found {}", where, exclusive.type_name());
        node.exclusive = exclusive.as<bool>();
    }
    node.down = integer_member(metadata, "status", 0, where) != 0;
    Json paths = metadata["paths"];
    if (!paths.is_object() || paths.empty())
        bad("{}.paths: expected an object that maps subsystems to paths, found {}", where, paths.type_name());
    for (auto [subsystem, path] : paths.members()) {
        if (!path.is_string() || !path.string_view().starts_with('/'))
            bad("{}.paths.{}: expected a path that begins with /", where, subsystem);
        node.paths.emplace_back(subsystem, path.string_view());
    }
    if (std::ranges::none_of(node.paths, [](const auto &one) { return one.first == "containment"; }))
        node.subsystem = node.paths.front().first;
    Json properties = metadata["properties"];
    if (properties && !properties.is_object() && !properties.is_null())
        bad("{}.properties: expected an object, found {}", where, properties.type_name());
    for (auto [key, value] : properties.members())
        node.properties.emplace(key, value.is_string() ? std::string(value.string_view()) : value.dump());
    return node;
}

const std::string &own_path(const Node &node)
{
    for (const auto &[subsystem, path] : node.paths)
        if (subsystem == node.subsystem)
            return path;
    return node.paths.front().second;
}

Document read_document(const Json &jgf)
{
    Json graph = jgf["graph"];
    if (!graph.is_object())
        bad("graph: expected an object, found {}", graph.type_name());
    Json nodes = graph["nodes"], edges = graph["edges"];
    if (!nodes.is_array())
        bad("graph.nodes: expected an array, found {}", nodes.type_name());
    if (edges && !edges.is_array())
        bad("graph.edges: expected an array, found {}", edges.type_name());
    Document out;
    std::unordered_map<std::string, size_t> by_key, by_path;
    std::unordered_set<int64_t> uniq_ids; // which writers use as keys
    for (auto json : nodes.elements()) {
        out.nodes.push_back(read_node(json, out.nodes.size()));
        if (!by_key.emplace(out.nodes.back().key, out.nodes.size() - 1).second)
            bad("the id \"{}\" is used twice", out.nodes.back().key.substr(0, 40));
        if (!by_path.emplace(own_path(out.nodes.back()), out.nodes.size() - 1).second)
            bad("the path {} is used twice", own_path(out.nodes.back()));
        if (int64_t uniq_id = out.nodes.back().uniq_id;
            uniq_id != unnumbered && !uniq_ids.insert(uniq_id).second)
            bad("the uniq_id {} of {} is used twice", uniq_id, own_path(out.nodes.back()));
    }
    int64_t unused = 0;
    for (auto &node : out.nodes)
        if (node.uniq_id == unnumbered) {
            while (!uniq_ids.insert(unused).second)
                unused++;
            node.uniq_id = unused;
        }
    size_t index = 0;
    for (auto json : edges.elements()) {
        std::string where = fmt::format("graph.edges[{}]", index++);
        size_t ends[2];
        for (int i = 0; i < 2; i++) {
            const char *key = i ? "target" : "source";
            if (!json[key].is_string())
                bad("{}.{}: expected a string", where, key);
            auto found = by_key.find(std::string(json[key].string_view()));
            if (found == by_key.end())
                bad("{}.{}: there is no node with the id \"{}\"", where, key,
                    json[key].string_view().substr(0, 40));
            ends[i] = found->second;
        }
        std::string subsystem = text_member(json["metadata"], "subsystem", where);
        if (subsystem.empty())
            subsystem = "containment";
        Node &target = out.nodes[ends[1]];
        if (subsystem == target.subsystem && target.parent < 0 && ends[0] != ends[1])
            target.parent = int(ends[0]);
        else
            out.edges.push_back(
                {ends[0], ends[1], subsystem, text_member(json["metadata"], "relation", where)});
    }
    // Edges may be missing where paths tell the same.
    for (auto &node : out.nodes) {
        const std::string &path = own_path(node);
        size_t slash = path.rfind('/');
        if (node.parent < 0 && slash > 0)
            if (auto found = by_path.find(path.substr(0, slash)); found != by_path.end())
                node.parent = int(found->second);
    }
    return out;
}

class Adder {
public:
    Adder(Graph &graph, const Document &document)
        : graph_(graph), document_(document), made_(document.nodes.size(), no_vertex),
          busy_(document.nodes.size(), false)
    {
    }

    size_t add_all()
    {
        for (size_t i = 0; i < document_.nodes.size(); i++)
            add(i, 0);
        for (const auto &edge : document_.edges)
            if (edge.subsystem != "containment")
                graph_.link(made_[edge.from], made_[edge.to], graph_.subsystem(edge.subsystem),
                            edge.relation);
        return count_;
    }

private:
    void add(size_t index, size_t depth)
    {
        const Node &node = document_.nodes[index];
        if (made_[index] != no_vertex)
            return;
        if (busy_[index] || depth > Graph::max_depth)
            bad("the vertex {} is below itself, or the tree is deeper than {}", own_path(node),
                Graph::max_depth);
        busy_[index] = true;
        if (!graph_.empty())
            if (auto found = graph_.find_path(own_path(node))) {
                made_[index] = *found;
                return;
            }
        VertexId parent = no_vertex;
        if (node.parent >= 0) {
            add(size_t(node.parent), depth + 1);
            parent = made_[size_t(node.parent)];
        } else if (own_path(node).rfind('/') != 0) {
            bad("the vertex {} has no parent in the document", own_path(node));
        } else if (graph_.root(graph_.subsystem(node.subsystem)) != no_vertex) {
            bad("{} is a second root of the subsystem {}", own_path(node), node.subsystem);
        }
        made_[index] = graph_.add(parent, {.type = node.type,
                                           .basename = node.basename,
                                           .name = node.name,
                                           .id = node.id,
                                           .uniq_id = node.uniq_id,
                                           .rank = node.rank,
                                           .size = node.size,
                                           .unit = node.unit,
                                           .subsystem = graph_.subsystem(node.subsystem)});
        count_++;
        for (const auto &[key, value] : node.properties)
            graph_.set_property(made_[index], key, value);
        if (node.down)
            down_.push_back(made_[index]);
    }

    Graph &graph_;
    const Document &document_;
    std::vector<VertexId> made_;
    std::vector<bool> busy_;
    size_t count_ = 0;

public:
    std::vector<VertexId> down_; // to be set when the totals are there
};

} // namespace

Expected<Graph> read_jgf(const Json &jgf)
try {
    Graph graph;
    Document document = read_document(jgf);
    if (document.nodes.empty())
        bad("there are no nodes");
    graph.reserve(document.nodes.size());
    Adder adder(graph, document);
    adder.add_all();
    if (graph.empty())
        bad("there is no root of the containment subsystem");
    graph.finish();
    for (VertexId v : adder.down_)
        graph.set_down(v, true);
    return graph;
} catch (const Error &error) {
    return std::unexpected(error);
}

Expected<std::vector<VertexId>> attach_points(const Graph &graph, const Json &jgf)
try {
    Document document = read_document(jgf);
    std::vector<std::optional<VertexId>> present;
    for (const auto &node : document.nodes)
        present.push_back(graph.find_path(own_path(node)));
    std::vector<VertexId> out;
    for (size_t i = 0; i < document.nodes.size(); i++)
        if (int parent = document.nodes[i].parent; !present[i] && parent >= 0 && present[size_t(parent)])
            out.push_back(*present[size_t(parent)]);
    std::ranges::sort(out);
    auto repeated = std::ranges::unique(out);
    out.erase(repeated.begin(), repeated.end());
    if (out.empty())
        return fail(ENOENT, "no vertex of the document is in the graph, or nothing new is in it");
    return out;
} catch (const Error &error) {
    return std::unexpected(error);
}

Expected<size_t> attach_jgf(Graph &graph, const Json &jgf, std::vector<VertexId> &down)
try {
    Document document = read_document(jgf);
    Adder adder(graph, document);
    size_t added = adder.add_all();
    down = std::move(adder.down_);
    return added;
} catch (const Error &error) {
    return std::unexpected(error);
}

Expected<std::vector<Pick>> jgf_picks(const Graph &graph, const Json &jgf, bool shorthand)
try {
    bool everything = shorthand || jgf["writer"].string_view() == "fluxion:jgf_shorthand";
    std::vector<Pick> out;
    for (const auto &node : read_document(jgf).nodes) {
        if (!node.exclusive)
            continue;
        auto v = graph.find_path(own_path(node));
        if (!v)
            return fail(ENOENT, "the graph has no vertex {}", own_path(node));
        out.push_back({*v, std::min(node.size, graph[*v].size), true, false, everything});
    }
    return out;
} catch (const Error &error) {
    return std::unexpected(error);
}

} // namespace flux::graph
