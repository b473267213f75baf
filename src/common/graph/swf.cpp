#include "common/graph/swf.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>

namespace flux::graph {

namespace {

constexpr size_t fields = 18;
enum Field { number, submit, wait, run, allocated, cpu, memory, requested, requested_time };

std::string_view next_line(std::string_view &text)
{
    size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    return line;
}

std::string_view next_word(std::string_view &line)
{
    size_t begin = line.find_first_not_of(" \t\r");
    line.remove_prefix(begin == line.npos ? line.size() : begin);
    size_t end = std::min(line.find_first_of(" \t\r"), line.size());
    std::string_view word = line.substr(0, end);
    line.remove_prefix(end);
    return word;
}

// A field may be a fraction in some traces; whole seconds are meant.
std::optional<int64_t> parse_number(std::string_view word)
{
    int64_t value = 0;
    auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc())
        return std::nullopt;
    if (end == word.data() + word.size())
        return value;
    double fraction = 0;
    auto [last, bad] = std::from_chars(word.data(), word.data() + word.size(), fraction);
    if (bad != std::errc() || last != word.data() + word.size() || !(std::fabs(fraction) < 9e15))
        return std::nullopt;
    return int64_t(fraction);
}

int64_t header_value(std::string_view line, std::string_view key)
{
    size_t at = line.find(key);
    if (at == line.npos)
        return 0;
    line.remove_prefix(at + key.size());
    return std::max<int64_t>(0, parse_number(next_word(line)).value_or(0));
}

} // namespace

Expected<Trace> parse_swf(std::string_view text, int64_t procs)
{
    Trace trace;
    int64_t nodes = 0;
    for (size_t number_of_line = 1; !text.empty(); number_of_line++) {
        std::string_view line = next_line(text);
        std::string_view rest = line;
        std::string_view word = next_word(rest);
        if (word.empty())
            continue;
        if (word.front() == ';') {
            trace.max_procs = std::max(trace.max_procs, header_value(line, "MaxProcs:"));
            nodes = std::max(nodes, header_value(line, "MaxNodes:"));
            continue;
        }
        std::array<int64_t, fields> value;
        value.fill(-1);
        size_t count = 0;
        for (; !word.empty() && count < fields; word = next_word(rest), count++) {
            auto parsed = parse_number(word);
            if (!parsed)
                return fail(EINVAL, "line {}: field {} of a job is \"{}\", not a number", number_of_line,
                            count + 1, word.substr(0, 40));
            value[count] = *parsed;
        }
        if (count <= allocated)
            return fail(EINVAL, "line {}: a job has {} fields, at least {} are needed", number_of_line, count,
                        allocated + 1);
        if (trace.jobs.size() == Trace::max_jobs)
            return fail(E2BIG, "line {}: more than {} jobs", number_of_line, Trace::max_jobs);
        TraceJob job {value[number], value[submit], value[run], value[requested_time], value[requested]};
        if (job.procs <= 0)
            job.procs = value[allocated];
        if (job.estimate <= 0)
            job.estimate = job.run;
        job.run = std::min(job.run, job.estimate);
        trace.jobs.push_back(job);
    }
    if (trace.max_procs == 0)
        trace.max_procs = nodes;
    int64_t machine = procs > 0 ? procs : trace.max_procs;
    trace.skipped = std::erase_if(trace.jobs, [&](const TraceJob &job) {
        return job.run <= 0 || job.procs <= 0 || (machine > 0 && job.procs > machine);
    });
    std::ranges::stable_sort(trace.jobs, [](const TraceJob &a, const TraceJob &b) {
        return std::pair(a.submit, a.number) < std::pair(b.submit, b.number);
    });
    return trace;
}

} // namespace flux::graph
