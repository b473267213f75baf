#include "common/runtime/loop.hpp"

#include "common/base/error.hpp"

namespace flux {

Duration seconds(double value)
{
    constexpr double longest = 9e9; // 285 years: the span of a Duration
    if (!(value > 0))
        return Duration::zero();
    return Duration(int64_t((value < longest ? value : longest) * 1e9));
}

void Waiter::wake(Loop &loop) noexcept
{
    if (!handle_ || next_)
        return;
    Waiter &head = loop.head_;
    previous_ = head.previous_;
    next_ = &head;
    previous_->next_ = this;
    head.previous_ = this;
}

void Waiter::unlink() noexcept
{
    if (!next_)
        return;
    previous_->next_ = next_;
    next_->previous_ = previous_;
    previous_ = next_ = nullptr;
}

Loop::Loop(Clock &clock) : clock_(clock)
{
    head_.previous_ = head_.next_ = &head_;
}

Loop::~Loop()
{
    while (head_.next_ != &head_)
        head_.next_->unlink();
    head_.previous_ = head_.next_ = nullptr;
}

size_t Loop::run_ready(size_t limit)
{
    size_t count = 0;
    while (count < limit && has_ready()) {
        if (!posted_.empty()) {
            auto fn = std::move(posted_.front());
            posted_.pop_front();
            fn();
            count++;
        }
        if (Waiter *waiter = head_.next_; waiter != &head_) {
            waiter->unlink();
            std::exchange(waiter->handle_, {}).resume();
            count++;
        }
    }
    return count;
}

void Loop::run_background()
{
    auto fn = std::move(background_.front());
    background_.pop_front();
    fn();
}

} // namespace flux
