// What a coroutine waits for besides an RPC: a moment, a value, the next item, a condition. All of one loop;
// all forget a waiter that is destroyed.
#pragma once
#include <deque>
#include <list>
#include <memory>
#include <optional>

#include "common/base/error.hpp"
#include "common/runtime/loop.hpp"

namespace flux {

// co_await sleep_for(loop, seconds(1.5));
class [[nodiscard]] Sleep {
public:
    Sleep(Loop &loop, Duration delay) : loop_(loop), delay_(delay) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle)
    {
        waiter_.suspend(handle);
        timer_ = Timer(loop_, delay_, [this] { waiter_.wake(loop_); });
    }
    void await_resume() const noexcept {}

private:
    Loop &loop_;
    Duration delay_;
    Waiter waiter_;
    Timer timer_;
};

inline Sleep sleep_for(Loop &loop, Duration delay)
{
    return Sleep(loop, delay);
}

// co_await yield_to(loop): goes on after everything that is scheduled already.
class [[nodiscard]] Yield {
public:
    explicit Yield(Loop &loop) : loop_(loop) {}
    ~Yield() { *waiting_ = false; }
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle)
    {
        waiter_.suspend(handle);
        loop_.post([this, waiting = waiting_] {
            if (*waiting)
                waiter_.wake(loop_);
        });
    }
    void await_resume() const noexcept {}

private:
    Loop &loop_;
    Waiter waiter_;
    std::shared_ptr<bool> waiting_ = std::make_shared<bool>(true);
};

inline Yield yield_to(Loop &loop)
{
    return Yield(loop);
}

// Condition: co_await condition.wait() until somebody calls notify_all(). Check what you wait for again after
// it.
class Condition {
public:
    explicit Condition(Loop &loop) : loop_(loop) {}
    Condition(const Condition &) = delete;
    ~Condition() { FLUX_ASSERT(waiting_.empty()); }

    class [[nodiscard]] Wait {
    public:
        explicit Wait(Condition &condition) : condition_(condition) {}
        ~Wait()
        {
            if (linked_)
                condition_.waiting_.erase(at_);
        }
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<> handle)
        {
            waiter_.suspend(handle);
            at_ = condition_.waiting_.insert(condition_.waiting_.end(), this);
            linked_ = true;
        }
        void await_resume() const noexcept {}

    private:
        friend class Condition;
        Condition &condition_;
        Waiter waiter_;
        std::list<Wait *>::iterator at_;
        bool linked_ = false;
    };
    Wait wait() { return Wait(*this); }
    void notify_all()
    {
        for (auto *wait : waiting_) {
            wait->linked_ = false;
            wait->waiter_.wake(loop_);
        }
        waiting_.clear();
    }

private:
    Loop &loop_;
    std::list<Wait *> waiting_;
};

// Promise / Future: one value or Error, once, from whoever holds the promise to the one that awaits the
// future. A promise that is dropped fails its future with ECANCELED.
template <class T>
class Future;

template <class T>
class Promise {
public:
    explicit Promise(Loop &loop) : state_(std::make_shared<State>(loop)) {}
    Promise(Promise &&) noexcept = default;
    Promise &operator=(Promise &&) noexcept = default;
    ~Promise()
    {
        if (state_ && !state_->result)
            fail(Error(ECANCELED));
    }
    void set(T value) { finish(Expected<T>(std::move(value))); }
    void fail(Error error) { finish(std::unexpected(std::move(error))); }
    Future<T> future() { return Future<T>(state_); }

private:
    friend class Future<T>;
    struct State {
        explicit State(Loop &loop) : loop(loop) {}
        Loop &loop;
        std::optional<Expected<T>> result;
        Waiter *waiter = nullptr;
    };
    void finish(Expected<T> result)
    {
        if (state_->result)
            return;
        state_->result = std::move(result);
        if (state_->waiter)
            state_->waiter->wake(state_->loop);
    }
    std::shared_ptr<State> state_;
};

template <class T>
class [[nodiscard]] Future {
public:
    explicit Future(std::shared_ptr<typename Promise<T>::State> state) : state_(std::move(state)) {}
    Future(Future &&) = delete; // it is awaited where it was made: its waiter must not move
    ~Future() { state_->waiter = nullptr; }
    bool await_ready() const noexcept { return state_->result.has_value(); }
    void await_suspend(std::coroutine_handle<> handle)
    {
        waiter_.suspend(handle);
        state_->waiter = &waiter_;
    }
    T await_resume() { return value_or_throw(std::move(*state_->result)); }

private:
    std::shared_ptr<typename Promise<T>::State> state_;
    Waiter waiter_;
};

// Channel: items in order to one reader at a time. close() lets the reader drain what is there, then next()
// is nullopt.
template <class T>
class Channel {
public:
    explicit Channel(Loop &loop) : loop_(loop) {}
    Channel(const Channel &) = delete;

    void push(T item)
    {
        if (closed_)
            return;
        items_.push_back(std::move(item));
        wake();
    }
    void close()
    {
        closed_ = true;
        wake();
    }
    bool closed() const noexcept { return closed_; }
    size_t size() const noexcept { return items_.size(); }

    class [[nodiscard]] Next {
    public:
        explicit Next(Channel &channel) : channel_(channel) {}
        ~Next()
        {
            if (channel_.reader_ == this)
                channel_.reader_ = nullptr;
        }
        bool await_ready() const noexcept { return !channel_.items_.empty() || channel_.closed_; }
        void await_suspend(std::coroutine_handle<> handle)
        {
            FLUX_ASSERT(!channel_.reader_);
            waiter_.suspend(handle);
            channel_.reader_ = this;
        }
        std::optional<T> await_resume()
        {
            if (channel_.reader_ == this)
                channel_.reader_ = nullptr;
            if (channel_.items_.empty())
                return std::nullopt;
            std::optional<T> item = std::move(channel_.items_.front());
            channel_.items_.pop_front();
            return item;
        }

    private:
        friend class Channel;
        Channel &channel_;
        Waiter waiter_;
    };
    Next next() { return Next(*this); }

private:
    void wake()
    {
        if (reader_)
            reader_->waiter_.wake(loop_);
    }
    Loop &loop_;
    std::deque<T> items_;
    Next *reader_ = nullptr;
    bool closed_ = false;
};

} // namespace flux
