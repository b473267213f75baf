#include "modules/sched/machine.hpp"

#include <cmath>

#include "common/graph/readers.hpp"

namespace flux {

using graph::Graph;
using graph::VertexId;

namespace {

Graph graph_from(const ResourceSet &all, bool ignore_scheduling)
{
    if (!ignore_scheduling && all.scheduling().is_object() && all.scheduling()["graph"].is_object())
        return value_or_throw(graph::read_jgf(all.scheduling()));
    return graph::graph_of(all);
}

graph::Time graph_end(double expiration)
{
    return expiration > 0 ? graph::Time(std::ceil(expiration)) : graph::Graph::max_duration * 2;
}

// How many slots an allocation has: as asked for, or, where a count was a range, as its resources tell.
uint64_t slots_of(const std::vector<graph::Request> &list, uint64_t times, const Graph &graph,
                  const graph::Allocation &allocation)
{
    uint64_t slots = 0;
    for (const auto &one : list) {
        if (one.kind == graph::Request::Kind::resource) {
            slots += slots_of(one.with, times * (one.count.fixed() ? one.count.min() : 0), graph, allocation);
            continue;
        }
        if (one.count.fixed() && times > 0) {
            slots += times * one.count.min();
            continue;
        }
        const graph::Request *inside = &one;
        while (!inside->with.empty() && inside->with[0].kind != graph::Request::Kind::resource)
            inside = &inside->with[0];
        if (inside->with.empty())
            continue;
        uint64_t amount = 0;
        for (const auto &assigned : graph::expanded(graph, allocation))
            if (assigned.exclusive && graph[assigned.vertex].type == inside->with[0].type)
                amount += uint64_t(assigned.amount);
        slots += amount / std::max<uint64_t>(1, inside->with[0].count.min());
    }
    return slots;
}

bool has_scheduling_key(graph::MatchFormat format)
{
    return format == graph::MatchFormat::rv1 || format == graph::MatchFormat::rv1_shorthand;
}

} // namespace

Machine::Machine(ResourceSet all, const MachineOptions &options)
    : all_(std::move(all)), format_(options.format)
{
    known_ = all_.ranks();
    begin(graph_from(all_, options.ignore_scheduling), options);
    add_properties(all_.properties()); // a graph may have been written before there were queues
}

Machine::Machine(Graph graph, const MachineOptions &options) : format_(options.format)
{
    begin(std::move(graph), options);
    const Graph &machine = matcher_->graph();
    for (VertexId host : machine.hosts()) {
        Shapes shapes;
        add_host_resources(host, shapes);
        for (const auto &[rank, taken] : shapes) {
            auto shape = taken.shape();
            all_.merge_node(rank, machine.name(host), shape->cores, shape->gpus);
            for (const auto &[name, value] : machine.properties(host))
                (void)all_.add_property(name, Idset {rank});
        }
    }
    whole_.clear(); // R shares its own from now on
}

void Machine::begin(Graph machine, const MachineOptions &options)
{
    // Nothing is up before somebody says so.
    for (VertexId host : std::vector<VertexId>(machine.hosts().begin(), machine.hosts().end()))
        if (machine[host].rank >= 0) {
            machine.set_down(host, true);
            if (machine[host].rank < int32_t(ResourceSet::max_ranks))
                told_down_.add(uint32_t(machine[host].rank));
        }
    graph::MatcherOptions matching = options.matching;
    matching.graph_end = graph_end(all_.expiration());
    matcher_ = std::make_unique<graph::Matcher>(std::move(machine), std::move(matching));
}

void Machine::reconfigure(const MachineOptions &options)
{
    format_ = options.format;
    matcher_->reconfigure(options.matching);
}

void Machine::set_up(const Idset &ranks, bool up)
{
    changes_++;
    if (up)
        told_down_ -= ranks;
    else
        told_down_ |= ranks;
    for (uint32_t rank : ranks) {
        if (!all_.find(rank))
            continue;
        bool held = false;
        for (VertexId host : matcher_->graph().of_rank(int(rank))) {
            held = held || held_down_.contains(host);
            matcher_->set_down(host, !up || held_down_.contains(host));
        }
        if (up && !held)
            up_.add(rank);
        else
            up_.remove(rank);
    }
}

void Machine::set_reason(const Idset &ranks, std::string_view reason)
{
    for (uint32_t rank : ranks)
        for (VertexId host : matcher_->graph().of_rank(int(rank)))
            if (matcher_->graph()[host].down)
                matcher_->set_down(host, true, reason);
}

void Machine::shrink(const Idset &ranks)
{
    whole_.clear();
    changes_++;
    for (uint32_t rank : ranks)
        for (VertexId host : std::vector<VertexId>(matcher_->graph().of_rank(int(rank)))) {
            matcher_->shrink(host);
            held_down_.erase(host);
        }
    all_ = all_.without(ranks);
    up_ -= ranks;
}

void Machine::set_expiration(double expiration)
{
    changes_++;
    all_.set_expiration(expiration);
    matcher_->set_graph_end(graph_end(expiration));
}

Expected<std::shared_ptr<const graph::JobRequest>> Machine::compile(const Jobspec &jobspec) const
{
    auto request = graph::compile_request(jobspec, matcher_->graph());
    if (!request)
        return std::unexpected(request.error());
    return std::make_shared<const graph::JobRequest>(std::move(*request));
}

Expected<void> Machine::feasible(const graph::JobRequest &request)
{
    auto match = matcher_->match(graph::MatchOp::satisfiability, 0, request, 0);
    if (match)
        return {};
    if (match.error().errnum() != ENODEV)
        return std::unexpected(match.error());
    return fail(EOVERFLOW, "never satisfiable: {}", matcher_->explain_never(request, 0));
}

VertexId Machine::host_of(VertexId v) const
{
    const Graph &graph = matcher_->graph();
    while (v != graph::no_vertex && !graph.is_host(graph[v].type))
        v = graph[v].parent;
    return v;
}

Machine::ShapePtr Machine::Taken::shape() const
{
    if (whole && part.empty())
        return whole;
    auto out = std::make_shared<ResourceSet::NodeShape>(part);
    if (whole) {
        out->cores |= whole->cores;
        out->gpus |= whole->gpus;
    }
    return out;
}

// Whoever has a rack as a whole has the hosts in it.
void Machine::add_hosts_below(VertexId v, Shapes &shapes) const
{
    for (VertexId child : matcher_->graph().children(v)) {
        if (matcher_->graph().is_host(matcher_->graph()[child].type))
            add_host_resources(child, shapes);
        else
            add_hosts_below(child, shapes);
    }
}

void Machine::add_host_resources(VertexId v, Shapes &shapes) const
{
    const Graph &graph = matcher_->graph();
    VertexId host = host_of(v);
    if (host == graph::no_vertex)
        return add_hosts_below(v, shapes);
    if (graph[host].rank < 0)
        return;
    auto &taken = shapes[uint32_t(graph[host].rank)];
    if (v == host && !taken.whole)
        taken.whole = whole_shape(host);
    else
        add_below(v, taken.part);
}

void Machine::add_below(VertexId v, ResourceSet::NodeShape &shape) const
{
    const Graph &graph = matcher_->graph();
    std::vector<VertexId> below {v};
    while (!below.empty()) {
        VertexId at = below.back();
        below.pop_back();
        const std::string &type = graph.type_name_of(at);
        if (type == "core" && graph[at].id >= 0)
            shape.cores.add(uint32_t(graph[at].id));
        else if (type == "gpu" && graph[at].id >= 0)
            shape.gpus.add(uint32_t(graph[at].id));
        for (VertexId child : graph.children(at))
            below.push_back(child);
    }
}

const Machine::ShapePtr &Machine::whole_shape(VertexId host) const
{
    auto &known = whole_[host];
    if (known)
        return known;
    ResourceSet::NodeShape shape;
    add_below(host, shape);
    auto node = all_.find(uint32_t(matcher_->graph()[host].rank));
    known = node && *node->shape() == shape ? node->shape()
                                          : std::make_shared<const ResourceSet::NodeShape>(std::move(shape));
    return known;
}

ResourceSet Machine::set_of(const Shapes &shapes) const
{
    ResourceSet out;
    ShapePtr last; // nodes tend to give the same
    for (const auto &[rank, taken] : shapes) {
        auto shape = taken.shape();
        if (!last || (last != shape && *last != *shape))
            last = std::move(shape);
        if (auto node = all_.find(rank))
            out.merge_node(*node, last);
    }
    return out;
}

ResourceSet Machine::resources_of(const graph::JobUse &use, const graph::JobRequest *request) const
{
    Shapes shapes;
    for (const auto &one : use.allocation)
        if (one.exclusive && !one.covered)
            add_host_resources(one.vertex, shapes);
    ResourceSet out = set_of(shapes);
    for (const auto &[name, ranks] : all_.properties())
        if (Idset own = ranks & out.ranks(); !own.empty() && !name.starts_with('+'))
            (void)out.add_property(name, own);
    if (request)
        out.set_nslots(slots_of(request->resources, 1, matcher_->graph(), use.allocation));
    out.set_starttime(double(use.start));
    out.set_expiration(use.end < graph_end(0) ? double(use.end) : 0);
    if (has_scheduling_key(format_))
        out.set_scheduling(
            graph::emit_jgf(matcher_->graph(), use.allocation, format_ == graph::MatchFormat::rv1_shorthand));
    return out;
}

Expected<void> Machine::take(int64_t id, const ResourceSet &resources)
{
    bool has_graph = resources.scheduling().is_object() && resources.scheduling()["graph"].is_object();
    auto picks = has_graph ? graph::jgf_picks(matcher_->graph(), resources.scheduling())
                           : graph::picks_of(matcher_->graph(), resources);
    if (!picks)
        return std::unexpected(picks.error());
    if (std::max(resources.starttime(), resources.expiration()) > double(graph_end(0)))
        return fail(EINVAL, "R: execution.starttime or expiration is later than {}", graph_end(0));
    auto start = graph::Time(resources.starttime());
    auto end = resources.expiration() > 0 ? graph::Time(std::ceil(resources.expiration())) : graph_end(0);
    return matcher_->restore(id, *picks, start, std::max(end, start + 1), false);
}

Expected<void> Machine::take_rest(int64_t id, ResourceSet resources)
{
    resources.set_scheduling(Json()); // of vertices that may be gone
    ResourceSet missing = resources;
    if (!missing.subtract(all_).empty())
        left_out_.insert_or_assign(id, std::move(missing));
    resources.intersect(all_);
    if (resources.empty())
        return {};
    return take(id, resources);
}

void Machine::free(int64_t id)
{
    (void)matcher_->cancel(id); // a job that is not known has nothing
    left_out_.erase(id);
}

void Machine::free(int64_t id, const Idset &ranks)
{
    const Graph &graph = matcher_->graph();
    (void)matcher_->release(id, [&](VertexId v) {
        return graph.is_host(graph[v].type) && graph[v].rank >= 0 && ranks.contains(uint32_t(graph[v].rank));
    });
    if (auto found = left_out_.find(id); found != left_out_.end()) {
        found->second = found->second.without(ranks);
        if (found->second.empty())
            left_out_.erase(found);
    }
}

Expected<void> Machine::set_end(int64_t id, graph::Time end)
{
    auto found = left_out_.find(id);
    if (found != left_out_.end())
        found->second.set_expiration(double(end));
    if (found != left_out_.end() && !matcher_->find(id))
        return {};
    return matcher_->set_end(id, end);
}

Expected<bool> Machine::release(int64_t id, const ResourceSet &part)
{
    const auto *use = matcher_->find(id);
    if (!use)
        return fail(ENOENT, "there is no job {}", id);
    auto picks = graph::picks_of(matcher_->graph(), part);
    if (!picks)
        return std::unexpected(picks.error());
    std::set<VertexId> gone;
    for (const auto &pick : *picks)
        gone.insert(pick.vertex);
    // Who has a node as a whole gives it back with all that R can name of it.
    ResourceSet had = resources_of(*use);
    for (const auto &node : had.nodes())
        if (part.contains(had.subset(Idset {node.rank})))
            for (VertexId host : matcher_->graph().of_rank(int(node.rank)))
                gone.insert(host);
    return matcher_->release(id, [&](VertexId v) { return gone.contains(v); });
}

// The hosts that these vertices are, are in, or have below them.
Idset Machine::ranks_with(const std::vector<VertexId> &vertices) const
{
    const Graph &graph = matcher_->graph();
    std::vector<uint32_t> found;
    for (VertexId v : vertices) {
        VertexId host = host_of(v);
        std::vector<VertexId> below {host == graph::no_vertex ? v : host};
        while (!below.empty()) {
            VertexId at = below.back();
            below.pop_back();
            if (!graph.is_host(graph[at].type))
                below.insert(below.end(), graph.children(at).begin(), graph.children(at).end());
            else if (graph[at].rank >= 0)
                found.push_back(uint32_t(graph[at].rank));
        }
    }
    std::ranges::sort(found);
    Idset out;
    for (uint32_t rank : found)
        out.add(rank);
    return out;
}

// What jobs have of a host.
void Machine::add_allocated(VertexId host, Shapes &shapes) const
{
    const Graph &graph = matcher_->graph();
    const graph::Schedule &schedule = matcher_->schedule();
    for (VertexId at = host; at != graph::no_vertex; at = graph[at].parent)
        if (schedule.taken(at))
            return add_host_resources(host, shapes);
    std::vector<VertexId> below {host};
    while (!below.empty()) {
        VertexId at = below.back();
        below.pop_back();
        if (schedule.taken(at) || (graph[at].child_count == 0 && schedule.held_part(at) > 0))
            add_host_resources(at, shapes);
        else
            for (VertexId child : graph.children(at))
                below.push_back(child);
    }
}

const ResourceSet &Machine::allocated()
{
    auto changed = matcher_->take_changed_uses();
    Idset ranks = changed ? ranks_with(*changed) : all_.ranks();
    Shapes shapes;
    for (uint32_t rank : ranks)
        for (VertexId host : matcher_->graph().of_rank(int(rank)))
            add_allocated(host, shapes);
    allocated_ = allocated_.without(ranks);
    allocated_.unite(set_of(shapes));
    return allocated_;
}

} // namespace flux
