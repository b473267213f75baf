// Graph: the resources of a machine as vertices in one arena, and how they hang together.
//
// Structure only: who uses what, and when, is Schedule's. Each vertex has one parent in the subsystem that it
// belongs to (containment, as a rule), and its children are one range of a pool of vertex numbers, in the
// order in which they came. Further relations (power, network, storage) are links beside the tree. Types,
// base names and units are interned; a vertex costs sizeof(Vertex) + 4 bytes for its place among the children
// + 4 for its use.
//
// A vertex with children is "inner": it also has a row of totals, how much of each tracked type is below it,
// of all and of what is up.
#pragma once
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/base/error.hpp"

namespace flux::graph {

using VertexId = uint32_t;
using TypeId = uint16_t;
using Properties = std::map<std::string, std::string, std::less<>>;
constexpr VertexId no_vertex = UINT32_MAX;

// Strings as small numbers; 0 is the empty one.
class Names {
public:
    Names() { intern(""); }
    uint32_t intern(std::string_view text);
    std::optional<uint32_t> find(std::string_view text) const;
    const std::string &operator[](uint32_t name) const { return *texts_[name]; }
    size_t size() const { return texts_.size(); }

private:
    struct Hash {
        using is_transparent = void;
        size_t operator()(std::string_view text) const { return std::hash<std::string_view> {}(text); }
    };
    std::unordered_map<std::string, uint32_t, Hash, std::equal_to<>> index_;
    std::vector<const std::string *> texts_;
};

struct Vertex {
    int64_t id = 0;
    int64_t size = 1;
    int64_t uniq_id = 0;
    VertexId parent = no_vertex;
    uint32_t children = 0; // place in the pool
    uint32_t child_count = 0;
    uint32_t inner = UINT32_MAX; // row of totals
    uint32_t basename = 0;
    uint32_t name = 0; // 0: the base name followed by the id
    int32_t rank = -1;
    uint32_t properties = 0; // a set of them, shared
    TypeId type = 0;
    uint16_t unit = 0;
    uint8_t subsystem = 0;
    bool down = false;
    bool removed = false;
};

struct Link { // from one vertex to another in a subsystem, beside the tree
    VertexId from;
    VertexId to;
    uint8_t subsystem;
    uint32_t relation; // a name
};

// What a reader knows of a vertex.
struct NewVertex {
    std::string_view type;
    std::string_view basename; // empty: the type
    std::string_view name;     // empty: the base name followed by the id
    int64_t id = 0;
    std::optional<int64_t> uniq_id; // else the number of the vertex
    int rank = -1;
    int64_t size = 1;
    std::string_view unit;
    uint8_t subsystem = 0;
};

class Graph {
public:
    static constexpr size_t max_vertices = 1u << 28;
    static constexpr size_t max_types = 65535;
    static constexpr size_t max_subsystems = 64; // a bit of a mask each
    static constexpr size_t max_tracked = 24;    // types whose totals are kept
    static constexpr uint8_t containment = 0;
    static constexpr int64_t default_duration = 43200;  // seconds, of a job that names none
    static constexpr int64_t max_duration = 3153600000; // 100 years
    static constexpr size_t max_depth = 256;            // of the tree

    Graph();

    // Building. A parent comes before its children; no_vertex makes a root of the subsystem.
    // EOVERFLOW when a limit is passed.
    VertexId add(VertexId parent, const NewVertex &vertex);
    // count vertices of one kind below one parent, ids first_id, first_id + stride...
    VertexId add_many(VertexId parent, const NewVertex &vertex, size_t count, int64_t stride);
    void link(VertexId from, VertexId to, uint8_t subsystem, std::string_view relation);
    uint8_t subsystem(std::string_view name); // made when it is new
    void reserve(size_t vertices);
    void set_limit(size_t vertices) { limit_ = std::min(vertices, max_vertices); } // more is EOVERFLOW
    // Puts children that came later where their ranks are, when all of them are nodes and the like; finish()
    // then looks at the order of the whole tree.
    void sort_by_rank(VertexId parent);
    // Computes totals after building or growing; the vertices before `from` keep theirs.
    void finish(VertexId from = 0);

    size_t size() const { return vertices_.size(); } // with those that were removed
    size_t vertex_count() const { return vertices_.size() - removed_; }
    size_t edge_count() const { return edges_ + links_.size(); }
    const Vertex &operator[](VertexId v) const { return vertices_[v]; }
    std::span<const VertexId> children(VertexId v) const
    {
        return {child_pool_.data() + vertices_[v].children, vertices_[v].child_count};
    }
    VertexId root(uint8_t subsystem = containment) const
    {
        return subsystem < roots_.size() ? roots_[subsystem] : no_vertex;
    }
    bool empty() const { return root() == no_vertex; }

    // Names and paths.
    std::string name(VertexId v) const;
    std::string path(VertexId v) const; // "/tiny0/rack0/node0", in the vertex's own subsystem
    std::optional<VertexId> find_path(std::string_view path) const;
    const std::string &type_name(TypeId type) const { return types_[type]; }
    const std::string &type_name_of(VertexId v) const { return types_[vertices_[v].type]; }
    const std::string &unit_of(VertexId v) const { return texts_[vertices_[v].unit]; }
    const std::string &basename_of(VertexId v) const { return texts_[vertices_[v].basename]; }
    std::optional<TypeId> find_type(std::string_view name) const;
    TypeId type(std::string_view name); // interned when it is new
    size_t type_count() const { return types_.size(); }
    const std::vector<std::string> &subsystems() const { return subsystem_names_; }
    const std::vector<VertexId> &of_rank(int rank) const; // vertices of type node and its like with this rank
    size_t rank_count() const { return by_rank_.size(); }
    std::span<const VertexId> hosts() const { return hosts_; } // vertices of type node and its like
    bool is_ancestor(VertexId above, VertexId below) const;
    bool is_host(TypeId type) const { return type == node_type_ || type == storage_node_type_; }
    TypeId node_type() const { return node_type_; }
    // Has every vertex of the type this unit (or is none asked for)?
    bool has_unit(TypeId type, std::string_view unit) const
    {
        return unit.empty() || (kinds_[type].unit >= 0 && texts_[uint32_t(kinds_[type].unit)] == unit);
    }
    bool only_contained(TypeId type) const { return !kinds_[type].other_subsystem; }
    // Do vertices of this type supply some that are contained elsewhere (a switch its nodes)?
    bool supplies(TypeId type) const { return kinds_[type].supplies; }
    size_t count(TypeId type) const
    {
        return kinds_[type].count;
    } // of vertices, with those that were removed
    bool pooled(TypeId type) const { return kinds_[type].pooled; } // some vertex has a size other than 1
    // One of the vertices of the type when they are all alike, with all that is below them; else no_vertex.
    VertexId model(TypeId type) const { return kinds_[type].unlike ? no_vertex : kinds_[type].model; }
    // The nearest vertex at or above v that has this type, or no_vertex.
    VertexId above(VertexId v, TypeId type) const;
    // Does every vertex of this type lie below a node?
    bool only_below_nodes(TypeId type) const { return !kinds_[type].outside_node; }

    // Links of the other subsystems, by the vertex that they come from or lead to.
    std::span<const Link> links() const { return links_; }
    const std::vector<uint32_t> &links_from(VertexId v) const;
    const std::vector<uint32_t> &links_to(VertexId v) const;

    // Properties and status: O(size of the change), on the way to the root.
    const Properties &properties(VertexId v) const { return *property_sets_[vertices_[v].properties]; }
    const std::string *property(VertexId v, std::string_view key) const;
    void set_property(VertexId v, std::string_view key, std::string_view value);
    bool remove_property(VertexId v, std::string_view key);
    // Did a vertex of this type, which is not a node's, ever have the property?
    bool bears(TypeId type, std::string_view key) const { return kinds_[type].borne.contains(key); }
    // Why it is down is for people: "fan".
    void set_down(VertexId v, bool down, std::string_view reason = {});
    const std::string &down_reason(VertexId v) const; // empty when none was given
    // Takes the vertex and all below it out of the tree.
    void remove(VertexId v);

    // Totals. A column is a tracked type; amounts are sums of sizes.
    size_t tracked_count() const { return tracked_.size(); }
    TypeId tracked_type(size_t column) const { return tracked_[column]; }
    int column(TypeId type) const { return column_of_[type]; } // -1: not tracked
    std::span<const int64_t> total(VertexId inner_vertex) const { return row(total_, inner_vertex); }
    std::span<const int64_t> total_up(VertexId inner_vertex) const { return row(up_, inner_vertex); }
    // Are the ids of this type, in the order of the tree, ascending without repetition?
    bool ascending(TypeId type) const { return kinds_[type].ascending; }
    // The same, within each node; not where nodes are inside others.
    bool ascending_in_nodes(TypeId type) const { return kinds_[type].ascending_in_nodes && !nested_nodes_; }

    size_t bytes() const; // of memory, about

private:
    // Of the vertices of a type, in the order of the tree.
    struct Order {
        static constexpr int64_t least = std::numeric_limits<int64_t>::min();
        int64_t last_id = least;
        int64_t last_id_in_node = least;
        VertexId node = no_vertex; // of the last one
        bool tangled = false;      // some were added in between: it is not known which one is last
    };
    struct Kind { // what is so of all vertices of a type
        Order order;
        size_t count = 0; // of vertices, with those that were removed
        bool ascending = true;
        bool ascending_in_nodes = true;
        bool outside_node = false;
        bool pooled = false;
        bool other_subsystem = false;
        bool supplies = false;
        int64_t unit = -2; // a text; -2: no vertex yet, -1: several units
        VertexId model = no_vertex;
        uint64_t shape = 0; // of the model
        bool unlike = false;
        std::set<std::string, std::less<>> borne; // properties
    };

    std::span<const int64_t> row(const std::vector<int64_t> &table, VertexId v) const
    {
        return {table.data() + size_t(vertices_[v].inner) * tracked_.size(), tracked_.size()};
    }
    void append_child(VertexId parent, VertexId child);
    void append_children(VertexId parent, VertexId first,
                         size_t count); // with numbers that follow each other
    void mark_supplier(VertexId v);
    void choose_tracked();
    void count_up(VertexId v, std::vector<int64_t> &table, int sign, bool only_up);
    // order.cpp
    void check_order(VertexId from);
    void compare_order(VertexId v, VertexId node, VertexId from,
                       const std::function<void(Kind &, const Vertex &, VertexId)> &look);
    void compare_order_in_node(VertexId node);
    bool comes_last(VertexId v, VertexId from) const;
    void compare_shapes(VertexId from);
    void make_unlike(VertexId v);
    uint32_t share(Properties properties); // the number of the set

    std::vector<Vertex> vertices_;
    std::vector<VertexId> child_pool_;
    std::vector<VertexId> roots_; // by subsystem
    std::vector<std::string> subsystem_names_;
    std::vector<Link> links_;
    std::unordered_map<VertexId, std::vector<uint32_t>> links_from_;
    std::unordered_map<VertexId, std::vector<uint32_t>> links_to_;
    Names types_;
    Names texts_;
    std::vector<std::shared_ptr<const Properties>> property_sets_;
    std::unordered_map<int, std::vector<VertexId>> by_rank_;
    std::vector<VertexId> hosts_;
    std::unordered_map<VertexId, std::string> down_reasons_;
    size_t limit_ = max_vertices;
    size_t removed_ = 0;
    size_t edges_ = 0;
    size_t inner_count_ = 0;
    size_t inner_finished_ = 0; // of those, known to the last finish()
    std::vector<TypeId> tracked_;
    std::vector<int> column_of_; // by type
    std::vector<int64_t> total_;
    std::vector<int64_t> up_;
    std::vector<Kind> kinds_;
    bool nested_nodes_ = false;
    bool reordered_ = false; // since the last finish()
    TypeId node_type_;
    TypeId storage_node_type_;
};

} // namespace flux::graph
