// What is to be known of a job in a listing: its fields, their headers, and which attributes of job-list they
// come from.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "cmd/named_formats.hpp"
#include "cmd/output_format.hpp"
#include "common/json/json.hpp"

namespace flux::cmd {

const FormatFields &job_fields();
const FormatFamily &job_formats();   // of flux jobs
const FormatFamily &pgrep_formats(); // of flux pgrep

// A member that flux jobs adds to a job whose queue is stopped: a sentence.
constexpr const char *stopped_queue = "stopped_queue";

// One field of a job as job-list describes it.
FieldValue job_field(const Json &job, std::string_view field, double now);
// The attributes that these fields need.
std::vector<std::string> job_attributes(const std::vector<std::string> &fields);
// The job with the derived members that --json shows beside those of job-list.
Json job_for_json(const Json &job, double now);
// Rows of jobs in this format.
std::string render_jobs(const OutputFormat &format, const std::vector<Json> &jobs, double now,
                        const OutputFormat::View &view);
// The name of a user, or the number when it has none here.
std::string user_name(uint32_t uid);
// Whether the job is an instance of Flux: it told a URI.
bool is_instance(const Json &job);

} // namespace flux::cmd
