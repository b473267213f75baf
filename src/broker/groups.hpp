// Groups: named sets of ranks (broker.online, broker.torpid, and what modules make of them). Each broker knows the
// members of its own subtree; changes of one turn travel to the parent together, once there is one, and rank 0 knows all.
#pragma once
#include <map>
#include <set>

#include "common/client/handle.hpp"
#include "common/types/idset.hpp"

namespace flux {

class Broker;

class Groups {
public:
    explicit Groups(Broker &broker);
    void serve(); // groups.get, .join, .leave, .update

    // Of this broker's subtree; empty for a group that nobody is in.
    Idset members(std::string_view name) const;
    void change(const std::string &name, const Idset &join, const Idset &leave);
    void join(const std::string &name); // this rank
    void leave(const std::string &name);
    // There is a parent now, which hears what its subtree's members are.
    void parent_joined() { tell_parent(); }
    // A child is gone: it and all below it leave every group.
    void leave_all(uint32_t child_rank);
    Condition &changed() { return changed_; }

private:
    Task<> get(Request request);
    Json join_request(Request &request);
    Json leave_request(Request &request);
    void update(Request request);
    void tell_parent();
    void forget(const RouteId &client);

    Broker &broker_;
    std::map<std::string, Idset, std::less<>> groups_;
    std::map<std::string, std::set<RouteId>, std::less<>> clients_; // who joined this rank to a group
    std::map<std::string, Idset> told_;                             // what the parent knows
    bool telling_ = false;
    Condition changed_;
};

} // namespace flux
