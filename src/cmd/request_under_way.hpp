// Awaiting an Rpc that is kept elsewhere, for several under way at a time.
#pragma once
#include "common/client/handle.hpp"

namespace flux::cmd {

struct Arrival {
    Rpc &rpc;
    bool await_ready() const noexcept { return rpc.await_ready(); }
    void await_suspend(std::coroutine_handle<> coroutine) { rpc.await_suspend(coroutine); }
    Message await_resume() { return rpc.await_resume(); }
};
inline Arrival arrival_of(Rpc &rpc)
{
    return Arrival {rpc};
}

} // namespace flux::cmd
