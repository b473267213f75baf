// Machine: the resources that the scheduler gives out, as R on the outside and as a graph inside; no
// messages, no clock.
#pragma once
#include <memory>

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

    const ResourceSet &all() const { return all_; }
    const Idset &up() const { return up_; }
    ResourceSet allocated() const; // by all jobs together
    graph::Matcher &matcher() { return *matcher_; }
    const graph::Matcher &matcher() const { return *matcher_; }

    void set_up(const Idset &ranks, bool up);
    void set_reason(const Idset &ranks, std::string_view reason); // why ranks are down
    void shrink(const Idset &ranks);
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
    // All that the job has, or what it has on these ranks.
    void free(int64_t id);
    void free(int64_t id, const Idset &ranks);

private:
    void add_host_resources(graph::VertexId v, std::map<uint32_t, ResourceSet::NodeShape> &shapes) const;

    ResourceSet all_;
    Idset up_;
    graph::MatchFormat format_;
    std::unique_ptr<graph::Matcher> matcher_;
};

} // namespace flux
