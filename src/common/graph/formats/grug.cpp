#include <expat.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <unordered_map>

#include "common/graph/formats/formats.hpp"

namespace flux::graph {

namespace {

constexpr size_t max_recipe_vertices = 10000;

using Data = std::map<std::string, std::string, std::less<>>; // attribute name -> text

struct RecipeNode {
    std::string key;
    Data data;
    std::vector<size_t> edges; // that leave it
    std::vector<VertexId> made;
    bool visited = false;
};

struct RecipeEdge {
    std::string key;
    std::string source_key, target_key;
    size_t source = 0, target = 0;
    Data data;
};

template <class... Args>
[[noreturn]] void bad(fmt::format_string<Args...> format, Args &&...args)
{
    throw Error(EINVAL, "GRUG: {}", fmt::format(format, std::forward<Args>(args)...));
}

int64_t number(const Data &data, std::string_view key, std::string_view where, int64_t least, int64_t most)
{
    std::string_view text = data.find(key)->second;
    while (!text.empty() && std::isspace(uint8_t(text.front())))
        text.remove_prefix(1);
    while (!text.empty() && std::isspace(uint8_t(text.back())))
        text.remove_suffix(1);
    int64_t value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < least || value > most)
        bad("{}: {} is \"{}\", expected a number from {} to {}", where, key, text.substr(0, 40), least, most);
    return value;
}

class RecipeParser {
public:
    std::vector<RecipeNode> nodes;
    std::vector<RecipeEdge> edges;

    void parse(std::string_view text)
    {
        XML_Parser parser = XML_ParserCreate(nullptr);
        FLUX_ASSERT(parser);
        parser_ = parser;
        XML_SetUserData(parser, this);
        XML_SetElementHandler(parser, on_start, on_end);
        XML_SetCharacterDataHandler(parser, on_text);
        bool done = XML_Parse(parser, text.data(), int(text.size()), 1) == XML_STATUS_OK;
        size_t line = XML_GetCurrentLineNumber(parser);
        std::string why = done ? "" : XML_ErrorString(XML_GetErrorCode(parser));
        XML_ParserFree(parser);
        if (!error_.empty())
            bad("line {}: {}", line, error_);
        if (!done)
            bad("line {}: {}", line, why);
        resolve();
    }

private:
    static void on_start(void *self, const XML_Char *name, const XML_Char **attributes)
    {
        static_cast<RecipeParser *>(self)->start(name, attributes);
    }
    static void on_end(void *self, const XML_Char *name) { static_cast<RecipeParser *>(self)->end(name); }
    static void on_text(void *self, const XML_Char *text, int length)
    {
        static_cast<RecipeParser *>(self)->text_.append(text, size_t(length));
    }
    void fail_here(std::string text)
    {
        error_ = std::move(text);
        XML_StopParser(parser_, XML_FALSE);
    }

    void start(std::string_view name, const XML_Char **attributes)
    {
        auto attribute = [&](std::string_view wanted) -> std::string {
            for (const XML_Char **at = attributes; *at; at += 2)
                if (wanted == at[0])
                    return at[1];
            return {};
        };
        text_.clear();
        if (name == "key") {
            key_ = attribute("id");
            for_node_ = attribute("for") == "node";
            names_[key_] = attribute("attr.name").empty() ? key_ : attribute("attr.name");
        } else if (name == "node" || name == "edge") {
            if (nodes.size() + edges.size() >= max_recipe_vertices)
                return fail_here(fmt::format("more than {} nodes and edges", max_recipe_vertices));
            if (name == "node")
                nodes.push_back({.key = attribute("id")});
            else
                edges.push_back({attribute("id"), attribute("source"), attribute("target")});
            element_ = name == "node" ? &nodes.back().data : &edges.back().data;
        } else if (name == "data") {
            key_ = attribute("key");
        }
    }

    void end(std::string_view name)
    {
        if (name == "default") {
            (for_node_ ? node_defaults_ : edge_defaults_)[names_[key_]] = text_;
        } else if (name == "data" && element_) {
            auto known = names_.find(key_);
            if (known == names_.end())
                return fail_here(fmt::format("data has the key \"{}\", which is not declared", key_));
            (*element_)[known->second] = text_;
        } else if (name == "node" || name == "edge") {
            element_ = nullptr;
        }
    }

    void resolve()
    {
        const Data fallback_node {{"root", "0"}, {"size", "1"}, {"unit", ""}, {"subsystem", "containment"}};
        const Data fallback_edge {{"e_subsystem", "containment"},
                                  {"relation", "contains"},
                                  {"id_scope", "0"},
                                  {"id_start", "0"},
                                  {"id_stride", "1"},
                                  {"gen_method", "MULTIPLY"},
                                  {"multi_scale", "1"},
                                  {"as_tgt_subsystem", "containment"},
                                  {"as_tgt_uplvl", "1"},
                                  {"as_src_uplvl", "1"}};
        std::unordered_map<std::string, size_t> index;
        for (auto &node : nodes) {
            node.data.insert(node_defaults_.begin(), node_defaults_.end());
            node.data.insert(fallback_node.begin(), fallback_node.end());
            if (node.data["type"].empty())
                bad("node \"{}\" has no type", node.key);
            if (node.data["basename"].empty())
                node.data["basename"] = node.data["type"];
            if (!index.emplace(node.key, size_t(&node - nodes.data())).second)
                bad("two nodes have the id \"{}\"", node.key);
        }
        for (auto &edge : edges) {
            edge.data.insert(edge_defaults_.begin(), edge_defaults_.end());
            edge.data.insert(fallback_edge.begin(), fallback_edge.end());
            for (auto [key, place] :
                 {std::pair(&edge.source_key, &edge.source), {&edge.target_key, &edge.target}}) {
                auto found = index.find(*key);
                if (found == index.end())
                    bad("edge \"{}\" names the node \"{}\", which does not exist", edge.key, *key);
                *place = found->second;
            }
            nodes[edge.source].edges.push_back(size_t(&edge - edges.data()));
        }
    }

    XML_Parser parser_ = nullptr;
    std::string error_;
    std::string text_;
    std::string key_;
    bool for_node_ = true;
    Data *element_ = nullptr;
    Data node_defaults_, edge_defaults_;
    std::map<std::string, std::string> names_;
};

// Expands a recipe: depth first over its edges, each generating for every vertex that its source stands for.
class Generator {
public:
    Generator(RecipeParser &recipe, size_t limit) : recipe_(recipe), limit_(limit)
    {
        graph_.set_limit(limit);
    }

    Graph run()
    {
        std::vector<size_t> roots;
        for (size_t i = 0; i < recipe_.nodes.size(); i++)
            if (number(recipe_.nodes[i].data, "root", label(recipe_.nodes[i]), 0, 1) == 1)
                roots.push_back(i);
        // Containment first: other subsystems link to it.
        std::ranges::stable_sort(
            roots, {}, [&](size_t i) { return recipe_.nodes[i].data["subsystem"] != "containment"; });
        if (roots.empty() || recipe_.nodes[roots[0]].data["subsystem"] != "containment")
            bad("no node of the containment subsystem is marked as root");
        for (size_t root : roots) {
            RecipeNode &node = recipe_.nodes[root];
            uint8_t subsystem = graph_.subsystem(node.data["subsystem"]);
            if (graph_.root(subsystem) != no_vertex)
                bad("node \"{}\" is a second root of the subsystem {}", node.key, node.data["subsystem"]);
            node.made.push_back(graph_.add(no_vertex, describe(node, 0)));
            scales_.assign(1, 1);
            graph_.reserve(graph_.size() + count(root, 0));
            expand(root, 0);
        }
        graph_.finish();
        return std::move(graph_);
    }

private:
    std::string label(const RecipeNode &node) const { return fmt::format("node \"{}\"", node.key); }

    NewVertex describe(const RecipeNode &node, int64_t id)
    {
        return {.type = node.data.find("type")->second,
                .basename = node.data.find("basename")->second,
                .id = id,
                .size = number(node.data, "size", label(node), 0, INT64_MAX / 4),
                .unit = node.data.find("unit")->second,
                .subsystem = graph_.subsystem(node.data.find("subsystem")->second)};
    }

    // How many vertices will be made below one of a node's, as long as that is within the limit.
    size_t count(size_t source, size_t depth) const
    {
        size_t sum = 0;
        for (size_t index : recipe_.nodes[source].edges) {
            const RecipeEdge &edge = recipe_.edges[index];
            if (depth > Graph::max_depth || edge.data.find("gen_method")->second != "MULTIPLY")
                continue;
            auto scale = size_t(number(edge.data, "multi_scale", fmt::format("edge \"{}\"", edge.key), 0,
                                       int64_t(Graph::max_vertices)));
            size_t below = 1 + count(edge.target, depth + 1);
            if (scale > 0 && below > limit_ / scale)
                throw Error(EOVERFLOW, "GRUG: more than {} vertices", limit_);
            sum += scale * below;
        }
        return sum;
    }

    void expand(size_t source, size_t depth)
    {
        if (depth > Graph::max_depth)
            bad("the recipe is deeper than {} levels", Graph::max_depth);
        recipe_.nodes[source].visited = true;
        for (size_t index : recipe_.nodes[source].edges) {
            const RecipeEdge &edge = recipe_.edges[index];
            RecipeNode &target = recipe_.nodes[edge.target];
            const std::string &method = edge.data.find("gen_method")->second;
            bool again = target.visited;
            int64_t scale = 1;
            if (method == "MULTIPLY")
                scale = multiply(edge, target);
            else if (method == "ASSOCIATE_IN")
                associate(edge, target, false);
            else if (method == "ASSOCIATE_BY_PATH_IN")
                associate(edge, target, true);
            else
                bad("edge \"{}\": gen_method is \"{}\", expected MULTIPLY, ASSOCIATE_IN or "
                    "ASSOCIATE_BY_PATH_IN",
                    edge.key, method.substr(0, 40));
            if (again)
                bad("edge \"{}\" leads to node \"{}\" a second time: a recipe is a tree", edge.key,
                    target.key);
            scales_.push_back(scale);
            expand(edge.target, depth + 1);
            scales_.pop_back();
        }
    }

    int64_t multiply(const RecipeEdge &edge, RecipeNode &target)
    {
        std::string where = fmt::format("edge \"{}\"", edge.key);
        int64_t scale = number(edge.data, "multi_scale", where, 0, int64_t(Graph::max_vertices));
        int64_t scope = number(edge.data, "id_scope", where, 0, 1000);
        int64_t first = number(edge.data, "id_start", where, INT32_MIN, INT32_MAX);
        int64_t stride = number(edge.data, "id_stride", where, INT32_MIN, INT32_MAX);
        // Ids repeat for every `period` parents: as many as the nearest `scope` levels have.
        int64_t period = 1;
        for (int64_t level = 0; level < scope && size_t(level) < scales_.size(); level++)
            period = std::max<int64_t>(1, period * scales_[scales_.size() - 1 - size_t(level)]);
        const auto &parents = recipe_.nodes[edge.source].made;
        bool host = target.data["type"] == "node" && target.data["subsystem"] == "containment";
        int64_t parent_index = 0;
        for (VertexId parent : parents) {
            int64_t id = scope == 0 ? first : first + parent_index % period * scale * stride;
            NewVertex vertex = describe(target, id);
            VertexId made = VertexId(graph_.size());
            if (host)
                for (int64_t i = 0; i < scale; i++) {
                    vertex.id = id + i * (scope == 0 ? 1 : stride);
                    vertex.rank = next_rank_++;
                    graph_.add(parent, vertex);
                }
            else
                graph_.add_many(parent, vertex, size_t(scale), scope == 0 ? 1 : stride);
            for (int64_t i = 0; i < scale; i++)
                target.made.push_back(made + VertexId(i));
            parent_index++;
        }
        return scale;
    }

    // The target stands for vertices of its type that another subsystem has; by path: those below the same
    // vertex.
    void associate(const RecipeEdge &edge, RecipeNode &target, bool by_path)
    {
        std::string where = fmt::format("edge \"{}\"", edge.key);
        auto wanted = graph_.find_type(target.data["type"]);
        uint8_t home = graph_.subsystem(edge.data.find("as_tgt_subsystem")->second);
        uint8_t subsystem = graph_.subsystem(edge.data.find("e_subsystem")->second);
        int64_t target_up = number(edge.data, "as_tgt_uplvl", where, 0, 1000);
        int64_t source_up = number(edge.data, "as_src_uplvl", where, 0, 1000);
        std::unordered_map<VertexId, std::vector<VertexId>> sources; // by the vertex so far above them
        for (VertexId source : recipe_.nodes[edge.source].made)
            sources[by_path ? up(source, source_up) : no_vertex].push_back(source);
        size_t count = graph_.size();
        for (VertexId v = 0; wanted && v < count; v++) {
            if (graph_[v].type != *wanted || graph_[v].subsystem != home)
                continue;
            auto found = sources.find(by_path ? up(v, target_up) : no_vertex);
            if (found == sources.end())
                continue;
            for (VertexId source : found->second)
                graph_.link(source, v, subsystem, edge.data.find("relation")->second);
            target.made.push_back(v);
        }
        if (target.made.empty())
            bad("{}: there is no {} in the subsystem {} to associate", where, target.data["type"],
                graph_.subsystems()[home]);
    }

    VertexId up(VertexId v, int64_t levels) const
    {
        for (; levels > 0 && v != no_vertex; levels--)
            v = graph_[v].parent;
        return v;
    }

    RecipeParser &recipe_;
    size_t limit_;
    Graph graph_;
    std::vector<int64_t> scales_; // of the edges on the way to the present node
    int next_rank_ = 0;
};

} // namespace

Expected<Graph> read_grug(std::string_view text, size_t limit)
try {
    if (text.size() > INT32_MAX)
        bad("the recipe is larger than {} bytes", INT32_MAX);
    RecipeParser recipe;
    recipe.parse(text);
    return Generator(recipe, limit).run();
} catch (const Error &error) {
    return std::unexpected(error);
}

} // namespace flux::graph
