// PosixSpawner: real processes, by posix_spawn(3) (which shares the parent's memory until the exec, so its
// cost does not grow with the parent). The child gets default signal actions, an empty signal mask, its own
// process group when asked, and only the descriptors it is meant to have: 0, 1, 2 and its channels. All
// others are closed, whoever opened them.
//
// on_exit comes once the process is reaped and every stream has ended. A grandchild that keeps a pipe open
// does not hold that up for longer than `stream_grace` after the reaping: then the streams are reported as
// ended, and the exit after them.
#pragma once
#include <memory>

#include "common/runtime/loop.hpp"
#include "common/runtime/spawner.hpp"

namespace flux {

class PosixSpawner : public Spawner {
public:
    static constexpr Duration default_stream_grace = std::chrono::seconds(2);

    explicit PosixSpawner(Loop &loop, Duration stream_grace = default_stream_grace)
        : loop_(loop), stream_grace_(stream_grace)
    {
    }
    std::unique_ptr<Process> spawn(ProcessSpec spec, ProcessCallbacks callbacks) override;
    void kill_groups(const std::vector<int> &leaders) override;

private:
    Loop &loop_;
    Duration stream_grace_;
};

} // namespace flux
