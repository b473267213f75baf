// EvLoop: the loop in real time, over libev (epoll).
#pragma once
#include <memory>

#include "common/runtime/loop.hpp"

namespace flux {

class RealClock : public Clock {
public:
    Duration now() const override;
    double wall_time() const override;
    static RealClock &instance();
};

class EvLoop : public Loop {
public:
    EvLoop();
    ~EvLoop() override;

    void post_from_any_thread(Callback fn) override;
    TimerId after(Duration delay, Callback fn) override;
    void cancel(TimerId id) override;
    std::unique_ptr<FdWatch> watch_fd(int fd, bool read, bool write, FdCallback fn) override;
    void run() override;
    void stop() override;
    // Looks at timers and descriptors (waiting for one when `wait` is true and nothing is ready), then runs what is
    // ready.
    void step(bool wait);

    // Calls fn when the process gets the signal. At most one loop of a process watches a given signal.
    class SignalWatch;
    std::shared_ptr<SignalWatch> watch_signal(int signum, std::function<void(int)> fn);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace flux
