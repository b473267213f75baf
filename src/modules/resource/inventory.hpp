// The instance's R as it is given: by configuration, by the enclosing job, as fake resources; and how what is
// found on a node is compared with it. Values only.
#pragma once
#include <optional>
#include <string>

#include "common/job/resource_set.hpp"
#include "modules/resource/node.hpp"

namespace flux {

struct Inventory {
    ResourceSet R;
    std::string method; // RFC 44: configuration, dynamic-discovery, reload, job-info, kvs
    bool fake = false;  // its nodes are not brokers; they are always up
};

struct InventorySources {
    Json config;                    // the instance's whole configuration
    std::optional<std::string> job; // R of the enclosing job
    Hostlist hosts;                 // of the brokers, by rank
};

// nullopt: to be discovered. Throws Error that names the key or file and what is wrong with it.
std::optional<Inventory> given_inventory(const InventorySources &sources);
// R of a file, its ranks those of the brokers where its hosts are theirs.
ResourceSet read_R(const std::string &path, const Hostlist &hosts);
// The same of a directory with a topology RANK.xml of each rank.
ResourceSet read_topologies(const std::string &directory, const Hostlist &hosts);
// resource.journal-max and resource.history (seconds). EINVAL.
size_t journal_max(const Json &config);
double history_age(const Json &config);
// Ranks that resource.exclude names. EINVAL.
Idset excluded_ranks(const Json &config, const ResourceSet &all);
// The properties by which the hosts of queues are told (RFC 33: "+NAME" on those of queues.NAME.hosts).
// EINVAL.
ResourceSet::Properties queue_memberships(const Json &config, const ResourceSet &all);
// What [[resource.config]] says of properties now, when it is the same nodes as before that it says it of.
std::optional<ResourceSet::Properties> configured_properties(const InventorySources &sources,
                                                             const Inventory &before);
// Ranks or hosts as people write them. EINVAL names what is not in the set.
Idset parse_targets(std::string_view text, const ResourceSet &all);

// flux-config-resource(5), verify.
class Verification {
public:
    enum class Mode { strict, allow_extra, allow_missing, ignore };

    // in_job: the instance runs as a job, where nothing is verified unless that is asked for. EINVAL.
    Verification(const Json &config, bool in_job);
    bool enabled() const
    {
        return hostname_ != Mode::ignore || core_ != Mode::ignore || gpu_ != Mode::ignore;
    }
    // The reason for draining the rank; empty when it is as it should be.
    std::string mismatch(const ResourceSet &R, uint32_t rank, const std::string &host,
                         const NodeInventory &found) const;

private:
    Mode hostname_, core_, gpu_;
};

} // namespace flux
