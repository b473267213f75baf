#include "common/runtime/gate.hpp"

#include <cstdio>

namespace flux {

// The outermost frame of a spawned task: it owns the task and removes itself from the gate when that is done.
struct Gate::Root {
    struct promise_type {
        Gate &gate;
        TaskId id;
        promise_type(Gate &gate, TaskId id, Task<> &) : gate(gate), id(id) {}
        Root get_return_object() noexcept { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
        std::suspend_always initial_suspend() const noexcept { return {}; }
        std::suspend_never final_suspend() const noexcept { return {}; } // frees the frame
        void return_void() const noexcept {}
        void unhandled_exception() const noexcept { std::terminate(); }
    };
    std::coroutine_handle<promise_type> handle;
};

Gate::Gate(Loop &loop, ErrorHandler on_error) : loop_(loop), on_error_(std::move(on_error)) {}

Gate::~Gate()
{
    closed_ = true;
    *alive_ = false;
    for (auto roots = std::move(roots_); auto &[id, handle] : roots)
        handle.destroy();
}

Gate::Root Gate::run(Gate &gate, TaskId id, Task<> task)
{
    try {
        co_await std::move(task);
    } catch (const Error &error) {
        if (gate.on_error_)
            gate.on_error_(error);
        else
            std::fprintf(stderr, "flux: a task ended with an error: %s\n", error.what());
    }
    gate.finished(id);
}

Gate::TaskId Gate::spawn(Task<> task)
{
    if (closed_)
        return 0;
    TaskId id = next_id_++;
    auto handle = run(*this, id, std::move(task)).handle;
    roots_.emplace(id, handle);
    handle.resume();
    return id;
}

void Gate::finished(TaskId id)
{
    roots_.erase(id);
}

void Gate::cancel(TaskId id)
{
    if (!roots_.contains(id))
        return;
    loop_.post([this, id, alive = alive_] {
        if (!*alive)
            return;
        if (auto root = roots_.extract(id))
            root.mapped().destroy();
    });
}

void Gate::close()
{
    closed_ = true;
    loop_.post([this, alive = alive_] {
        if (!*alive)
            return;
        for (auto roots = std::move(roots_); auto &[id, handle] : roots)
            handle.destroy();
    });
}

} // namespace flux
