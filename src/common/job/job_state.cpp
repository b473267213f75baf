#include "common/job/job_state.hpp"

#include <bit>
#include <strings.h>

#include "common/base/quote.hpp"
#include "common/base/text.hpp"

namespace flux {

namespace {

struct Name {
    uint32_t bits;
    std::string_view upper;
    std::string_view lower;
    std::string_view abbrev;
};

constexpr Name states[] = {
    {1, "NEW", "new", "N"},
    {2, "DEPEND", "depend", "D"},
    {4, "PRIORITY", "priority", "P"},
    {8, "SCHED", "sched", "S"},
    {16, "RUN", "run", "R"},
    {32, "CLEANUP", "cleanup", "C"},
    {64, "INACTIVE", "inactive", "I"},
};
constexpr Name virtual_states[] = {
    {job_states::pending, "PENDING", "pending", ""},
    {job_states::running, "RUNNING", "running", ""},
    {job_states::active, "ACTIVE", "active", ""},
    {job_states::all, "ALL", "all", ""},
};
constexpr Name results[] = {
    {1, "COMPLETED", "completed", "CD"},
    {2, "FAILED", "failed", "F"},
    {4, "CANCELED", "canceled", "CA"},
    {8, "TIMEOUT", "timeout", "TO"},
};
constexpr Name flags[] = {
    {job_flags::debug, "DEBUG", "debug", ""},
    {job_flags::waitable, "WAITABLE", "waitable", ""},
    {job_flags::novalidate, "NOVALIDATE", "novalidate", ""},
};

bool same(std::string_view a, std::string_view b)
{
    return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

template <size_t N>
const Name &name_of(const Name (&names)[N], uint32_t bits)
{
    for (const auto &name : names)
        if (name.bits == bits)
            return name;
    FLUX_ASSERT(!"a value of the enumeration");
    return names[0];
}

template <size_t N>
uint32_t bits_of(const Name (&names)[N], std::string_view text)
{
    for (const auto &name : names)
        if (same(text, name.upper) || (!name.abbrev.empty() && same(text, name.abbrev)))
            return name.bits;
    return 0;
}

} // namespace

std::string_view state_name(JobState state)
{
    return name_of(states, bit(state)).upper;
}
std::string_view state_name_lower(JobState state)
{
    return name_of(states, bit(state)).lower;
}
std::string_view state_abbrev(JobState state)
{
    return name_of(states, bit(state)).abbrev;
}

Expected<uint32_t> parse_states(std::string_view name)
{
    if (uint32_t bits = bits_of(states, name))
        return bits;
    if (uint32_t bits = bits_of(virtual_states, name))
        return bits;
    return fail(EINVAL,
                "unknown job state \"{}\" (use depend, priority, sched, run, cleanup, inactive, pending, "
                "running, active)",
                quoted(name, 40));
}

Expected<JobState> state_from_bit(uint32_t value)
{
    if (std::popcount(value) != 1 || !(value & job_states::known))
        return fail(EINVAL, "{} is not a job state", value);
    return JobState(value);
}

std::string_view result_name(JobResult result)
{
    return name_of(results, bit(result)).upper;
}
std::string_view result_name_lower(JobResult result)
{
    return name_of(results, bit(result)).lower;
}
std::string_view result_abbrev(JobResult result)
{
    return name_of(results, bit(result)).abbrev;
}

Expected<uint32_t> parse_results(std::string_view name)
{
    if (uint32_t bits = bits_of(results, name))
        return bits;
    return fail(EINVAL, "unknown job result \"{}\" (use completed, failed, canceled, timeout)",
                quoted(name, 40));
}

Expected<JobResult> result_from_bit(uint32_t value)
{
    if (std::popcount(value) != 1 || !(value & job_results::all))
        return fail(EINVAL, "{} is not a job result", value);
    return JobResult(value);
}

std::string_view status_name(JobState state, JobResult result)
{
    return state == JobState::inactive ? result_name(result) : state_name(state);
}

std::string_view status_abbrev(JobState state, JobResult result)
{
    return state == JobState::inactive ? result_abbrev(result) : state_abbrev(state);
}

Expected<uint32_t> parse_job_flags(std::string_view names)
{
    uint32_t out = 0;
    for (std::string_view name : split(names, ',')) {
        uint32_t bits = bits_of(flags, name);
        if (bits == 0)
            return fail(EINVAL, "unknown job flag \"{}\" (use debug, waitable, novalidate)",
                        quoted(name, 40));
        out |= bits;
    }
    return out;
}

std::vector<std::string> job_flag_names(uint32_t bits)
{
    std::vector<std::string> out;
    for (const auto &flag : flags)
        if (bits & flag.bits)
            out.emplace_back(flag.lower);
    return out;
}

} // namespace flux
