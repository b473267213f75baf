// Attaching to a job: its events, its output, our standard input and our signals, at the same time.
#pragma once
#include "cmd/job_client.hpp"

namespace flux::cmd {

struct AttachOptions {
    bool label = false;
    bool show_events = false;
    bool show_exec = false;
    bool with_stdin = false;
    bool with_output = true;
    bool forward_signals = false; // and ^C ^C cancels, ^C ^Z detaches
    bool show_status = false;     // a line that says what a pending job waits for, even when not interactive
    int64_t tail = 0;             // only so many of the last lines of output; 0: all
    std::string stdin_ranks = "all";
    std::string wait_event; // return when it is seen; empty: when the job has finished and all output is here
    FILE *out = stdout;
    FILE *err = stderr;
    std::function<void(const Event &)> on_event {}; // each of the main log
    std::function<void()> before_output {};         // something is about to be written
};

// Shows the job's output until it is over.
Task<JobEnd> attach_job(Session &flux, JobId id, AttachOptions options);

} // namespace flux::cmd
