// The options that describe a job: those of run and submit, of batch and alloc, and what is made of them.
#pragma once
#include "cmd/command.hpp"
#include "cmd/job_client.hpp"
#include "common/job/jobspec_builder.hpp"

namespace flux::cmd {

std::vector<Option> task_options(); // run, submit: tasks, and where their input and output go
std::vector<Option> slot_options(); // batch, alloc: slots of an instance
std::vector<Option> with(std::vector<Option> options, std::initializer_list<Option> more);

// The jobspec, urgency and flags that the options and the command line ask for.
Submission make_submission(const Args &args);
// The same for an instance that runs `command` on the slots that the options ask for.
Submission make_instance_submission(const Args &args, std::vector<std::string> command,
                                    const std::function<void(JobspecBuilder &)> &more);

// submit_environment.cpp: the environment of the job after --env, --env-remove and --env-file in the order
// given, as a JSON object.
Json filtered_environment(const Args &args, const char *const *environment);
// submit_limits.cpp: the limits to propagate after --rlimit, name -> value (-1: none).
Json propagated_limits(const Args &args);
// submit_files.cpp: --add-file=[NAME[:PERMS]=]ARG.
void add_file(JobspecBuilder &builder, const std::string &text);
// A file of the jobspec's archive (RFC 37) from its content.
Json file_entry(std::string_view content, int permissions);

// "afterok:ƒABC?key=value" as a dependency (RFC 26).
Json parse_dependency(std::string_view uri);
// "KEY=VALUE" or "KEY": the value is JSON if it parses as that, a string if not, 1 if there is none.
std::pair<std::string, Json> parse_setting(std::string_view text);

} // namespace flux::cmd
