// Task<T>: a conversation written as one coroutine. It starts when it is first awaited (or spawned in a Gate), runs on
// the loop of whoever started it, and hands its value or its exception to the one that awaits it.
//
// Cancelling is destroying: a Task that is destroyed while suspended unwinds like a returning function, innermost frame
// first, and whatever it was waiting for forgets it. So keep what must be undone in destructors.
//
// gcc 12: no capturing lambda coroutines that can outlive their closure; arguments that live across a suspension by
// value; no co_await in a catch block.
#pragma once
#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

#include "common/base/error.hpp"

namespace flux {

template <class T = void>
class [[nodiscard]] Task;

namespace task_detail {

struct PromiseBase {
    std::coroutine_handle<> continuation = std::noop_coroutine();
    std::exception_ptr exception;

    struct FinalAwaiter {
        bool await_ready() const noexcept { return false; }
        template <class Promise>
        std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> done) const noexcept
        {
            return done.promise().continuation;
        }
        void await_resume() const noexcept {}
    };
    std::suspend_always initial_suspend() const noexcept { return {}; }
    FinalAwaiter final_suspend() const noexcept { return {}; }
    void unhandled_exception() noexcept { exception = std::current_exception(); }
};

template <class T>
struct Promise : PromiseBase {
    std::optional<T> value;
    Task<T> get_return_object() noexcept;
    template <class U>
    void return_value(U &&result)
    {
        value.emplace(std::forward<U>(result));
    }
    T take()
    {
        if (exception)
            std::rethrow_exception(exception);
        return std::move(*value);
    }
};

template <>
struct Promise<void> : PromiseBase {
    Task<void> get_return_object() noexcept;
    void return_void() const noexcept {}
    void take() const
    {
        if (exception)
            std::rethrow_exception(exception);
    }
};

} // namespace task_detail

template <class T>
class [[nodiscard]] Task {
public:
    using promise_type = task_detail::Promise<T>;

    Task() noexcept = default;
    explicit Task(std::coroutine_handle<promise_type> handle) noexcept : handle_(handle) {}
    Task(Task &&other) noexcept : handle_(std::exchange(other.handle_, {})) {}
    Task &operator=(Task &&other) noexcept
    {
        std::swap(handle_, other.handle_);
        return *this;
    }
    ~Task()
    {
        if (handle_)
            handle_.destroy();
    }

    struct Awaiter {
        std::coroutine_handle<promise_type> handle;
        bool await_ready() const noexcept { return false; }
        std::coroutine_handle<> await_suspend(std::coroutine_handle<> continuation) const noexcept
        {
            handle.promise().continuation = continuation;
            return handle;
        }
        T await_resume() const { return handle.promise().take(); }
    };
    Awaiter operator co_await() const & noexcept { return {handle_}; }
    Awaiter operator co_await() const && noexcept { return {handle_}; }

private:
    std::coroutine_handle<promise_type> handle_;
};

namespace task_detail {

template <class T>
Task<T> Promise<T>::get_return_object() noexcept
{
    return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}

inline Task<void> Promise<void>::get_return_object() noexcept
{
    return Task<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}

} // namespace task_detail

} // namespace flux
