// Job states (RFC 21), results and flags: their bits on the wire and their names.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/error.hpp"

namespace flux {

enum class JobState : uint32_t {
    new_ = 1,
    depend = 2,
    priority = 4,
    sched = 8,
    run = 16,
    cleanup = 32,
    inactive = 64,
};

namespace job_states { // masks: the virtual states
constexpr uint32_t pending = 2 | 4 | 8;
constexpr uint32_t running = 16 | 32;
constexpr uint32_t active = pending | running;
constexpr uint32_t inactive = 64;
constexpr uint32_t all = active | inactive; // without NEW, which no listing shows
constexpr uint32_t known = all | 1;
} // namespace job_states

constexpr uint32_t bit(JobState state)
{
    return uint32_t(state);
}

// "DEPEND" or "depend"; "D". NEW is "N".
std::string_view state_name(JobState state);
std::string_view state_name_lower(JobState state);
std::string_view state_abbrev(JobState state);
// A mask from a state's or virtual state's name, in any case, long or short; "all" too. EINVAL names the
// choices.
Expected<uint32_t> parse_states(std::string_view name);
// The one state of a mask with one known bit; EINVAL otherwise.
Expected<JobState> state_from_bit(uint32_t value);

enum class JobResult : uint32_t {
    completed = 1,
    failed = 2,
    canceled = 4,
    timeout = 8,
};
namespace job_results {
constexpr uint32_t all = 15;
} // namespace job_results
constexpr uint32_t bit(JobResult result)
{
    return uint32_t(result);
}
std::string_view result_name(JobResult result); // "COMPLETED"
std::string_view result_name_lower(JobResult result);
std::string_view result_abbrev(JobResult result); // "CD", "F", "CA", "TO"
Expected<uint32_t> parse_results(std::string_view name);
Expected<JobResult> result_from_bit(uint32_t value);

// What job listings show: the state of an active job, the result of an inactive one.
std::string_view status_name(JobState state, JobResult result);
std::string_view status_abbrev(JobState state, JobResult result);

// Flags of a submission, on the wire of job-ingest.submit and in the submit event.
namespace job_flags {
constexpr uint32_t presigned = 1; // only between a client and its library: J is already signed
constexpr uint32_t debug = 2;
constexpr uint32_t waitable = 4;
constexpr uint32_t novalidate = 8;
constexpr uint32_t known = debug | waitable | novalidate;
} // namespace job_flags
// Comma-separated names: debug, waitable, novalidate. EINVAL names them.
Expected<uint32_t> parse_job_flags(std::string_view names);
std::vector<std::string> job_flag_names(uint32_t flags);

} // namespace flux
