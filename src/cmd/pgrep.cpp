// flux pgrep, flux pkill: jobs by name or by a range of ids.
#include <algorithm>
#include <regex>

#include "cmd/commands.hpp"
#include "cmd/job_client.hpp"
#include "cmd/job_fields.hpp"
#include "cmd/job_select.hpp"
#include "cmd/print.hpp"

namespace flux::cmd {

namespace {

constexpr int nothing_matched = 1;
constexpr int usage_mistake = 2; // exit status

// "NAME" (a regular expression), "name:NAME", "ID1..ID2"; all that are given must match.
class Expression {
public:
    explicit Expression(const std::vector<std::string> &words)
    {
        for (const auto &word : words)
            if (!take_range(word))
                take_pattern(word.starts_with("name:") ? word.substr(5) : word);
    }
    bool matches(const Json &job) const
    {
        JobId id(job.get<uint64_t>("id"));
        if (range_ && (id < range_->first || range_->second < id))
            return false;
        return !pattern_ || std::regex_search(job.value<std::string>("name", ""), *pattern_);
    }

private:
    bool take_range(const std::string &word)
    {
        size_t dots = word.find("..");
        if (dots == std::string::npos || word.starts_with("name:"))
            return false;
        auto first = JobId::parse(word.substr(0, dots));
        auto last = JobId::parse(word.substr(dots + 2));
        if (!first || !last)
            return false;
        range_ = std::pair(*first, *last);
        return true;
    }
    void take_pattern(const std::string &text)
    {
        if (pattern_)
            throw UsageError(fmt::format("'{}': only one name can be given beside a range of ids", text));
        try {
            pattern_ = std::regex(text);
        } catch (const std::regex_error &error) {
            throw UsageError(fmt::format("'{}' is no regular expression: {}", text, error.what()));
        }
    }
    std::optional<std::regex> pattern_;
    std::optional<std::pair<JobId, JobId>> range_;
};

std::vector<Json> matching(const Args &args, Session &flux, std::vector<std::string> attributes)
{
    Expression expression(args.positional());
    auto selection = JobSelection::from(args, flux.loop().clock().wall_time());
    int64_t limit = selection.count;
    selection.count = args.integer("max-entries", default_job_count);
    attributes.push_back("name");
    std::vector<Json> out;
    for (const auto &job : select_jobs(flux, selection, attributes))
        if (expression.matches(job) && (limit == 0 || int64_t(out.size()) < limit))
            out.push_back(job);
    return out;
}

int run_pgrep(const Args &args, Session &flux)
{
    auto text = choose_format(args, pgrep_formats());
    if (!text)
        return 0;
    auto format = OutputFormat::parse(*text, job_fields());
    auto found = matching(args, flux, job_attributes(format.fields()));
    if (found.empty())
        return nothing_matched;
    bool only_ids = *text == pgrep_formats().find("default")->format;
    OutputFormat::View view {.header = !only_ids && !args.has("no-header")};
    write_out(render_jobs(format, found, flux.loop().clock().wall_time(), view));
    return 0;
}

Task<> wait_for_end(Handle &handle, JobId id)
{
    co_await follow_log(handle, id, "eventlog", [](const Event &) { return true; });
}

int run_pkill(const Args &args, Session &flux)
{
    auto found = matching(args, flux, {});
    if (found.empty())
        return nothing_matched;
    int status = 0;
    size_t canceled = 0;
    for (const auto &job : found) {
        JobId id(job.get<uint64_t>("id"));
        try {
            flux.rpc("job-manager.raise", Json {{"id", id.value()}, {"type", "cancel"}, {"severity", 0}});
            canceled++;
        } catch (const Error &error) {
            warn("flux-pkill: {}: {}", id_text(id), error.what());
            status = 1;
        }
    }
    warn("flux-pkill: canceled {} job{}", canceled, canceled == 1 ? "" : "s");
    if (args.has("wait"))
        for (const auto &job : found)
            flux.run(wait_for_end(flux.handle(), JobId(job.get<uint64_t>("id"))));
    return status;
}

const std::vector<Option> selection_options {
    {"-A", "of all users"},
    {"-u,--user=USER", "of this user, or all"},
    {"-f,--filter=STATE|RESULT", "in these states or with these results"},
    {"-q,--queue=QUEUE,...", "in these queues"},
    {"-c,--count=N", "at most the first N that match"},
    {"--max-entries=N", "look at no more than N jobs (default 1000)"}};

std::vector<Option> with(std::vector<Option> options)
{
    options.insert(options.end(), selection_options.begin(), selection_options.end());
    return options;
}

} // namespace

const Command pgrep {
    .name = "pgrep",
    .args = "EXPRESSION...",
    .summary = "Show the ids of jobs whose name matches, or whose id is in FIRST..LAST",
    .options = with({{"-a", "inactive ones too"},
                     {"-o,--format=NAME|FORMAT", "as flux jobs; help lists the names"},
                     {"-n,--no-header", "no header"}}),
    .min_args = 1,
    .run = run_pgrep,
    .usage_status = usage_mistake,
};

const Command pkill {
    .name = "pkill",
    .args = "EXPRESSION...",
    .summary = "Cancel jobs whose name matches, or whose id is in FIRST..LAST",
    .options = with({{"-w,--wait", "until they have ended"}}),
    .min_args = 1,
    .run = run_pkill,
    .usage_status = usage_mistake,
};

} // namespace flux::cmd
