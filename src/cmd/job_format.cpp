#include "cmd/job_format.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <pwd.h>
#include <set>

#include "cmd/command.hpp"
#include "cmd/eventlog_view.hpp"
#include "cmd/job_client.hpp"
#include "cmd/print.hpp"
#include "common/job/job_state.hpp"
#include "common/types/duration.hpp"

namespace flux::cmd {

namespace {

struct Field {
    std::string_view header;
    std::vector<std::string> attributes; // of job-list
};

const std::map<std::string, Field, std::less<>> &fields()
{
    static const std::map<std::string, Field, std::less<>> table {
        {"id", {"JOBID", {}}},
        {"id.f58", {"JOBID", {}}},
        {"id.f58plain", {"JOBID", {}}},
        {"id.dec", {"JOBID", {}}},
        {"id.hex", {"JOBID", {}}},
        {"id.dothex", {"JOBID", {}}},
        {"id.words", {"JOBID", {}}},
        {"id.emoji", {"JOBID", {}}},
        {"id.kvs", {"JOBID", {}}},
        {"userid", {"UID", {"userid"}}},
        {"username", {"USER", {"userid"}}},
        {"urgency", {"URG", {"urgency"}}},
        {"priority", {"PRI", {"priority"}}},
        {"state", {"STATE", {"state"}}},
        {"state_single", {"S", {"state"}}},
        {"status", {"STATUS", {"state", "result"}}},
        {"status_abbrev", {"ST", {"state", "result"}}},
        {"name", {"NAME", {"name"}}},
        {"cwd", {"CWD", {"cwd"}}},
        {"queue", {"QUEUE", {"queue"}}},
        {"bank", {"BANK", {"bank"}}},
        {"project", {"PROJECT", {"project"}}},
        {"ntasks", {"NTASKS", {"ntasks"}}},
        {"ncores", {"NCORES", {"ncores"}}},
        {"nnodes", {"NNODES", {"nnodes"}}},
        {"duration", {"DURATION", {"duration"}}},
        {"ranks", {"RANKS", {"ranks"}}},
        {"nodelist", {"NODELIST", {"nodelist"}}},
        {"contextual_info", {"INFO", {"state", "nodelist", "dependencies", "annotations"}}},
        {"contextual_time", {"TIME", {"state", "t_run", "t_cleanup"}}},
        {"inactive_reason",
         {"INACTIVE-REASON", {"state", "result", "waitstatus", "exception_type", "exception_note"}}},
        {"success", {"SUCCESS", {"success"}}},
        {"result", {"RESULT", {"state", "result"}}},
        {"returncode", {"RC", {"state", "result", "waitstatus"}}},
        {"waitstatus", {"WSTATUS", {"waitstatus"}}},
        {"runtime", {"RUNTIME", {"t_run", "t_cleanup"}}},
        {"t_submit", {"T_SUBMIT", {"t_submit"}}},
        {"t_depend", {"T_DEPEND", {"t_depend"}}},
        {"t_run", {"T_RUN", {"t_run"}}},
        {"t_cleanup", {"T_CLEANUP", {"t_cleanup"}}},
        {"t_inactive", {"T_INACTIVE", {"t_inactive"}}},
        {"expiration", {"EXPIRATION", {"expiration"}}},
        {"dependencies", {"DEPENDENCIES", {"dependencies"}}},
        {"exception.type", {"EXCEPTION-TYPE", {"exception_type"}}},
        {"exception.note", {"EXCEPTION-NOTE", {"exception_note"}}},
    };
    return table;
}

std::string plain(const Json &value)
{
    if (!value || value.is_null())
        return "";
    if (value.is_string())
        return std::string(value.string_view());
    return value.is_real() ? fmt::format("{}", value.as<double>()) : value.dump();
}

std::string user_name(uint32_t uid)
{
    passwd *entry = ::getpwuid(uid);
    return entry ? entry->pw_name : fmt::format("{}", uid);
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

// Seconds since it began to run, or that it ran; negative when it has not.
double runtime(const Json &job, double now)
{
    double start = job.value<double>("t_run", 0);
    if (start <= 0)
        return -1;
    double end = job.value<double>("t_cleanup", 0);
    return std::max(0.0, (end > 0 ? end : now) - start);
}

std::string runtime_text(const Json &job, double now)
{
    double value = runtime(job, now);
    return value < 0 ? "-" : format_duration(value, 4);
}

std::string joined(const Json &list)
{
    std::string out;
    for (auto item : list.elements())
        out += (out.empty() ? "" : ",") + plain(item);
    return out;
}

// What one most wants to know in its state: why it waits, or where it runs.
std::string contextual_info(const Json &job)
{
    switch (state_of(job)) {
    case JobState::depend:
        return job["dependencies"].empty() ? "" : "depends:" + joined(job["dependencies"]);
    case JobState::priority:
        return "priority-wait";
    case JobState::sched: {
        Json estimate = job.at("annotations", "sched", "t_estimate");
        Json reason = job.at("annotations", "sched", "reason_pending");
        if (reason)
            return plain(reason);
        return estimate.is_number() ? "eta:" + local_time(estimate.as<double>(), "%H:%M") : "";
    }
    default:
        return plain(job["nodelist"]);
    }
}

std::string inactive_reason(const Json &job)
{
    if (state_of(job) != JobState::inactive)
        return "";
    switch (result_of(job)) {
    case JobResult::canceled:
    case JobResult::timeout: {
        std::string note = plain(job["exception_note"]);
        std::string word = result_of(job) == JobResult::canceled ? "Canceled" : "Timeout";
        return note.empty() ? word : word + ": " + note;
    }
    default: {
        int status = job.value<int>("waitstatus", 0);
        if (status & 0x7f)
            return fmt::format("Signaled: {}", status & 0x7f);
        if (status)
            return fmt::format("Exit {}", status >> 8 & 0xff);
        return plain(job["exception_type"]);
    }
    }
}

std::string return_code(const Json &job)
{
    auto status = job.find<int>("waitstatus");
    if (status)
        return fmt::format("{}", *status & 0x7f ? -(*status & 0x7f) : *status >> 8 & 0xff);
    return "";
}

} // namespace

std::string job_field(const Json &job, std::string_view field, double now)
{
    JobId id(job.get<uint64_t>("id"));
    if (field == "id" || field == "id.f58")
        return id_text(id);
    if (field.starts_with("id."))
        return value_or_throw(id.encode(field.substr(3)));
    if (field == "username")
        return job.contains("userid") ? user_name(job.get<uint32_t>("userid")) : "";
    if (field == "state")
        return std::string(state_name(state_of(job)));
    if (field == "state_single")
        return std::string(state_abbrev(state_of(job)));
    if (field == "status")
        return std::string(status_name(state_of(job), result_of(job)));
    if (field == "status_abbrev")
        return std::string(status_abbrev(state_of(job), result_of(job)));
    if (field == "result")
        return job.contains("result") ? std::string(result_name(result_of(job))) : "";
    if (field == "contextual_info")
        return contextual_info(job);
    if (field == "contextual_time" || field == "runtime")
        return runtime_text(job, now);
    if (field == "inactive_reason")
        return inactive_reason(job);
    if (field == "returncode")
        return return_code(job);
    if (field == "dependencies")
        return joined(job["dependencies"]);
    if (field == "duration")
        return job.contains("duration") ? format_duration(job.get<double>("duration"), 4) : "";
    if (field == "exception.type" || field == "exception.note")
        return plain(job[field == "exception.type" ? "exception_type" : "exception_note"]);
    return plain(job[field]);
}

std::string_view JobFormat::default_text()
{
    return "{id.f58:>12} ?:{queue:<8.8} {username:<8.8} {name:<10.10} {status_abbrev:>2.2} {ntasks:>6} "
           "{nnodes:>6} "
           "{contextual_time:>8} {contextual_info}";
}

JobFormat JobFormat::parse(std::string_view text)
{
    JobFormat out;
    Piece literal;
    bool drop = false;
    bool grow = false;
    for (size_t i = 0; i < text.size();) {
        if (text.substr(i).starts_with("{{") || text.substr(i).starts_with("}}")) {
            literal.literal += text[i];
            i += 2;
        } else if (text.substr(i).starts_with("?:") || text.substr(i).starts_with("+:")) {
            (text[i] == '?' ? drop : grow) = true;
            i += 2;
        } else if (text.substr(i).starts_with("?+:")) {
            drop = grow = true;
            i += 3;
        } else if (text[i] == '{') {
            size_t end = text.find('}', i);
            if (end == std::string_view::npos)
                throw UsageError(fmt::format("a brace is not closed in the format '{}'", text));
            std::string_view inside = text.substr(i + 1, end - i - 1);
            i = end + 1;
            if (!literal.literal.empty())
                out.pieces_.push_back(std::exchange(literal, {}));
            Piece piece {.drop_if_empty = std::exchange(drop, false), .grow = std::exchange(grow, false)};
            size_t mark = inside.find_first_of("!:");
            piece.field = inside.substr(0, mark);
            std::vector<std::string> names;
            for (const auto &[name, field] : fields())
                names.push_back(name);
            if (!fields().contains(piece.field) && !piece.field.starts_with("annotations.") &&
                !piece.field.starts_with("user."))
                throw UsageError(
                    fmt::format("jobs have no field {}{}", piece.field, did_you_mean(piece.field, names)));
            size_t colon = inside.find(':');
            std::string_view spec =
                colon == std::string_view::npos ? std::string_view() : inside.substr(colon + 1);
            if (!spec.empty() && (spec[0] == '<' || spec[0] == '>' || spec[0] == '^')) {
                piece.align = spec[0];
                spec.remove_prefix(1);
            }
            auto number = [&](size_t &value) {
                while (!spec.empty() && std::isdigit(uint8_t(spec[0])) && value < 10000) {
                    value = value * 10 + size_t(spec[0] - '0');
                    spec.remove_prefix(1);
                }
            };
            number(piece.width);
            if (!spec.empty() && spec[0] == '.') {
                spec.remove_prefix(1);
                number(piece.precision);
            }
            out.pieces_.push_back(std::move(piece));
        } else if (text[i] == '}') {
            throw UsageError(fmt::format("a brace is not opened in the format '{}'", text));
        } else {
            literal.literal += text[i++];
        }
    }
    if (!literal.literal.empty())
        out.pieces_.push_back(std::move(literal));
    return out;
}

std::string JobFormat::render(const Piece &piece, std::string value) const
{
    if (piece.precision && display_width(value) > piece.precision) {
        size_t bytes = 0;
        for (size_t columns = 0; bytes < value.size(); bytes++)
            if ((value[bytes] & 0xc0) != 0x80 && columns++ == piece.precision)
                break;
        value.resize(bytes);
    }
    return pad(value, piece.width, piece.align == '>');
}

std::string JobFormat::header() const
{
    std::string out;
    for (const auto &piece : pieces_) {
        auto found = fields().find(piece.field);
        std::string upper = piece.field;
        std::transform(upper.begin(), upper.end(), upper.begin(),
                       [](char c) { return char(std::toupper(uint8_t(c))); });
        out += piece.field.empty()
                   ? piece.literal
                   : render(piece, found == fields().end() ? upper : std::string(found->second.header));
    }
    return out.erase(out.find_last_not_of(' ') + 1);
}

std::string JobFormat::row(const Json &job, double now) const
{
    std::string out;
    for (const auto &piece : pieces_)
        out += piece.field.empty() ? piece.literal : render(piece, job_field(job, piece.field, now));
    return out.erase(out.find_last_not_of(' ') + 1);
}

std::vector<std::string> JobFormat::attributes() const
{
    std::set<std::string> out;
    for (const auto &piece : pieces_)
        if (auto found = fields().find(piece.field); found != fields().end())
            out.insert(found->second.attributes.begin(), found->second.attributes.end());
        else if (!piece.field.empty())
            out.insert("annotations");
    return {out.begin(), out.end()};
}

JobFormat JobFormat::fitted(const std::vector<Json> &jobs, double now) const
{
    JobFormat out;
    for (size_t i = 0; i < pieces_.size(); i++) {
        Piece piece = pieces_[i];
        size_t widest = 0;
        if (piece.drop_if_empty || piece.grow)
            for (const auto &job : jobs)
                widest = std::max(widest, display_width(job_field(job, piece.field, now)));
        if (piece.drop_if_empty && widest == 0) {
            if (i + 1 < pieces_.size() && pieces_[i + 1].field.empty())
                i++; // the blank after it goes too
            continue;
        }
        if (piece.grow) {
            piece.width = std::max(piece.width, widest);
            piece.precision = 0;
        }
        out.pieces_.push_back(std::move(piece));
    }
    return out;
}

} // namespace flux::cmd
