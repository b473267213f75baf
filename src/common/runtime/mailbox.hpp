// Mailbox: items for the loop of another thread, in order. The loop is woken only when the mailbox was empty: an item to a
// receiver that is busy anyway costs a lock and a push.
#pragma once
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

#include "common/runtime/loop.hpp"

namespace flux {

template <class T>
class Mailbox {
public:
    // receive runs on the loop, one item at a time.
    Mailbox(Loop &loop, std::function<void(T)> receive)
        : state_(std::make_shared<State>(loop, std::move(receive)))
    {}
    ~Mailbox() { close(); }
    Mailbox(const Mailbox &) = delete;

    // From any thread. What comes after close() is dropped.
    void push(T item)
    {
        std::lock_guard lock(state_->mutex);
        if (state_->closed)
            return;
        state_->items.push_back(std::move(item));
        if (!std::exchange(state_->awake, true))
            state_->loop.post_from_any_thread([state = state_] { state->deliver(); });
    }
    size_t size() const
    {
        std::lock_guard lock(state_->mutex);
        return state_->items.size();
    }
    // On the loop's thread: what has come so far is received now.
    void drain() { state_->deliver(); }
    // On the loop's thread: from now on nothing is received, and the loop is not touched any more.
    void close()
    {
        std::lock_guard lock(state_->mutex);
        state_->closed = true;
        state_->items.clear();
    }

private:
    struct State {
        State(Loop &loop, std::function<void(T)> receive) : loop(loop), receive(std::move(receive)) {}
        void deliver()
        {
            std::deque<T> batch;
            {
                std::lock_guard lock(mutex);
                batch.swap(items);
                awake = false;
            }
            for (auto &item : batch)
                if (!closed) // by this thread: what was received may have done it
                    receive(std::move(item));
        }
        Loop &loop;
        std::function<void(T)> receive;
        std::mutex mutex;
        std::deque<T> items;
        bool awake = false; // deliver() is on its way
        bool closed = false;
    };
    std::shared_ptr<State> state_;
};

} // namespace flux
