#include "common/graph/graph.hpp"

#include <algorithm>
#include <numeric>

#include "common/base/quote.hpp"

namespace flux::graph {

uint32_t Names::intern(std::string_view text)
{
    if (auto found = index_.find(text); found != index_.end())
        return found->second;
    auto [at, added] = index_.emplace(std::string(text), uint32_t(texts_.size()));
    texts_.push_back(&at->first);
    return at->second;
}

std::optional<uint32_t> Names::find(std::string_view text) const
{
    auto found = index_.find(text);
    return found == index_.end() ? std::nullopt : std::optional(found->second);
}

Graph::Graph()
    : roots_(1, no_vertex), subsystem_names_ {"containment"}, property_sets_ {
                                                                  std::make_shared<const Properties>()}
{
    // Known wherever they occur, and in this order, of which prune filters take the last.
    for (const char *name :
         {"core", "socket", "gpu", "node", "rack", "cluster", "slot", "storage_node", "ssd"})
        type(name);
    node_type_ = type("node");
    storage_node_type_ = type("storage_node");
}

TypeId Graph::type(std::string_view name)
{
    uint32_t found = types_.intern(name);
    if (found > max_types)
        throw Error(EOVERFLOW, "more than {} resource types", max_types);
    if (column_of_.size() <= found) {
        column_of_.resize(found + 1, -1);
        kinds_.resize(found + 1);
    }
    return TypeId(found);
}

std::optional<TypeId> Graph::find_type(std::string_view name) const
{
    auto found = types_.find(name);
    return found ? std::optional(TypeId(*found)) : std::nullopt;
}

uint8_t Graph::subsystem(std::string_view name)
{
    auto found = std::ranges::find(subsystem_names_, name);
    if (found != subsystem_names_.end())
        return uint8_t(found - subsystem_names_.begin());
    if (subsystem_names_.size() >= max_subsystems)
        throw Error(EOVERFLOW, "more than {} subsystems", max_subsystems);
    subsystem_names_.emplace_back(name);
    roots_.push_back(no_vertex);
    return uint8_t(subsystem_names_.size() - 1);
}

void Graph::reserve(size_t vertices)
{
    vertices_.reserve(vertices);
    child_pool_.reserve(vertices);
}

// The children of a vertex are one range of the pool. A range that is not the last one moves to the end when
// it grows, unless there is room behind it: ranges have a capacity of a power of two once they have moved.
void Graph::append_child(VertexId parent, VertexId child)
{
    Vertex &above = vertices_[parent];
    edges_++;
    if (above.child_count == 0) {
        above.inner = uint32_t(inner_count_++);
        above.children = uint32_t(child_pool_.size());
    }
    size_t end = size_t(above.children) + above.child_count;
    if (end == child_pool_.size()) {
        child_pool_.push_back(child);
    } else if (child_pool_[end] == no_vertex) {
        child_pool_[end] = child;
    } else {
        size_t count = above.child_count;
        size_t at = child_pool_.size();
        child_pool_.resize(at + 2 * count, no_vertex);
        std::copy_n(child_pool_.begin() + above.children, count, child_pool_.begin() + long(at));
        child_pool_[at + count] = child;
        above.children = uint32_t(at);
    }
    above.child_count++;
}

// The same for many: at once where the range is the last one, or a new one.
void Graph::append_children(VertexId parent, VertexId first, size_t count)
{
    Vertex &above = vertices_[parent];
    size_t end = size_t(above.children) + above.child_count;
    if (above.child_count > 0 && end != child_pool_.size()) {
        for (size_t i = 0; i < count; i++)
            append_child(parent, VertexId(first + i));
        return;
    }
    edges_ += count;
    if (above.child_count == 0) {
        above.inner = uint32_t(inner_count_++);
        above.children = uint32_t(child_pool_.size());
    }
    size_t before = child_pool_.size();
    child_pool_.resize(before + count);
    std::iota(child_pool_.begin() + long(before), child_pool_.end(), first);
    above.child_count += uint32_t(count);
}

VertexId Graph::add(VertexId parent, const NewVertex &vertex)
{
    return add_many(parent, vertex, 1, 1);
}

VertexId Graph::add_many(VertexId parent, const NewVertex &vertex, size_t count, int64_t stride)
{
    if (count > limit_ || vertices_.size() + count > limit_)
        throw Error(EOVERFLOW, "more than {} vertices", limit_);
    for (auto text : {vertex.type, vertex.basename, vertex.name})
        if (text.find('/') != text.npos)
            throw Error(EINVAL, "a vertex cannot be named \"{}\": / separates the names in a path",
                        quoted(text, 80));
    VertexId first = VertexId(vertices_.size());
    Vertex made;
    made.type = type(vertex.type);
    made.basename = texts_.intern(vertex.basename.empty() ? vertex.type : vertex.basename);
    uint32_t unit = texts_.intern(vertex.unit);
    if (unit > UINT16_MAX)
        throw Error(EOVERFLOW, "too many names before the unit {}", vertex.unit);
    made.unit = uint16_t(unit);
    made.size = vertex.size;
    made.rank = vertex.rank;
    made.subsystem = vertex.subsystem;
    made.parent = parent;
    made.id = vertex.id;
    Kind &kind = kinds_[made.type];
    kind.pooled = kind.pooled || vertex.size != 1;
    kind.other_subsystem = kind.other_subsystem || vertex.subsystem != containment;
    kind.unit = kind.unit == -2 || kind.unit == int64_t(unit) ? int64_t(unit) : -1;
    if (!vertex.name.empty() && vertex.name != fmt::format("{}{}", texts_[made.basename], vertex.id))
        made.name = texts_.intern(vertex.name);
    kind.count += count;
    for (size_t i = 0; i < count; i++, made.id += stride) {
        made.uniq_id = vertex.uniq_id.value_or(int64_t(first + i));
        vertices_.push_back(made);
    }
    if (parent != no_vertex)
        append_children(parent, first, count);
    else if (count > 0 && roots_[vertex.subsystem] == no_vertex)
        roots_[vertex.subsystem] = first;
    if (!is_host(made.type) || made.subsystem != containment)
        return first;
    for (VertexId v = first; v < vertices_.size(); v++) {
        hosts_.push_back(v);
        if (made.rank >= 0)
            by_rank_[made.rank].push_back(v);
    }
    return first;
}

void Graph::link(VertexId from, VertexId to, uint8_t subsystem, std::string_view relation)
{
    uint32_t number = uint32_t(links_.size());
    links_.push_back({from, to, subsystem, texts_.intern(relation)});
    links_from_[from].push_back(number);
    links_to_[to].push_back(number);
    if (vertices_[to].subsystem == containment || kinds_[vertices_[to].type].supplies)
        mark_supplier(from);
}

// Also what stands above it in its own subsystem, and what supplies it.
void Graph::mark_supplier(VertexId v)
{
    bool &supplies = kinds_[vertices_[v].type].supplies;
    if (supplies)
        return;
    supplies = true;
    if (vertices_[v].subsystem != containment && vertices_[v].parent != no_vertex)
        mark_supplier(vertices_[v].parent);
    for (uint32_t number : links_to(v))
        mark_supplier(links_[number].from);
}

namespace {
const std::vector<uint32_t> no_links;
const std::vector<VertexId> no_vertices;
} // namespace

const std::vector<uint32_t> &Graph::links_from(VertexId v) const
{
    auto found = links_from_.find(v);
    return found == links_from_.end() ? no_links : found->second;
}

const std::vector<uint32_t> &Graph::links_to(VertexId v) const
{
    auto found = links_to_.find(v);
    return found == links_to_.end() ? no_links : found->second;
}

const std::vector<VertexId> &Graph::of_rank(int rank) const
{
    auto found = by_rank_.find(rank);
    return found == by_rank_.end() ? no_vertices : found->second;
}

std::string Graph::name(VertexId v) const
{
    const Vertex &vertex = vertices_[v];
    return vertex.name ? texts_[vertex.name] : fmt::format("{}{}", texts_[vertex.basename], vertex.id);
}

std::string Graph::path(VertexId v) const
{
    const Vertex &vertex = vertices_[v];
    return (vertex.parent == no_vertex ? std::string() : path(vertex.parent)) + "/" + name(v);
}

std::optional<VertexId> Graph::find_path(std::string_view path) const
{
    if (!path.starts_with('/'))
        return std::nullopt;
    path.remove_prefix(1);
    auto next = [&] {
        std::string_view word = path.substr(0, path.find('/'));
        path.remove_prefix(std::min(path.size(), word.size() + 1));
        return word;
    };
    std::string_view word = next();
    for (VertexId root : roots_) {
        if (root == no_vertex || name(root) != word)
            continue;
        std::string_view saved = path;
        VertexId at = root;
        while (!path.empty() && at != no_vertex) {
            std::string_view wanted = next();
            VertexId found = no_vertex;
            for (VertexId child : children(at))
                if (name(child) == wanted) {
                    found = child;
                    break;
                }
            at = found;
        }
        if (at != no_vertex)
            return at;
        path = saved;
    }
    return std::nullopt;
}

bool Graph::is_ancestor(VertexId above, VertexId below) const
{
    for (VertexId at = below; at != no_vertex; at = vertices_[at].parent)
        if (at == above)
            return true;
    return false;
}

VertexId Graph::above(VertexId v, TypeId type) const
{
    while (v != no_vertex && vertices_[v].type != type)
        v = vertices_[v].parent;
    return v;
}

const std::string *Graph::property(VertexId v, std::string_view key) const
{
    const auto &set = properties(v);
    auto found = set.find(key);
    return found == set.end() ? nullptr : &found->second;
}

void Graph::set_property(VertexId v, std::string_view key, std::string_view value)
{
    if (TypeId type = vertices_[v].type; !is_host(type) && !kinds_[type].borne.contains(key))
        kinds_[type].borne.emplace(key);
    Properties changed = properties(v);
    changed.insert_or_assign(std::string(key), std::string(value));
    vertices_[v].properties = share(std::move(changed));
}

// Neighbours tend to have the same properties: the last few sets are looked at before a new one is made.
uint32_t Graph::share(Properties properties)
{
    if (properties.empty())
        return 0;
    for (size_t i = property_sets_.size(), tries = 8; i-- > 1 && tries-- > 0;)
        if (*property_sets_[i] == properties)
            return uint32_t(i);
    property_sets_.push_back(std::make_shared<const Properties>(std::move(properties)));
    return uint32_t(property_sets_.size() - 1);
}

bool Graph::remove_property(VertexId v, std::string_view key)
{
    Properties changed = properties(v);
    auto found = changed.find(key);
    if (found == changed.end())
        return false;
    changed.erase(found);
    vertices_[v].properties = share(std::move(changed));
    return true;
}

// The types with totals: those of the tree, nodes, cores and gpus first, then in the order in which they
// came.
void Graph::choose_tracked()
{
    std::vector<TypeId> wanted;
    for (auto name : {"core", "node", "gpu"})
        if (auto found = find_type(name))
            wanted.push_back(*found);
    for (size_t type = 1; type < types_.size(); type++)
        wanted.push_back(TypeId(type));
    for (TypeId type : wanted)
        if (kinds_[type].count > 0 && column_of_[type] < 0 && tracked_.size() < max_tracked) {
            column_of_[type] = int(tracked_.size());
            tracked_.push_back(type);
        }
}

void Graph::finish(VertexId from)
{
    const VertexId first_new = from;
    size_t columns_before = tracked_.size();
    choose_tracked();
    if (tracked_.size() != columns_before)
        from = 0; // the rows have another width
    size_t columns = tracked_.size();
    if (from == 0) {
        total_.assign(inner_count_ * columns, 0);
        up_.assign(inner_count_ * columns, 0);
    } else {
        total_.resize(inner_count_ * columns, 0);
        up_.resize(inner_count_ * columns, 0);
    }
    // Children have greater numbers than their parents: one sweep from the end adds everything up.
    for (size_t v = vertices_.size(); v-- > from;) {
        const Vertex &vertex = vertices_[v];
        if (vertex.parent == no_vertex || vertex.removed)
            continue;
        if (vertex.parent < from) {
            count_up(VertexId(v), total_, 1, false);
            if (!vertex.down)
                count_up(VertexId(v), up_, 1, true);
            continue;
        }
        size_t above = size_t(vertices_[vertex.parent].inner) * columns;
        auto add_up = [&](std::vector<int64_t> &table) {
            if (int column = column_of_[vertex.type]; column >= 0)
                table[above + size_t(column)] += vertex.size;
            if (vertex.child_count > 0)
                for (size_t column = 0; column < columns; column++)
                    table[above + column] += table[size_t(vertex.inner) * columns + column];
        };
        add_up(total_);
        if (!vertex.down)
            add_up(up_);
    }
    check_order(std::exchange(reordered_, false) ? 0 : first_new);
    compare_shapes(first_new);
    inner_finished_ = inner_count_;
}

namespace {

uint64_t mixed(uint64_t number) // the last step of splitmix64
{
    number = (number ^ (number >> 30)) * 0xbf58476d1ce4e5b9;
    number = (number ^ (number >> 27)) * 0x94d049bb133111eb;
    return number ^ (number >> 31);
}

} // namespace

// A vertex's shape is a number made of its type, size and unit, and of the shapes below it in any order.
void Graph::compare_shapes(VertexId from)
{
    if (from == 0)
        for (auto &kind : kinds_)
            kind.model = no_vertex, kind.unlike = false;
    size_t finished = from == 0 ? 0 : inner_finished_;
    std::vector<uint64_t> below(inner_count_ - finished);
    auto own_shape = [](const Vertex &vertex) {
        return mixed(mixed(uint64_t(vertex.type) << 16 | vertex.unit) + uint64_t(vertex.size));
    };
    Vertex last; // neighbours tend to be alike
    uint64_t shape_of_last = own_shape(last);
    for (size_t v = vertices_.size(); v-- > from;) {
        const Vertex &vertex = vertices_[v];
        if (vertex.removed)
            continue;
        if (vertex.type != last.type || vertex.unit != last.unit || vertex.size != last.size)
            last = vertex, shape_of_last = own_shape(vertex);
        uint64_t shape = shape_of_last;
        if (vertex.child_count > 0)
            shape = mixed(shape + below[vertex.inner - finished]);
        Kind &kind = kinds_[vertex.type];
        if (kind.model == no_vertex)
            kind.model = VertexId(v), kind.shape = shape;
        else if (kind.shape != shape)
            kind.unlike = true;
        if (vertex.parent == no_vertex)
            continue;
        if (vertex.parent >= from)
            below[vertices_[vertex.parent].inner - finished] += mixed(shape);
        else
            make_unlike(vertex.parent);
    }
}

// Something was added or taken below a vertex: it and those around it are not like others of their type any
// more.
void Graph::make_unlike(VertexId v)
{
    for (; v != no_vertex; v = vertices_[v].parent)
        kinds_[vertices_[v].type].unlike = true;
}

// Adds what v and all below it amount to to every vertex above (of those that are up: as far as they are).
void Graph::count_up(VertexId v, std::vector<int64_t> &table, int sign, bool only_up)
{
    size_t columns = tracked_.size();
    const Vertex vertex = vertices_[v];
    for (VertexId above = vertex.parent; above != no_vertex; above = vertices_[above].parent) {
        int64_t *sums = &table[size_t(vertices_[above].inner) * columns];
        if (int column = column_of_[vertex.type]; column >= 0)
            sums[column] += sign * vertex.size;
        if (vertex.child_count > 0)
            for (size_t column = 0; column < columns; column++)
                sums[column] += sign * table[size_t(vertex.inner) * columns + column];
        if (only_up && vertices_[above].down)
            return;
    }
}

void Graph::set_down(VertexId v, bool down, std::string_view reason)
{
    if (down && !reason.empty())
        down_reasons_[v] = reason;
    else
        down_reasons_.erase(v);
    if (vertices_[v].down == down)
        return;
    vertices_[v].down = down;
    count_up(v, up_, down ? -1 : 1, true);
}

const std::string &Graph::down_reason(VertexId v) const
{
    static const std::string none;
    auto found = down_reasons_.find(v);
    return found == down_reasons_.end() ? none : found->second;
}

void Graph::remove(VertexId v)
{
    if (vertices_[v].removed)
        return;
    if (!vertices_[v].down)
        count_up(v, up_, -1, true);
    count_up(v, total_, -1, false);
    bool hosts = false;
    std::vector<VertexId> below {v};
    while (!below.empty()) {
        VertexId at = below.back();
        below.pop_back();
        Vertex &vertex = vertices_[at];
        if (vertex.removed)
            continue;
        for (VertexId child : children(at))
            below.push_back(child);
        vertex.removed = vertex.down = true;
        removed_++;
        edges_ -= vertex.parent != no_vertex;
        hosts = hosts || is_host(vertex.type);
        if (vertex.rank >= 0 && by_rank_.contains(vertex.rank)) {
            std::erase(by_rank_[vertex.rank], at);
            if (by_rank_[vertex.rank].empty())
                by_rank_.erase(vertex.rank);
        }
    }
    if (hosts)
        std::erase_if(hosts_, [&](VertexId host) { return vertices_[host].removed; });
    VertexId parent = vertices_[v].parent;
    make_unlike(parent);
    if (parent == no_vertex) {
        if (VertexId &root = roots_[vertices_[v].subsystem]; root == v)
            root = no_vertex;
        return;
    }
    auto first = child_pool_.begin() + vertices_[parent].children;
    auto last = first + vertices_[parent].child_count;
    auto found = std::find(first, last, v);
    std::move(found + 1, last, found);
    *(last - 1) = no_vertex;
    vertices_[parent].child_count--;
    if (vertices_[parent].child_count == 0)
        vertices_[parent].inner = UINT32_MAX;
}

size_t Graph::bytes() const
{
    return vertices_.capacity() * sizeof(Vertex) + child_pool_.capacity() * sizeof(VertexId) +
           (total_.capacity() + up_.capacity()) * sizeof(int64_t) + links_.capacity() * sizeof(Link);
}

} // namespace flux::graph
