#include "common/runtime/ev_loop.hpp"

#include <ev.h>

#include <ctime>
#include <mutex>
#include <set>
#include <unordered_map>
#include <vector>

#include "common/base/error.hpp"

namespace flux {

namespace {

// How many ready items run before file descriptors are looked at again.
constexpr size_t ready_batch = 512;

Duration clock_duration(clockid_t id)
{
    timespec ts;
    clock_gettime(id, &ts);
    return std::chrono::seconds(ts.tv_sec) + std::chrono::nanoseconds(ts.tv_nsec);
}

class EvFdWatch : public Loop::FdWatch {
public:
    EvFdWatch(struct ev_loop *loop, int fd, bool read, bool write, Loop::FdCallback fn)
        : loop_(loop), fd_(fd), fn_(std::move(fn))
    {
        io_.data = this;
        ev_init(&io_, &EvFdWatch::ready);
        set(read, write);
    }
    ~EvFdWatch() override { ev_io_stop(loop_, &io_); }
    void set(bool read, bool write) override
    {
        int events = (read ? EV_READ : 0) | (write ? EV_WRITE : 0);
        if (ev_is_active(&io_) && events == events_)
            return;
        events_ = events;
        ev_io_stop(loop_, &io_);
        ev_io_set(&io_, fd_, events);
        if (events)
            ev_io_start(loop_, &io_);
    }

private:
    static void ready(struct ev_loop *, ev_io *io, int revents)
    {
        auto *self = static_cast<EvFdWatch *>(io->data);
        self->fn_(revents & (EV_READ | EV_ERROR), revents & EV_WRITE);
    }
    struct ev_loop *loop_;
    int fd_;
    int events_ = 0;
    Loop::FdCallback fn_;
    ev_io io_;
};

} // namespace

Duration RealClock::now() const
{
    return clock_duration(CLOCK_MONOTONIC);
}

double RealClock::wall_time() const
{
    return to_seconds(clock_duration(CLOCK_REALTIME));
}

RealClock &RealClock::instance()
{
    static RealClock clock;
    return clock;
}

class EvLoop::SignalWatch {
public:
    SignalWatch(struct ev_loop *loop, int signum, std::function<void(int)> fn) : loop_(loop), fn_(std::move(fn))
    {
        signal_.data = this;
        ev_signal_init(&signal_, &SignalWatch::ready, signum);
        ev_signal_start(loop_, &signal_);
    }
    ~SignalWatch() { ev_signal_stop(loop_, &signal_); }

private:
    static void ready(struct ev_loop *, ev_signal *signal, int)
    {
        static_cast<SignalWatch *>(signal->data)->fn_(signal->signum);
    }
    struct ev_loop *loop_;
    std::function<void(int)> fn_;
    ev_signal signal_;
};

// Timers stand in one ordered set and share one libev timer, armed for the earliest.
struct EvLoop::Impl {
    struct ev_loop *loop = nullptr;
    ev_timer timer;
    ev_async async;
    bool stopping = false;

    struct PendingTimer {
        Duration deadline;
        Callback fn;
    };
    std::set<std::pair<Duration, TimerId>> deadlines;
    std::unordered_map<TimerId, PendingTimer> timers;
    TimerId next_timer = 1;
    Duration armed_for = Duration::max();

    std::mutex mutex;
    std::vector<Callback> from_other_threads;

    void arm()
    {
        Duration earliest = deadlines.empty() ? Duration::max() : deadlines.begin()->first;
        if (earliest == armed_for)
            return;
        armed_for = earliest;
        ev_timer_stop(loop, &timer);
        if (earliest == Duration::max())
            return;
        ev_now_update(loop);
        double delay = to_seconds(earliest - RealClock::instance().now());
        ev_timer_set(&timer, delay > 0 ? delay : 0, 0);
        ev_timer_start(loop, &timer);
    }
    void fire_due()
    {
        armed_for = Duration::max();
        Duration now = RealClock::instance().now();
        while (!deadlines.empty() && deadlines.begin()->first <= now) {
            auto id = deadlines.begin()->second;
            deadlines.erase(deadlines.begin());
            auto timer = timers.extract(id);
            timer.mapped().fn();
        }
        arm();
    }
};

EvLoop::EvLoop() : Loop(RealClock::instance()), impl_(std::make_unique<Impl>())
{
    impl_->loop = ev_loop_new(EVFLAG_AUTO);
    if (!impl_->loop)
        throw Error(ENOMEM, "cannot create an event loop: epoll is not available");
    impl_->timer.data = impl_.get();
    ev_init(&impl_->timer, [](struct ev_loop *, ev_timer *timer, int) { static_cast<Impl *>(timer->data)->fire_due(); });
    impl_->async.data = this;
    ev_async_init(&impl_->async, [](struct ev_loop *, ev_async *async, int) {
        auto *self = static_cast<EvLoop *>(async->data);
        std::vector<Callback> batch;
        {
            std::lock_guard lock(self->impl_->mutex);
            batch.swap(self->impl_->from_other_threads);
        }
        for (auto &fn : batch)
            fn();
    });
    ev_async_start(impl_->loop, &impl_->async);
}

EvLoop::~EvLoop()
{
    ev_async_stop(impl_->loop, &impl_->async);
    ev_timer_stop(impl_->loop, &impl_->timer);
    ev_loop_destroy(impl_->loop);
}

void EvLoop::post_from_any_thread(Callback fn)
{
    bool was_empty;
    {
        std::lock_guard lock(impl_->mutex);
        was_empty = impl_->from_other_threads.empty();
        impl_->from_other_threads.push_back(std::move(fn));
    }
    if (was_empty)
        ev_async_send(impl_->loop, &impl_->async);
}

Loop::TimerId EvLoop::after(Duration delay, Callback fn)
{
    auto id = impl_->next_timer++;
    Duration now = clock().now();
    Duration deadline = delay > Duration::max() - now ? Duration::max() - Duration(1) : now + delay;
    impl_->timers.emplace(id, Impl::PendingTimer {deadline, std::move(fn)});
    impl_->deadlines.emplace(deadline, id);
    impl_->arm();
    return id;
}

void EvLoop::cancel(TimerId id)
{
    auto timer = impl_->timers.extract(id);
    if (!timer)
        return;
    impl_->deadlines.erase({timer.mapped().deadline, id});
    // The libev timer stays armed: at worst it fires once for nothing, cheaper than re-arming at every cancel.
}

std::unique_ptr<Loop::FdWatch> EvLoop::watch_fd(int fd, bool read, bool write, FdCallback fn)
{
    return std::make_unique<EvFdWatch>(impl_->loop, fd, read, write, std::move(fn));
}

std::shared_ptr<EvLoop::SignalWatch> EvLoop::watch_signal(int signum, std::function<void(int)> fn)
{
    return std::make_shared<SignalWatch>(impl_->loop, signum, std::move(fn));
}

void EvLoop::step(bool wait)
{
    bool idle = !has_ready() && !has_background() && !impl_->stopping;
    ev_run(impl_->loop, wait && idle ? EVRUN_ONCE : EVRUN_NOWAIT);
    run_ready(ready_batch);
    if (has_background())
        run_background();
}

void EvLoop::run()
{
    impl_->stopping = false;
    while (!impl_->stopping)
        step(true);
}

void EvLoop::stop()
{
    impl_->stopping = true;
    ev_break(impl_->loop, EVBREAK_ONE);
}

} // namespace flux
