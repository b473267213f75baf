// OutputLog: a job's guest.output (RFC 24) as it grows: which streams of which tasks are still open, and the
// events for what shells say. Pure: lines out, no store.
#pragma once
#include <map>
#include <string>

#include "common/job/eventlog.hpp"
#include "common/json/json.hpp"
#include "common/types/idset.hpp"

namespace flux::job_exec {

class OutputLog {
public:
    // The header, which comes before anything else: who follows the output of a job without any must see it
    // end.
    std::string begin(double now, uint32_t ntasks);
    // The event for a shell's "output", "redirect" or "log". EPROTO when it has not what it needs.
    std::string add(double now, const Json &message);
    // One event of the log as an earlier life of the instance left it.
    void resume(const Event &event);
    // Tasks that never started, or whose shell was lost, did not say that their output ended: it did.
    std::string end(double now);

private:
    std::map<std::string, Idset, std::less<>> open_; // stream -> tasks
};

} // namespace flux::job_exec
