// What the resource commands show: the scheduler's view (up, down, allocated, free) and the administrator's
// (available, drained, excluded, online), each as rows of nodes that are alike.
#pragma once
#include <string>
#include <vector>

#include "cmd/command.hpp"
#include "cmd/output_format.hpp"
#include "common/job/resource_set.hpp"

namespace flux::cmd {

class SchedulerView {
public:
    explicit SchedulerView(Session &flux);
    // all, up, down, allocated, free. EINVAL.
    ResourceSet state(std::string_view name) const;
    // The queues (of the configuration) that a node belongs to.
    std::vector<std::string> queues_of(uint32_t rank) const;
    const ResourceSet &all() const { return all_; }
    bool has_queue(const std::string &name) const { return config_.at("queues", name).is_object(); }
    // Keeps only what is in these queues, or on these hosts or ranks. EINVAL names a queue that is not there.
    void keep_queues(const std::vector<std::string> &names);
    void keep_targets(const std::string &hosts_or_ranks);
    const Json &config() const { return config_; }

private:
    Json config_;
    ResourceSet all_, allocated_, down_;
};

struct ResourceRow {
    std::string state; // with "*" when offline
    bool online = true;
    double timestamp = 0;
    std::string reason, queue, properties, propertiesx;
    ResourceSet set;
    bool same_line(const ResourceRow &other) const;
};

extern const FormatFields resource_list_fields, resource_status_fields;
FieldValue resource_field(const ResourceRow &row, std::string_view field, bool color);
// Clears what the format does not show, so that rows that then are alike become one line.
void merge_rows(std::vector<ResourceRow> &rows, const OutputFormat &format);

} // namespace flux::cmd
