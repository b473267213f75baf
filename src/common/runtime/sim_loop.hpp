// SimLoop: the loop in virtual time. Nothing waits: when nothing is ready, the clock jumps to the next timer. One seed,
// one order of events: timers due at the same instant fire in the order in which they were set, all of them before what
// they set going.
#pragma once
#include <map>

#include "common/runtime/loop.hpp"

namespace flux {

class SimClock : public Clock {
public:
    Duration now() const override { return now_; }
    double wall_time() const override { return wall_start + to_seconds(now_); }
    void advance_to(Duration when) { now_ = when > now_ ? when : now_; }

    static constexpr double wall_start = 1'700'000'000.0;

private:
    Duration now_ = Duration::zero();
};

class SimLoop : public Loop {
public:
    explicit SimLoop(SimClock &clock) : Loop(clock), sim_clock_(clock) {}

    void post_from_any_thread(Callback fn) override { post(std::move(fn)); }
    TimerId after(Duration delay, Callback fn) override;
    void cancel(TimerId id) override;
    std::unique_ptr<FdWatch> watch_fd(int fd, bool read, bool write, FdCallback fn) override;
    // Until stop(), or until neither anything ready nor a timer is left.
    void run() override;
    void stop() override { stopping_ = true; }
    // Runs until `done` is true (checked between steps), the virtual deadline passes or nothing is left to happen.
    // True when done.
    bool run_until(const std::function<bool()> &done, Duration deadline);
    // Everything that is to happen up to and including `when`.
    void run_until_time(Duration when);
    uint64_t steps() const { return steps_; }

private:
    bool step(Duration deadline);
    SimClock &sim_clock_;
    std::map<std::pair<Duration, TimerId>, Callback> timers_;
    std::map<TimerId, Duration> deadlines_;
    TimerId next_timer_ = 1;
    uint64_t steps_ = 0;
    bool stopping_ = false;
};

} // namespace flux
