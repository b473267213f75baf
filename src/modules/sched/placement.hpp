// Placement: which nodes, cores and gpus a job gets. First fit in rank order; no messages, no clock.
#pragma once
#include <set>
#include <unordered_map>
#include <vector>

#include "common/job/jobspec.hpp"
#include "common/job/resource_set.hpp"

namespace flux {

class Placement {
public:
    Placement() = default;
    explicit Placement(ResourceSet all);

    void set_up(const Idset &ranks, bool up);
    const Idset &up() const { return up_; }
    const ResourceSet &all() const { return all_; }
    ResourceSet allocated() const;

    // EOVERFLOW with a sentence when the job can never run here, whatever is up or free.
    Expected<void> feasible(const JobShape &shape, const Json &constraint) const;
    // The job's share; ENOSPC when it must wait. What is returned is taken until free().
    Expected<ResourceSet> allocate(const JobShape &shape, const Json &constraint);
    // Marks resources of running jobs. ENOENT or EEXIST says which are not there or taken.
    Expected<void> take(const ResourceSet &resources);
    void free(const ResourceSet &resources);

private:
    struct Node {
        uint32_t rank;
        Idset cores; // free
        Idset gpus;
    };
    ResourceSet pick(const JobShape &shape, const Json &constraint, bool anything) const;
    Node *find(uint32_t rank);

    ResourceSet all_;
    Idset up_;
    std::vector<Node> nodes_;                    // as all_.nodes()
    std::unordered_map<uint32_t, size_t> index_; // rank -> nodes_
    std::set<size_t> open_;                      // nodes that are up and have free cores
    size_t free_cores_ = 0;                      // of the nodes in open_
};

} // namespace flux
