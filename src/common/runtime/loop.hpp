// Loop: what makes things happen, one at a time, on one thread. Coroutines that can go on, posted functions, timers and
// (in a real loop only) file descriptors. EvLoop runs in real time, SimLoop in virtual time.
//
// Nothing is ever resumed from inside something else: waking a waiter puts it into the ready list, and the loop resumes
// it from its top. That is why cancelling may simply destroy a suspended coroutine.
#pragma once
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <utility>

namespace flux {

using Duration = std::chrono::nanoseconds;

// A span given in seconds, saturating; negative becomes zero.
Duration seconds(double value);
inline double to_seconds(Duration duration)
{
    return std::chrono::duration<double>(duration).count();
}

using Callback = std::move_only_function<void()>;

// The first interface to the outside world: time.
class Clock {
public:
    virtual ~Clock() = default;
    virtual Duration now() const = 0;      // monotonic, from an arbitrary start
    virtual double wall_time() const = 0;  // seconds since the Unix epoch, for timestamps that people read
};

class Loop;

// A suspended coroutine that something will wake. It lives in the coroutine's frame (as part of an awaiter) and forgets
// itself everywhere when destroyed.
class Waiter {
public:
    Waiter() = default;
    Waiter(const Waiter &) = delete;
    Waiter &operator=(const Waiter &) = delete;
    ~Waiter() { unlink(); }

    void suspend(std::coroutine_handle<> handle) noexcept { handle_ = handle; }
    bool suspended() const noexcept { return bool(handle_); }
    // Schedules the coroutine, once; before suspend() it does nothing.
    void wake(Loop &loop) noexcept;

private:
    friend class Loop;
    void unlink() noexcept;
    std::coroutine_handle<> handle_;
    Waiter *previous_ = nullptr;
    Waiter *next_ = nullptr;
};

// The second interface: what runs next.
class Loop {
public:
    explicit Loop(Clock &clock);
    Loop(const Loop &) = delete;
    Loop &operator=(const Loop &) = delete;
    virtual ~Loop();

    Clock &clock() const { return clock_; }
    Duration now() const { return clock_.now(); }

    // Runs fn from the top of this loop, after what is already scheduled. This thread only.
    void post(Callback fn) { posted_.push_back(std::move(fn)); }
    // Work that can wait, a slice at a time: one such function runs whenever all that is ready has had its turn
    // and what has come from outside was looked at.
    void post_background(Callback fn) { background_.push_back(std::move(fn)); }
    // As post(), from any thread.
    virtual void post_from_any_thread(Callback fn) = 0;

    // One-shot timers. Cancelling an id that has fired, or 0, does nothing.
    using TimerId = uint64_t;
    virtual TimerId after(Duration delay, Callback fn) = 0;
    virtual void cancel(TimerId id) = 0;

    // Readiness of a file descriptor; the watch ends when destroyed. A simulated loop has none and aborts.
    class FdWatch {
    public:
        virtual ~FdWatch() = default;
        virtual void set(bool read, bool write) = 0;
    };
    using FdCallback = std::move_only_function<void(bool readable, bool writable)>;
    virtual std::unique_ptr<FdWatch> watch_fd(int fd, bool read, bool write, FdCallback fn) = 0;

    // Runs until stop() (or, in simulation, until nothing is left to happen).
    virtual void run() = 0;
    virtual void stop() = 0;

protected:
    bool has_ready() const noexcept { return head_.next_ != &head_ || !posted_.empty(); }
    // Runs posted functions and ready coroutines, at most `limit` of them; returns how many.
    size_t run_ready(size_t limit);
    bool has_background() const noexcept { return !background_.empty(); }
    void run_background(); // one of them

private:
    friend class Waiter;
    Clock &clock_;
    Waiter head_; // sentinel of the circular ready list
    std::deque<Callback> posted_;
    std::deque<Callback> background_;
};

// A timer that is cancelled when it goes out of scope.
class Timer {
public:
    Timer() = default;
    Timer(Loop &loop, Duration delay, Callback fn) : loop_(&loop), id_(loop.after(delay, std::move(fn))) {}
    Timer(Timer &&other) noexcept
        : loop_(std::exchange(other.loop_, nullptr)), id_(std::exchange(other.id_, 0))
    {}
    Timer &operator=(Timer &&other) noexcept
    {
        std::swap(loop_, other.loop_);
        std::swap(id_, other.id_);
        return *this;
    }
    ~Timer() { cancel(); }
    void cancel()
    {
        if (loop_ && id_)
            loop_->cancel(id_);
        id_ = 0;
    }

private:
    Loop *loop_ = nullptr;
    Loop::TimerId id_ = 0;
};

} // namespace flux
