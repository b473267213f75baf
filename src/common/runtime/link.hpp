// Links: the connections of one broker in the tree, one to its parent and one from each child. The sixth interface to
// the outside world: ZeroMQ with CURVE in a real broker, queues that delay and break in simulation.
//
// A link carries whole messages in order, or is lost; what was under way on it is then lost too. Losing is told once,
// as soon as the transport notices (a closed connection: at once). A child is known by its broker's uuid, which it
// announces when it connects; whether it may is decided by its key, before its first message is delivered.
#pragma once
#include <string>

#include "common/message/message.hpp"

namespace flux {

// Where a broker listens for its children and what proves that it is the one meant.
struct LinkAddress {
    std::string uri;        // tcp://HOST:PORT, ipc://PATH, or what the simulated network understands
    std::string public_key; // CURVE, Z85 (40 characters); empty where the transport needs none
};

class Links {
public:
    class Receiver {
    public:
        virtual ~Receiver() = default;
        virtual void from_parent(Message message) = 0;
        virtual void parent_lost(const std::string &why) = 0;
        virtual void from_child(const RouteId &child, Message message) = 0;
        virtual void child_lost(const RouteId &child, const std::string &why) = 0;
    };
    virtual ~Links() = default;

    // Calls come from the top of the loop, none from inside another call of this interface.
    virtual void set_receiver(Receiver *receiver) = 0;
    // Sends to a peer that is lost, or never was, are dropped.
    virtual void send_to_parent(const Message &message) = 0;
    virtual void send_to_child(const RouteId &child, const Message &message) = 0;
    // Ends the link to a child; child_lost is not called for it, and what it still sends is ignored.
    virtual void drop_child(const RouteId &child) = 0;
    // Delivers what was sent, as far as the peers still take it, and ends all links.
    virtual void close() = 0;
};

} // namespace flux
