// The resource module's events (RFC 44): all of them in memory for the journal, the lasting ones also in the
// KVS key resource.eventlog, from which the drained nodes are known again after a restart.
#pragma once
#include <deque>
#include <map>
#include <optional>
#include <string>

#include "common/job/eventlog.hpp"
#include "common/types/hostlist.hpp"
#include "common/types/idset.hpp"

namespace flux {

constexpr size_t max_unsaved = 1u << 20; // bytes of events that are not stored, then none is made on request
constexpr size_t default_journal_max = 100'000; // events in memory
constexpr std::string_view default_history = "90d"; // of resource.eventlog that a restart keeps

// How a drain or undrain is applied to a node that is in that state already (RFC 44, overwrite).
enum class Overwrite { nothing = 0, reason = 1, reason_and_time = 2 };

struct Drain {
    double timestamp = 0;
    std::string reason;
    friend bool operator==(const Drain &, const Drain &) = default;
};

// Drained ranks, as the events make them.
class DrainedNodes {
public:
    void drain(const Idset &ranks, double timestamp, const std::string &reason, Overwrite overwrite);
    void undrain(const Idset &ranks);
    // Applies a drain or undrain event of an earlier run; others do nothing. Ranks whose host is another one
    // now are replaced by the host's rank; hosts that are gone are forgotten.
    void replay(const Event &event, const Hostlist &hosts);

    bool contains(uint32_t rank) const { return drained_.contains(rank); }
    const Drain &at(uint32_t rank) const { return drained_.at(rank); }
    Idset ranks() const;
    // As resource.status answers: {"0-1": {"timestamp", "reason"}, ...}
    Json to_json() const;

private:
    std::map<uint32_t, Drain> drained_;
};

Event drain_event(double timestamp, const Idset &ranks, const Hostlist &hosts,
                  const std::optional<std::string> &reason, Overwrite overwrite);
Event undrain_event(double timestamp, const Idset &ranks, const Hostlist &hosts,
                    const std::optional<std::string> &reason, Overwrite overwrite);

// The events in memory. Positions count from the first event ever, so that a reader keeps its place.
class Journal {
public:
    explicit Journal(size_t limit) : limit_(limit) {}
    void set_limit(size_t limit);
    void append(Json event);
    uint64_t end() const { return first_ + events_.size(); }
    // From the position on; a truncate event stands for those that were dropped. R: of the last
    // resource-define.
    std::vector<Json> since(uint64_t position) const;

private:
    size_t limit_;
    uint64_t first_ = 0;
    std::deque<Json> events_;
    double dropped_at_ = 0; // timestamp of the last event that was dropped
};

} // namespace flux
