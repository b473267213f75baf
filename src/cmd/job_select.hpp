// Which jobs a command is about, by user, state, result, queue, name, place or time, and asking job-list for
// them.
#pragma once
#include <string>
#include <vector>

#include "cmd/command.hpp"

namespace flux::cmd {

constexpr int64_t default_job_count = 1000; // what flux jobs and its like list unless told otherwise

uint32_t user_id(const std::string &text); // a name or a number; EINVAL

struct JobSelection {
    uint32_t states = 0;          // of any of these
    uint32_t results = 0;         // or inactive with any of these
    std::optional<uint32_t> user; // nullopt: of all users
    std::string name;
    std::vector<std::string> queues;
    std::string include; // hosts or ranks
    double since = 0;
    int64_t count = default_job_count; // 0: all

    // -a, -A, -u, -f, -q, --name, -i, --since, -c, as far as the command has these options.
    static JobSelection from(const Args &args, double now);
    Json constraint() const; // RFC 31, 43
};

// --filter: "pending,failed": states and results, comma-separated. EINVAL.
void parse_filter(const std::string &text, JobSelection &selection);
// "a,b" and further uses of an option as one list.
std::vector<std::string> comma_list(const std::vector<std::string> &values);

Task<std::vector<Json>> list_jobs(Handle &handle, Json request);
std::vector<Json> select_jobs(Session &flux, const JobSelection &selection,
                              const std::vector<std::string> &attributes);
// One job; ENOENT names it.
Json find_job(Session &flux, const std::string &id, const std::vector<std::string> &attributes);

} // namespace flux::cmd
