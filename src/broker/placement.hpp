// Placement: where a module runs. On the broker's own loop, where a message to the next module is a queued pointer and no
// thread switch; or on a thread of its own, with a loop of its own, where messages cross through mailboxes.
#pragma once
#include <functional>
#include <memory>

#include "broker/module_actor.hpp"

namespace flux {

class Broker;

// The outside world of a thread: made by the broker's thread, used by the other, destroyed when that has ended.
class ThreadWorld {
public:
    virtual ~ThreadWorld() = default;
    virtual const Platform &platform() = 0;
};
using ThreadWorldFactory = std::function<std::unique_ptr<ThreadWorld>()>;

class Placement {
public:
    // Ends the module without asking it, wherever it is.
    virtual ~Placement() = default;
    virtual Task<> start() = 0; // throws what the module's start() throws
    virtual Task<> stop() = 0;
    virtual void deliver(Message message) = 0; // from the broker's loop
    virtual bool is_running() const = 0;
    virtual size_t receive_queue() const = 0; // messages that wait
    virtual size_t send_queue() const = 0;
};

// Fills in the setup's platform and ways to the broker. `id`: the module's identity as a peer of the router, which is
// added after and removed before the placement.
std::unique_ptr<Placement> place_on_broker_loop(Broker &broker, RouteId id, ModuleActor::Setup setup);
std::unique_ptr<Placement> place_on_thread(Broker &broker, RouteId id, ModuleActor::Setup setup);

} // namespace flux
