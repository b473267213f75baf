// Pipe: one direction of a simulated connection. Messages arrive in order, each after its own delay, encoded
// and decoded on the way, until the pipe is cut.
#pragma once
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "common/message/message.hpp"
#include "common/runtime/random.hpp"
#include "common/runtime/sim_loop.hpp"
#include "sim/trace.hpp"

namespace flux::sim {

// How long a message, a commit or a start takes: uniform between two bounds, now and then much longer.
struct Delay {
    Duration least {};
    Duration most {};
    double slow_chance = 0;
    Duration slow {}; // at most this much more
    Duration draw(Random &random) const;
};

// What every part of a run shares.
struct Physics {
    SimLoop &loop;
    Random &random;
    Trace &trace;
};

class Pipe {
public:
    using Deliver = std::function<void(Message)>;
    // `where` tells this pipe's messages from others' in the trace.
    Pipe(Physics physics, uint64_t where, Delay delay, Deliver deliver);
    ~Pipe() { *alive_ = false; }
    Pipe(const Pipe &) = delete;

    void send(const Message &message);
    void set_delay(Delay delay) { delay_ = delay; }
    // Nothing arrives before this moment: a link that stalls.
    void stall_until(Duration when) { last_due_ = std::max(last_due_, when); }
    // A connection that is not made yet: what is sent waits.
    void hold() { open_ = false; }
    void open();
    // What is under way is lost, so is what is sent later.
    void cut();
    // Calls `then` once everything sent has arrived.
    void drain(std::function<void()> then);
    bool idle() const { return queue_.empty(); }

private:
    struct Item {
        Duration due;
        std::string bytes;
    };
    void arm();
    void arrive();
    Physics physics_;
    uint64_t where_;
    Delay delay_;
    Deliver deliver_;
    bool open_ = true;
    bool cut_ = false;
    std::deque<Item> queue_;
    Duration last_due_ {};
    Timer timer_;
    std::function<void()> drained_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

} // namespace flux::sim
