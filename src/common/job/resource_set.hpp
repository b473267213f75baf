// ResourceSet: concrete resources, R (RFC 20 version 1): which cores and gpus of which execution targets.
//
// Held as runs of consecutive ranks that have the same and whose hosts follow each other in a list of hosts:
// 100,000 equal nodes are one run, and a set operation is one sweep over the runs.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/error.hpp"
#include "common/base/input_iterator.hpp"
#include "common/json/json.hpp"
#include "common/types/constraint.hpp"
#include "common/types/hostlist.hpp"
#include "common/types/idset.hpp"

namespace flux {

class ResourceSet {
public:
    static constexpr size_t max_ranks = 1u << 20;

    struct NodeShape {
        Idset cores;
        Idset gpus;
        bool empty() const { return cores.empty() && gpus.empty(); }
        friend bool operator==(const NodeShape &, const NodeShape &) = default;
    };
    using Shape = std::shared_ptr<const NodeShape>;

    struct Run { // ranks first to end() - 1, each with the resources of the shape
        uint32_t first;
        uint32_t count;
        Shape shape;
        std::shared_ptr<const Hostlist> hosts; // null when they have no names
        uint32_t host;                         // the first rank's place in it
        size_t index;                          // how many nodes of the set stand before
        uint32_t end() const { return first + count; }
    };
    struct Node { // one rank of a set, as long as that is not changed
        uint32_t rank;
        const Run *run;

        const Idset &cores() const { return run->shape->cores; }
        const Idset &gpus() const { return run->shape->gpus; }
        const Shape &shape() const { return run->shape; }
        std::string hostname() const
        {
            return run->hosts ? run->hosts->nth(run->host + (rank - run->first)) : std::string();
        }
    };
    class Nodes;

    ResourceSet() = default;
    // EINVAL with a sentence that names the key. Overlapping R_lite entries and a nodelist of another length
    // are errors.
    template <std::same_as<Json> J> // a std::string must not become a Json
    static Expected<ResourceSet> parse(const J &json)
    {
        return from_json(json);
    }
    static Expected<ResourceSet> from_json(const Json &json);
    static Expected<ResourceSet> parse(std::string_view text);
    Json to_json() const; // ranks with equal children merged
    std::string encode() const { return to_json().dump(); }

    Nodes nodes() const; // in rank order
    std::span<const Run> runs() const { return runs_; }
    std::optional<Node> find(uint32_t rank) const noexcept;
    bool empty() const noexcept { return runs_.empty(); }
    size_t nnodes() const noexcept { return runs_.empty() ? 0 : runs_.back().index + runs_.back().count; }
    size_t ncores() const noexcept;
    size_t ngpus() const noexcept;
    Idset ranks() const;
    Hostlist nodelist() const;
    Idset ranks_of(const Hostlist &hosts) const; // every rank whose host is in the list
    // Throws Error: EEXIST when the rank is there, E2BIG over max_ranks.
    void add_node(uint32_t rank, std::string_view host, Idset cores, Idset gpus = {});
    // Adds resources to a rank that may be there already (a graph scheduler's pieces).
    void merge_node(uint32_t rank, std::string_view host, const Idset &cores, const Idset &gpus = {});
    // For schedulers: takes another set's node with only these resources; merges like merge_node.
    void merge_node(const Node &from, Shape shape);

    // Set algebra per core and gpu. Nodes left with nothing disappear. Properties follow the ranks; the times
    // and scheduling are this set's, or the other's where this has none (unite).
    ResourceSet &unite(const ResourceSet &other);
    ResourceSet &subtract(const ResourceSet &other);
    ResourceSet &intersect(const ResourceSet &other);
    bool contains(const ResourceSet &other) const;
    bool intersects(const ResourceSet &other) const;
    ResourceSet subset(const Idset &ranks) const; // whole nodes
    ResourceSet without(const Idset &ranks) const;
    ResourceSet matching(const ResourceConstraint &constraint) const;
    // The same resources by rank, whatever the hosts, properties and times.
    bool same_resources(const ResourceSet &other) const;

    // Ranks become 0,1,2... in rank order: how a nested instance takes over its R.
    void remap();
    // Ranks become each host's index in the list. ENOENT names a host that is not in it.
    Expected<void> rerank(const Hostlist &hosts);
    void set_hosts(const Hostlist &hosts); // in rank order; throws Error(EINVAL) when the sizes differ

    // Properties (RFC 20): name -> ranks, only those of the set.
    using Properties = std::map<std::string, Idset, std::less<>>;
    const Properties &properties() const { return properties_; }
    bool has_property(uint32_t rank, std::string_view name) const noexcept;
    Expected<void> add_property(std::string_view name, const Idset &ranks); // EINVAL on illegal characters
    void remove_property(std::string_view name);
    void remove_property(std::string_view name, const Idset &ranks);
    void set_properties(Properties properties); // what they say of other ranks is left out
    static Expected<Properties> parse_properties(const Json &json); // EINVAL with a sentence
    static Json properties_json(const Properties &properties);
    void drop_instance_local_properties(); // those that begin with '+'

    double starttime() const { return starttime_; }   // seconds since the epoch; 0 is unset
    double expiration() const { return expiration_; } // the same
    void set_starttime(double seconds) { starttime_ = seconds; }
    void set_expiration(double seconds) { expiration_ = seconds; }
    uint64_t nslots() const { return nslots_; } // 0 when this is no allocation
    void set_nslots(uint64_t nslots) { nslots_ = nslots; }
    const Json &scheduling() const { return scheduling_; } // opaque; absent when there is none
    void set_scheduling(Json scheduling) { scheduling_ = std::move(scheduling); }

    // "rank[0-1]/core[0-3],gpu0 rank2/core0"
    std::string summary() const;

private:
    static void append(std::vector<Run> &runs, Run run);
    static ResourceSet unite_all(std::span<const Run> runs);
    void merge(Run run);
    template <class Combine>
    void combine(const ResourceSet &other, Combine combine);
    void restrict_properties();
    void renumber(const std::vector<uint32_t> &new_ranks);
    void read_execution(const Json &execution);

    std::vector<Run> runs_;
    std::shared_ptr<Hostlist>
        names_; // of nodes added one by one. It only grows, so that copies may share it.
    Properties properties_;
    double starttime_ = 0;
    double expiration_ = 0;
    uint64_t nslots_ = 0;
    Json scheduling_;
};

class ResourceSet::Nodes {
public:
    class Iterator : public InputIterator<Iterator, Node> {
    public:
        using InputIterator::operator++;
        Iterator() = default;
        explicit Iterator(const Run *run) : run_(run) {}
        Node operator*() const { return {run_->first + offset_, run_}; }
        Iterator &operator++()
        {
            if (++offset_ == run_->count) {
                offset_ = 0;
                run_++;
            }
            return *this;
        }
        friend bool operator==(const Iterator &, const Iterator &) = default;

    private:
        const Run *run_ = nullptr;
        uint32_t offset_ = 0;
    };

    explicit Nodes(const ResourceSet &set) : runs_(set.runs_), size_(set.nnodes()) {}
    Iterator begin() const { return Iterator(runs_.data()); }
    Iterator end() const { return Iterator(runs_.data() + runs_.size()); }
    size_t size() const { return size_; }
    Node operator[](size_t index) const; // below size(). O(log runs)
    Node front() const { return *begin(); }

private:
    std::span<const Run> runs_;
    size_t size_;
};

inline ResourceSet::Nodes ResourceSet::nodes() const
{
    return Nodes(*this);
}

} // namespace flux
