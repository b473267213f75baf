// Overlay: this broker's place in the tree. Admits children, joins the parent, makes both peers of the router, watches
// over them and tells the parent how the subtree fares.
//
// On a link two kinds of messages are the overlay's own: the first, a request "overlay.hello" {"rank", "version"}, which
// the parent answers once it takes children in, with {"uuid", "attributes"} or an error; and control messages (RFC 3),
// whose type is one of overlay_control. Everything else is the router's.
#pragma once
#include <map>

#include "broker/broker.hpp"
#include "common/runtime/link.hpp"

namespace flux {

// How a broker and the tree below it are (flux-overlay(1), "subtree status").
enum class SubtreeStatus { full, partial, degraded, lost, offline };
std::string_view status_name(SubtreeStatus status);

enum class overlay_control : uint32_t {
    keepalive = 0,  // nothing else was to be said for torpid_min
    status = 1,     // control_status: a SubtreeStatus, the sender's subtree
    goodbye = 2,    // the sender leaves in good order
    disconnect = 3, // from the parent: leave
};

// Attributes or keys tbon.torpid_min and tbon.torpid_max.
struct OverlayLimits {
    Duration torpid_min = std::chrono::seconds(5);
    Duration torpid_max = std::chrono::seconds(30); // zero: nobody is ever torpid
    static OverlayLimits from(const Attributes &attributes, const Json &config); // EINVAL
};

class Overlay : public Links::Receiver {
public:
    // Attributes that the root decides and every broker has: a parent passes them on in its answer to hello.
    static const std::vector<std::string> &inherited_attributes();

    // `links` may be null for an instance of one broker.
    Overlay(Broker &broker, std::unique_ptr<Links> links, OverlayLimits limits = {});
    ~Overlay() override;

    // Says hello to the parent and returns when it took this broker in (at the root: at once). Throws what the parent
    // refused it with, ECONNRESET when the link was lost before that.
    Task<> join();
    // From now on children are taken in; those that asked before are now.
    void admit_children();
    bool has_children() const { return !connected_.empty(); }
    // A child joined, left or fares otherwise, or the parent was lost.
    Condition &changed() { return *changed_; }
    // Why the parent is gone; nullopt while there is one (or there never was).
    const std::optional<std::string> &parent_lost() const { return parent_lost_; }
    // Says goodbye and ends all links.
    void leave();

    // overlay.health's answer: {"rank","status","duration","children":[...]}.
    Json health() const;
    SubtreeStatus status() const;
    // Ends the link to the child and loses its subtree. ENOENT when the rank is no connected child.
    void disconnect(uint32_t child_rank);

    void from_parent(Message message) override;
    void parent_lost(const std::string &why) override;
    void from_child(const RouteId &id, Message message) override;
    void child_lost(const RouteId &id, const std::string &why) override;

private:
    struct Child {
        uint32_t rank;
        SubtreeStatus status = SubtreeStatus::offline;
        Duration since;
        Duration last_heard {};
        std::optional<RouteId> id; // while connected
        std::string error;         // why it was lost
        bool torpid = false;
    };
    Child *child_of_rank(uint32_t rank);
    void hello(const RouteId &id, Message message);
    void admit(const RouteId &id, const Message &hello);
    void control(Child &child, const Message &message);
    void remove_child(Child &child, SubtreeStatus status, const std::string &why);
    void set_status(Child &child, SubtreeStatus status);
    void set_torpid(Child &child, bool torpid);
    void tell_parent_status();
    void send_to_parent(const Message &message);
    void send_to_child(const RouteId &id, uint32_t rank, const Message &message);
    bool tracing() const { return broker_.overlay_tracer().active(); }
    void trace(std::optional<uint32_t> peer, Tracer::Way way, const Message &message); // no peer: the parent
    void keep_alive();
    Task<Json> health_request(Request request);
    void serve();

    Broker &broker_;
    std::unique_ptr<Links> links_;
    OverlayLimits limits_;
    std::vector<Child> children_;        // all that the topology has, ascending by rank
    std::map<RouteId, Child *> connected_;
    std::vector<std::pair<RouteId, Message>> waiting_; // hellos that came before admit_children()
    bool admitting_ = false;
    bool leaving_ = false;
    std::optional<Expected<Message>> hello_answer_;
    std::optional<RouteId> parent_id_;
    std::optional<std::string> parent_lost_;
    SubtreeStatus told_ = SubtreeStatus::full;
    Duration since_; // own status
    Duration last_sent_ {};
    std::shared_ptr<Condition> changed_; // who waits in overlay.health may outlive the overlay
    Timer keepalive_;
};

} // namespace flux
