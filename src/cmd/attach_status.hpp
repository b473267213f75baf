// The line that a terminal shows while a job that one is attached to is pending.
#pragma once
#include "cmd/attach.hpp"
#include "common/runtime/loop.hpp"

namespace flux::cmd {

class AttachStatus {
public:
    AttachStatus(Loop &loop, JobId id, const AttachOptions &options);
    ~AttachStatus() { clear(); }
    void on_event(const Event &event);
    void clear(); // before something else is written

private:
    void refresh();
    Loop &loop_;
    JobId id_;
    bool enabled_;
    bool shown_ = false;
    Duration since_;
    std::string text_;
    Timer timer_;
};

} // namespace flux::cmd
