#include "cmd/job_fields.hpp"

#include <cmath>
#include <map>
#include <pwd.h>
#include <set>

#include "cmd/eventlog_view.hpp"
#include "cmd/job_client.hpp"
#include "common/job/job_exit.hpp"
#include "common/job/job_state.hpp"

namespace flux::cmd {

namespace {

struct Field {
    std::string_view name;
    std::string_view header;
    std::vector<std::string_view> attributes; // of job-list
};

const std::vector<Field> &table()
{
    static const std::vector<Field> fields {
        {"id", "JOBID", {}},
        {"id.f58", "JOBID", {}},
        {"id.f58plain", "JOBID", {}},
        {"id.dec", "JOBID", {}},
        {"id.hex", "JOBID", {}},
        {"id.dothex", "JOBID", {}},
        {"id.words", "JOBID", {}},
        {"id.emoji", "JOBID", {}},
        {"id.kvs", "JOBID", {}},
        {"userid", "UID", {"userid"}},
        {"username", "USER", {"userid"}},
        {"urgency", "URG", {"urgency"}},
        {"priority", "PRI", {"priority"}},
        {"state", "STATE", {"state"}},
        {"state_single", "S", {"state"}},
        {"state_emoji", "STATE", {"state"}},
        {"status", "STATUS", {"state", "result"}},
        {"status_abbrev", "ST", {"state", "result"}},
        {"status_emoji", "STATUS", {"state", "result"}},
        {"name", "NAME", {"name"}},
        {"cwd", "CWD", {"cwd"}},
        {"queue", "QUEUE", {"queue"}},
        {"bank", "BANK", {"bank"}},
        {"project", "PROJECT", {"project"}},
        {"ntasks", "NTASKS", {"ntasks"}},
        {"ncores", "NCORES", {"ncores"}},
        {"nnodes", "NNODES", {"nnodes"}},
        {"duration", "DURATION", {"duration"}},
        {"ranks", "RANKS", {"ranks"}},
        {"nodelist", "NODELIST", {"nodelist"}},
        {"contextual_info",
         "INFO",
         {"state", "nodelist", "dependencies", "annotations", "priority", "urgency", "queue"}},
        {"contextual_time", "TIME", {"state", "t_run", "t_cleanup", "duration"}},
        {"inactive_reason",
         "INACTIVE-REASON",
         {"state", "result", "waitstatus", "exception_type", "exception_note"}},
        {"success", "SUCCESS", {"success"}},
        {"result", "RESULT", {"state", "result"}},
        {"result_abbrev", "RESULT", {"state", "result"}},
        {"result_emoji", "RESULT", {"state", "result"}},
        {"returncode", "RC", {"state", "result", "waitstatus", "t_run"}},
        {"waitstatus", "WSTATUS", {"waitstatus"}},
        {"runtime", "RUNTIME", {"t_run", "t_cleanup"}},
        {"t_submit", "T_SUBMIT", {"t_submit"}},
        {"t_depend", "T_DEPEND", {"t_depend"}},
        {"t_priority", "T_PRIORITY", {"t_priority"}},
        {"t_sched", "T_SCHED", {"t_sched"}},
        {"t_run", "T_RUN", {"t_run"}},
        {"t_cleanup", "T_CLEANUP", {"t_cleanup"}},
        {"t_inactive", "T_INACTIVE", {"t_inactive"}},
        {"t_remaining", "T_REMAINING", {"expiration", "state"}},
        {"expiration", "EXPIRATION", {"expiration", "state"}},
        {"dependencies", "DEPENDENCIES", {"dependencies"}},
        {"annotations", "ANNOTATIONS", {"annotations"}},
        {"sched", "SCHED", {"annotations"}},
        {"user", "USER", {"annotations"}},
        {"uri", "URI", {"annotations"}},
        {"exception.occurred", "EXCEPTION-OCCURRED", {"exception_occurred"}},
        {"exception.severity", "EXCEPTION-SEVERITY", {"exception_severity"}},
        {"exception.type", "EXCEPTION-TYPE", {"exception_type"}},
        {"exception.note", "EXCEPTION-NOTE", {"exception_note"}},
    };
    return fields;
}

FieldValue plain(const Json &value)
{
    if (!value || value.is_null())
        return {};
    if (value.is_string())
        return value.string_view();
    if (value.is_boolean())
        return value.as<bool>();
    if (value.is_integer())
        return value.as<int64_t>();
    return value.is_real() ? FieldValue(value.as<double>()) : FieldValue(value.dump());
}

JobState state_of(const Json &job)
{
    return value_or_throw(state_from_bit(job.get<uint32_t>("state")));
}

JobResult result_of(const Json &job)
{
    auto bits = job.find<uint32_t>("result");
    return bits ? value_or_throw(result_from_bit(*bits)) : JobResult::completed;
}

// Seconds that it ran; nothing when it has not.
FieldValue runtime(const Json &job, double now)
{
    double start = job.value<double>("t_run", 0);
    if (start <= 0)
        return {};
    double end = job.value<double>("t_cleanup", 0);
    return std::max(0.0, (end > 0 ? end : now) - start);
}

FieldValue contextual_time(const Json &job, double now)
{
    FieldValue ran = runtime(job, now);
    if (!ran.is_empty())
        return ran;
    double duration = job.value<double>("duration", 0);
    return duration > 0 ? FieldValue(duration) : FieldValue();
}

std::string joined(const Json &list)
{
    std::string out;
    for (auto item : list.elements())
        out += (out.empty() ? "" : ",") + plain(item).text();
    return out;
}

// What one most wants to know in its state: why it waits, or where it runs.
std::string contextual_info(const Json &job, double now)
{
    switch (state_of(job)) {
    case JobState::depend:
        return job["dependencies"].empty() ? "" : "depends:" + joined(job["dependencies"]);
    case JobState::priority:
        return "priority-wait";
    case JobState::sched: {
        if (job.contains("priority") && job.value<int64_t>("priority", 1) == 0)
            return job.value<int64_t>("urgency", 0) == 0 ? "held" : "priority-hold";
        Json reason = job.at("annotations", "sched", "reason_pending");
        if (reason)
            return plain(reason).text();
        if (job.contains(stopped_queue))
            return job.value<std::string>(stopped_queue, "");
        Json estimate = job.at("annotations", "sched", "t_estimate");
        if (!estimate.is_number() || estimate.as<double>() <= 0)
            return "";
        double left = estimate.as<double>() - now;
        return left <= 0 ? "eta:now" : fmt::format("eta:{}", local_time(estimate.as<double>(), "%H:%M"));
    }
    default:
        return plain(job["nodelist"]).text();
    }
}

std::string inactive_reason(const Json &job)
{
    if (state_of(job) != JobState::inactive)
        return "";
    std::string note = plain(job["exception_note"]).text();
    int status = job.value<int>("waitstatus", 0);
    switch (result_of(job)) {
    case JobResult::canceled:
        return note.empty() ? "Canceled" : "Canceled: " + note;
    case JobResult::timeout:
        return "Timeout";
    default:
        if (int signal = status & 0x7f)
            return fmt::format("Signal {}: {}", signal, signal_name(signal));
        if (int code = status >> 8 & 0xff; code > 128)
            return fmt::format("Exit {}: {}", code, signal_name(code - 128));
        else if (code || !job.contains("exception_type"))
            return fmt::format("Exit {}", code);
        std::string type = plain(job["exception_type"]).text();
        return fmt::format("Exception type={}{}{}", type, note.empty() ? "" : ": ", note);
    }
}

FieldValue return_code(const Json &job)
{
    constexpr int64_t never_ran = -128;
    auto status = job.find<int>("waitstatus");
    if (status)
        return int64_t(*status & 0x7f ? -(*status & 0x7f) : *status >> 8 & 0xff);
    if (state_of(job) == JobState::inactive && job.value<double>("t_run", 0) <= 0)
        return never_ran;
    return {};
}

std::string_view status_emoji(JobState state, bool is_inactive, JobResult result)
{
    if (is_inactive)
        switch (result) {
        case JobResult::completed:
            return "🤗";
        case JobResult::failed:
            return "🤢";
        case JobResult::canceled:
            return "🙃";
        case JobResult::timeout:
            return "⌛";
        }
    switch (state) {
    case JobState::depend:
        return "😴";
    case JobState::priority:
        return "😐";
    case JobState::sched:
        return "📅";
    case JobState::run:
        return "🏃";
    case JobState::cleanup:
        return "🧹";
    default:
        return "💀";
    }
}

FieldValue state_field(const Json &job, std::string_view field)
{
    JobState state = state_of(job);
    JobResult result = result_of(job);
    bool inactive = state == JobState::inactive;
    if (field == "state")
        return state_name(state);
    if (field == "state_single")
        return state_abbrev(state);
    if (field == "state_emoji")
        return status_emoji(state, false, result);
    if (field == "status")
        return status_name(state, result);
    if (field == "status_abbrev")
        return status_abbrev(state, result);
    if (field == "status_emoji")
        return status_emoji(state, inactive, result);
    if (!inactive)
        return "";
    if (field == "result")
        return result_name(result);
    return field == "result_abbrev" ? FieldValue(result_abbrev(result))
                                    : FieldValue(status_emoji(state, true, result));
}

// "a.b" below an object of annotations.
FieldValue annotation(Json value, std::string_view path)
{
    while (!path.empty()) {
        std::string_view key = path.substr(0, path.find('.'));
        path.remove_prefix(std::min(path.size(), key.size() + 1));
        value = value[key];
    }
    return plain(value);
}

FieldValue remaining(const Json &job, double now)
{
    double expiration = job.value<double>("expiration", 0);
    if (expiration <= 0 || state_of(job) != JobState::run)
        return {};
    return std::max(0.0, expiration - now);
}

FieldValue exception_field(const Json &job, std::string_view which)
{
    return plain(job["exception_" + std::string(which)]);
}

} // namespace

const FormatFields &job_fields()
{
    static const FormatFields fields = [] {
        FormatFields out {.thing = "jobs",
                          .headers = {},
                          .open = {"annotations.", "sched.", "user."},
                          .ordered_as = {{"id", "id.dec"}}};
        for (const auto &field : table())
            out.headers.emplace_back(field.name, field.header);
        return out;
    }();
    return fields;
}

FieldValue job_field(const Json &job, std::string_view field, double now)
{
    if (field == "id" || field.starts_with("id.")) {
        JobId id(job.get<uint64_t>("id"));
        if (field == "id" || field == "id.f58")
            return id_text(id);
        return field == "id.dec" ? FieldValue(int64_t(id.value()))
                                 : FieldValue(value_or_throw(id.encode(field.substr(3))));
    }
    if (field == "username")
        return job.contains("userid") ? user_name(job.get<uint32_t>("userid")) : "";
    if (field.starts_with("state") || field.starts_with("status") || field.starts_with("result"))
        return state_field(job, field);
    if (field == "contextual_info")
        return contextual_info(job, now);
    if (field == "contextual_time")
        return contextual_time(job, now);
    if (field == "runtime")
        return runtime(job, now);
    if (field == "inactive_reason")
        return inactive_reason(job);
    if (field == "returncode")
        return return_code(job);
    if (field == "t_remaining")
        return remaining(job, now);
    if (field == "dependencies")
        return joined(job["dependencies"]);
    if (field == "uri")
        return annotation(job["annotations"], "user.uri");
    if (field.starts_with("exception."))
        return exception_field(job, field.substr(10));
    for (std::string_view prefix : {"annotations", "sched", "user"})
        if (field == prefix || (field.starts_with(prefix) && field[prefix.size()] == '.')) {
            Json from = prefix == "annotations" ? job["annotations"] : job["annotations"][prefix];
            return annotation(from, field.substr(std::min(field.size(), prefix.size() + 1)));
        }
    return plain(job[field]);
}

std::vector<std::string> job_attributes(const std::vector<std::string> &fields)
{
    std::set<std::string> out {"state", "annotations"}; // what is an instance is shown as one
    for (const auto &name : fields)
        for (const auto &field : table())
            if (field.name == name)
                out.insert(field.attributes.begin(), field.attributes.end());
    return {out.begin(), out.end()};
}

Json job_for_json(const Json &job, double now)
{
    Json out = job.shallow_copy();
    auto put = [&](std::string_view key, const FieldValue &value) {
        if (value.is_empty())
            return;
        std::visit(
            [&](const auto &v) {
                if constexpr (!std::is_same_v<std::decay_t<decltype(v)>, std::monostate>)
                    out.set(key, Json(v));
            },
            value.variant());
    };
    Json exception = Json::object();
    for (const char *key : {"occurred", "severity", "type", "note"}) {
        std::string from = std::string("exception_") + key;
        if (job.contains(from))
            exception.set(key, job[from]);
        out.erase(from);
    }
    for (const char *key : {"state", "status", "result", "returncode", "runtime", "username"})
        put(key, job_field(job, key, now));
    if (!exception.empty())
        out.set("exception", exception);
    return out;
}

std::string render_jobs(const OutputFormat &format, const std::vector<Json> &jobs, double now,
                        const OutputFormat::View &view)
{
    return format.render(
        jobs.size(), [&](size_t row, std::string_view field) { return job_field(jobs[row], field, now); },
        view);
}

bool is_instance(const Json &job)
{
    return bool(job.at("annotations", "user", "uri"));
}

const FormatFamily &job_formats()
{
    static const FormatFamily family {
        .command = "jobs",
        .variable = "FLUX_JOBS_FORMAT_DEFAULT",
        .formats =
            {{"default", "what one wants to know at a glance",
              "{id.f58:>12} ?:{queue:<8.8} +:{username:<8} {name:<10.10+} {status_abbrev:>2.2} {ntasks:>6} "
              "{nnodes:>6h} {contextual_time!F:>8h} {contextual_info}"},
             {"cute", "the default, with a face for the status",
              "{id.f58:>12} ?:{queue:<8.8} +:{username:<8} {name:<10.10+} {status_emoji:>5.5} {ntasks:>6} "
              "{nnodes:>6h} {contextual_time!F:>8h} {contextual_info}"},
             {"long", "the default, with whole names and more times",
              "{id.f58:>12} ?:{queue:<8.8} {username:<8.8} {name:<16.16+} {status:>9.9} {ntasks:>6} "
              "{nnodes:>6h} {t_submit!d:%b%d %R::>12} {t_remaining!F:>12h} {contextual_time!F:>8h} "
              "{contextual_info}"},
             {"deps", "urgency, priority and what a job waits for",
              "{id.f58:>12} ?:{queue:<8.8} {name:<10.10+} {urgency:<3} {priority:<12} {state:<8.8} "
              "{dependencies}"},
             {"endreason", "when and why jobs ended",
              "{id.f58:>12} ?:{queue:<8.8} {username:<8.8} {name:<10.10+} {status_abbrev:>2.2} "
              "{t_inactive!d:%b%d %R::>12h} {inactive_reason}"}},
    };
    return family;
}

const FormatFamily &pgrep_formats()
{
    static const FormatFamily family = [] {
        FormatFamily out = job_formats();
        out.variable = "FLUX_PGREP_FORMAT_DEFAULT";
        NamedFormat full = out.formats[0];
        full.name = "full";
        full.description = "the columns of flux jobs";
        out.formats[0] = {"default", "only the job ids", "{id.f58}"};
        out.formats.push_back(full);
        return out;
    }();
    return family;
}

std::string user_name(uint32_t uid)
{
    static std::map<uint32_t, std::string> names;
    auto [entry, fresh] = names.try_emplace(uid);
    if (fresh) {
        passwd *found = ::getpwuid(uid);
        entry->second = found ? found->pw_name : fmt::format("{}", uid);
    }
    return entry->second;
}

} // namespace flux::cmd
