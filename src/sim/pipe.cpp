#include "sim/pipe.hpp"

#include "common/message/codec.hpp"

namespace flux::sim {

Duration Delay::draw(Random &random) const
{
    Duration out = least;
    if (most > least)
        out += Duration(int64_t(random.below(uint64_t((most - least).count()))));
    if (slow_chance > 0 && random.chance(slow_chance))
        out += Duration(int64_t(random.below(uint64_t(slow.count()) + 1)));
    return out;
}

Pipe::Pipe(Physics physics, uint64_t where, Delay delay, Deliver deliver)
    : physics_(physics), where_(where), delay_(delay), deliver_(std::move(deliver))
{
}

void Pipe::send(const Message &message)
{
    if (cut_)
        return;
    std::string bytes;
    encode_message(message, bytes, false);
    last_due_ = std::max(last_due_, physics_.loop.now() + delay_.draw(physics_.random));
    queue_.push_back({last_due_, std::move(bytes)});
    if (open_ && queue_.size() == 1)
        arm();
}

void Pipe::open()
{
    if (!std::exchange(open_, true) && !queue_.empty())
        arm();
}

void Pipe::arm()
{
    timer_ = Timer(physics_.loop, queue_.front().due - physics_.loop.now(), [this] { arrive(); });
}

void Pipe::arrive()
{
    auto item = std::move(queue_.front());
    queue_.pop_front();
    auto message = decode_message(item.bytes);
    FLUX_ASSERT(message); // what we encoded, we decode
    physics_.trace.note(physics_.loop.now(), where_, item.bytes, *message);
    auto alive = alive_;
    deliver_(std::move(*message));
    if (!*alive || cut_)
        return;
    if (!queue_.empty())
        arm();
    else if (drained_)
        physics_.loop.post(std::exchange(drained_, nullptr));
}

void Pipe::cut()
{
    cut_ = true;
    queue_.clear();
    timer_.cancel();
    drained_ = nullptr;
}

void Pipe::drain(std::function<void()> then)
{
    if (queue_.empty())
        physics_.loop.post(std::move(then));
    else
        drained_ = std::move(then);
}

} // namespace flux::sim
