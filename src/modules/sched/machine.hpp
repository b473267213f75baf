// Machine: the resources that the scheduler gives out, as R on the outside and as a graph inside; no
// messages, no clock.
#pragma once
#include <map>
#include <memory>
#include <set>
#include <unordered_map>

#include "common/graph/emit.hpp"
#include "common/graph/matcher.hpp"
#include "common/job/jobspec.hpp"
#include "common/job/resource_set.hpp"

namespace flux {

struct MachineOptions {
    graph::MatcherOptions matching;
    graph::MatchFormat format = graph::MatchFormat::rv1_nosched; // rv1...: R has the scheduling key
    bool ignore_scheduling = false;                              // of the instance's R
};

class Machine {
public:
    // `all` is R of the instance; its scheduling key, when that is a graph, says how the resources hang
    // together.
    Machine(ResourceSet all, const MachineOptions &options);
    // R is what the nodes of the graph have.
    Machine(graph::Graph graph, const MachineOptions &options);

    const ResourceSet &all() const { return all_; }
    const Idset &up() const { return up_; }
    // By all jobs together. Costs what has changed since it was asked for the last time.
    const ResourceSet &allocated();
    ResourceSet down() const;      // also single cores and gpus that were set down
    graph::Matcher &matcher() { return *matcher_; }
    const graph::Matcher &matcher() const { return *matcher_; }
    graph::MatchFormat format() const { return format_; }
    // Grows with each change of what there is and what of it is up.
    uint64_t changes() const { return changes_; }
    // What can change without another graph: policy, traverser, divisible types, subsystems, format.
    void reconfigure(const MachineOptions &options);

    void set_up(const Idset &ranks, bool up);
    void set_reason(const Idset &ranks, std::string_view reason); // why ranks are down
    void shrink(const Idset &ranks);
    // Nodes that were not known before, down until they are set up. Of ranks that are known only the
    // properties change. The ranks that are new.
    Idset expand(const ResourceSet &nodes);
    // Jobs that were taken over without what they have on these ranks get it; those that cannot, with the
    // reason.
    std::vector<std::pair<int64_t, Error>> take_left_out(const Idset &ranks);
    void add_properties(const ResourceSet::Properties &properties);
    void remove_properties(const ResourceSet::Properties &properties);
    void adopt_properties(const ResourceSet &nodes); // these have what it says, and no others
    void set_expiration(double expiration); // seconds since the epoch; 0: none

    Expected<std::shared_ptr<const graph::JobRequest>> compile(const Jobspec &jobspec) const;
    // EOVERFLOW with a sentence when the job can never run here, whatever is up or free.
    Expected<void> feasible(const graph::JobRequest &request);
    // What a job has as R, with its times. Whoever has a node or socket as a whole has the cores and gpus in
    // it.
    ResourceSet resources_of(const graph::JobUse &use, const graph::JobRequest *request = nullptr) const;
    // A running job's resources are taken from the beginning. ENOENT or EBUSY says what is not there or
    // taken.
    Expected<void> take(int64_t id, const ResourceSet &resources);
    // The same of a job some of whose resources are not there: what is, and the rest when it comes (expand).
    Expected<void> take_rest(int64_t id, ResourceSet resources);
    // What jobs have that is not there.
    const std::map<int64_t, ResourceSet> &left_out() const { return left_out_; }
    Expected<void> set_end(int64_t id, graph::Time end); // ENOENT, EINVAL
    // All that the job has, or what it has on these ranks.
    void free(int64_t id);
    void free(int64_t id, const Idset &ranks);
    // A part of what the job has. True when nothing is left; ENOENT when it is not there.
    Expected<bool> release(int64_t id, const ResourceSet &part);

    // --- machine_changes.cpp: what administrators change
    // What was set down stays so until it is set up again. ENOENT; EINVAL to set up what the resource module
    // says is down.
    Expected<void> set_status(std::string_view path, bool up);
    // New nodes have ranks below `brokers` that no other node has, or none. EINVAL, ENOENT.
    Expected<void> add_subgraph(const Json &jgf, uint32_t brokers);
    // EBUSY while a job uses something of it.
    Expected<void> remove_subgraph(std::string_view path);

private:
    using ShapePtr = std::shared_ptr<const ResourceSet::NodeShape>;
    struct Taken { // of a host: mostly all of it, which hosts that are alike share
        ShapePtr whole;
        ResourceSet::NodeShape part;
        ShapePtr shape() const;
    };
    using Shapes = std::map<uint32_t, Taken>; // by rank
    void begin(graph::Graph machine, const MachineOptions &options);
    void add_host_resources(graph::VertexId v, Shapes &shapes) const;
    void add_below(graph::VertexId v, ResourceSet::NodeShape &shape) const;
    Idset ranks_with(const std::vector<graph::VertexId> &vertices) const;
    void add_hosts_below(graph::VertexId v, Shapes &shapes) const;
    void add_allocated(graph::VertexId host, Shapes &shapes) const;
    const ShapePtr &whole_shape(graph::VertexId host) const;
    ResourceSet set_of(const Shapes &shapes) const; // what of it the instance has
    graph::VertexId host_of(graph::VertexId v) const;
    Expected<void> check_hosts(const std::vector<graph::VertexId> &added, uint32_t brokers) const;
    void adopt_hosts(const std::vector<graph::VertexId> &added);

    ResourceSet all_;
    ResourceSet allocated_; // as it was when it was asked for
    Idset up_;
    Idset known_;                         // ranks that the resource module has told of
    Idset told_down_;                     // by the resource module
    std::map<int64_t, ResourceSet> left_out_;
    std::set<graph::VertexId> held_down_; // by set_status
    uint64_t changes_ = 0;
    graph::MatchFormat format_;
    mutable std::unordered_map<graph::VertexId, ShapePtr> whole_; // of hosts, until the graph is another
    std::unique_ptr<graph::Matcher> matcher_;
};

} // namespace flux
