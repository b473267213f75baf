// A bar at the bottom of the terminal: how many of a number of jobs are pending, running, done.
#pragma once
#include <map>

#include "cmd/attach.hpp"
#include "common/runtime/loop.hpp"

namespace flux::cmd {

class ProgressBar {
public:
    // jps: jobs per second instead of the time that has passed.
    ProgressBar(Loop &loop, size_t total, bool jps);
    ~ProgressBar();
    ProgressBar(const ProgressBar &) = delete;
    void submitted() { pending_++, redraw(); }
    void started() { pending_--, running_++, redraw(); }
    // was_running: whether started() was told of it.
    void ended(bool was_running, bool failed);
    // Before something else is written to the terminal.
    void hide();

private:
    void redraw();
    void draw();
    std::string line() const;

    Loop &loop_;
    size_t total_;
    bool jps_;
    size_t pending_ = 0, running_ = 0, completed_ = 0, failed_ = 0;
    Duration began_;
    bool shown_ = false;
    bool drawn_now_ = false; // a timer is set for what has changed since
    Timer timer_;
};

// attach_job for one of the bar's jobs: the bar hears of its start and end, and makes way for what is written. No bar: null.
Task<JobEnd> attach_job(Session &flux, JobId id, AttachOptions options, ProgressBar *bar);

} // namespace flux::cmd
