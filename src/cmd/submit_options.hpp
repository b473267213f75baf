// The options that describe a job, the same for run and submit (and whoever submits jobs later).
#pragma once
#include "cmd/command.hpp"
#include "cmd/job_client.hpp"

namespace flux::cmd {

std::vector<Option> submission_options();
// The jobspec, urgency and flags that the options and the command line ask for.
Submission make_submission(const Args &args);
// The environment of the job after --env, --env-remove and --env-file, as a JSON object.
Json filtered_environment(const Args &args, const char *const *environment);
// "afterok:ƒABC?key=value" as a dependency (RFC 26).
Json parse_dependency(std::string_view uri);
// "KEY=VALUE" or "KEY": the value is JSON if it parses as that, a string if not, 1 if there is none.
std::pair<std::string, Json> parse_setting(std::string_view text);

} // namespace flux::cmd
