// resource: what this instance has and what of it can be used now (RFC 28, RFC 44). Rank 0 is the authority;
// the other ranks tell it what is found on their nodes, each passing on what came from below in one message.
#pragma once
#include "common/module/module.hpp"
#include "common/runtime/sync.hpp"
#include "modules/resource/eventlog.hpp"
#include "modules/resource/inventory.hpp"

namespace flux {

constexpr double pass_on_again_after = 1;      // seconds, when the parent did not take what was found
constexpr double save_again_after = 1;         // seconds, when resource.eventlog could not be written

class Resource : public Module {
public:
    explicit Resource(Context &context);
    Task<> start() override;
    void config_changed() override;
    Json stats() const override;

private:
    // resource.cpp: every rank
    Task<Json> topo_reduce(Request request);
    void topo_get(Request request);
    Task<> pass_on();
    std::string host_of(uint32_t node) const;
    Hostlist hosts() const;

    // resource.cpp: rank 0, the inventory
    Task<> take_stock();
    Task<> take_up_earlier(); // what was found before this module was loaded again
    void node_found(const Json &node);
    void set_inventory(Inventory inventory);
    Task<Json> reload(Request request);
    Json expiration_update(Request &request);
    Json get(Request &request);

    // configuration.cpp
    struct Properties {
        ResourceSet::Properties own; // of the nodes
        ResourceSet::Properties all; // with those that say which queue they are in
    };
    Properties with_memberships(ResourceSet::Properties own, const ResourceSet &R) const;
    bool exclude(const Idset &ranks);
    bool set_properties(Properties properties);
    void note_what_waits(bool config_taken);
    void store_R();

    // availability.cpp: rank 0, up and down
    Task<> follow_online();
    Task<> follow_torpid();
    void set_online(const Idset &now);
    Idset usable() const;
    void tell_scheduler(Json out = Json::object());
    Json what_there_is_now();
    void acquire(Request request);
    void begin_acquire();
    Json mute(Request &request);
    void forget(const RouteId &sender, std::optional<uint32_t> matchtag = {});
    Json status(Request &request);
    Task<Json> sched_status(Request request);
    Task<> wait_up(Request request);
    Json force_down(Request &request);

    // drain.cpp: rank 0
    Task<Json> drain(Request request);
    Task<Json> undrain(Request request);
    void undrain_excluded();
    Task<> drain_rank(uint32_t rank, std::string reason);
    Task<> replay_eventlog();
    void post(const Event &event, bool lasting);
    Task<> save();
    Task<> saved();
    void need_room() const;
    Task<> journal(Request request);

    Json loaded_with_; // the configuration when this module was loaded
    Verification verification_;
    bool restrict_;
    std::string xml_;             // the node's topology, once somebody asked
    Json upward_ = Json::array(); // to go to rank 0
    bool passing_ = false;

    Inventory inventory_;
    ResourceSet::Properties own_properties_; // what R has without the queues
    bool have_inventory_ = false;
    ResourceSet discovered_;
    Idset reported_;
    Idset excluded_;
    Idset online_;
    Idset torpid_;
    Idset forced_down_;
    DrainedNodes drained_;
    Condition changed_; // the inventory or what is up
    std::optional<Request> acquired_;
    bool acquire_answered_ = false; // else the inventory is not known yet
    bool muted_ = false;
    Idset told_; // what the scheduler believes to be up
    Idset told_of_; // the ranks that it knows
    ResourceSet::Properties told_properties_; // of those
    bool takes_more_ = false;                 // it takes ranks that it did not know at first
    // The parts of the last sched-status that depend on the inventory, and what they were made from.
    struct Shown {
        Idset excluded, usable;
        Json scheduler_down;
        Json all, down;
    } shown_;

    Journal journal_;
    Condition journal_grew_;
    std::string unsaved_; // lines for resource.eventlog
    uint64_t saving_ = 0, saved_ = 0;
    bool saver_runs_ = false;
    // Who waits hears once of a commit that failed; the lines are tried again.
    uint64_t tried_ = 0, failures_ = 0;
    std::optional<Error> save_failed_; // the last failure, until a commit succeeds
    Condition saved_some_;
    bool defined_here_ = false; // the inventory was known earlier in this broker's life
};

} // namespace flux
