#include "common/runtime/sim_loop.hpp"

#include "common/base/error.hpp"

namespace flux {

Loop::TimerId SimLoop::after(Duration delay, Callback fn)
{
    auto id = next_timer_++;
    Duration deadline = delay > Duration::max() - now() ? Duration::max() : now() + delay;
    timers_.emplace(std::pair(deadline, id), std::move(fn));
    deadlines_.emplace(id, deadline);
    return id;
}

void SimLoop::cancel(TimerId id)
{
    if (auto deadline = deadlines_.extract(id))
        timers_.erase({deadline.mapped(), id});
}

std::unique_ptr<Loop::FdWatch> SimLoop::watch_fd(int, bool, bool, FdCallback)
{
    FLUX_ASSERT(!"a simulated loop has no file descriptors: go through Link, Spawner or Store");
    return nullptr;
}

bool SimLoop::step(Duration deadline)
{
    if (has_ready()) {
        steps_ += run_ready(1);
        return true;
    }
    if (has_background()) {
        steps_++;
        run_background();
        return true;
    }
    if (timers_.empty() || timers_.begin()->first.first > deadline)
        return false;
    // As a real loop does: every timer that is due by now, before what they set going.
    sim_clock_.advance_to(timers_.begin()->first.first);
    for (TimerId set_before = next_timer_; !timers_.empty() && !stopping_;) {
        auto [due, id] = timers_.begin()->first;
        if (due > now() || id >= set_before)
            break;
        auto timer = timers_.extract(timers_.begin());
        deadlines_.erase(id);
        steps_++;
        timer.mapped()();
    }
    return true;
}

void SimLoop::run()
{
    stopping_ = false;
    while (!stopping_ && step(Duration::max())) {
    }
}

bool SimLoop::run_until(const std::function<bool()> &done, Duration deadline)
{
    stopping_ = false;
    while (!stopping_ && !done())
        if (!step(deadline))
            return done();
    return done();
}

void SimLoop::run_until_time(Duration when)
{
    stopping_ = false;
    while (!stopping_ && step(when)) {
    }
    sim_clock_.advance_to(when);
}

} // namespace flux
