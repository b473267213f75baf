// flux update: attributes of an active job.
#include "cmd/commands.hpp"
#include "cmd/job_client.hpp"
#include "cmd/print.hpp"
#include "cmd/submit_options.hpp"
#include "common/job/jobspec.hpp"
#include "common/types/duration.hpp"

namespace flux::cmd {

namespace {

constexpr std::string_view duration_key = "attributes.system.duration";

std::string full_key(const std::string &key)
{
    if (key == "name")
        return "attributes.system.job.name";
    for (std::string_view top : {"attributes.", "tasks.", "resources."})
        if (key.starts_with(top))
            return key;
    return "attributes.system." + key;
}

double current_duration(Session &flux, JobId id)
{
    constexpr int current = 2; // with the updates so far
    Json request {{"id", id.value()},
                  {"keys", Json::array_of(std::vector<std::string> {"jobspec"})},
                  {"flags", current}};
    Json jobspec = Json::parse_or_throw(flux.rpc("job-info.lookup", request).get<std::string>("jobspec"));
    return jobspec.at("attributes", "system").value<double>("duration", 0);
}

// "30m", "+10m", "-1h".
double new_duration(Session &flux, JobId id, const std::string &text)
{
    bool relative = text.starts_with('+') || text.starts_with('-');
    double value = value_or_throw(parse_duration(std::string_view(text).substr(relative)));
    if (!relative)
        return value;
    double now = current_duration(flux, id);
    if (now <= 0)
        throw Error(EINVAL, "duration {}: the job has no time limit that could be adjusted", text);
    double result = text[0] == '+' ? now + value : now - value;
    if (result <= 0)
        throw Error(EINVAL, "duration {}: the job's time limit is only {}", text, format_duration(now));
    return result;
}

// Until the job's log has each of the updates. They hold when the job manager has answered; who reads the log elsewhere
// sees them from now on.
Task<> wait_for_updates(Handle &handle, JobId id, Json updates)
{
    std::map<std::string, Json> missing;
    for (auto [key, value] : updates.members())
        missing.emplace(std::string(key), value);
    co_await follow_log(handle, id, "eventlog", [&](const Event &event) {
        if (event.name == "jobspec-update")
            std::erase_if(missing, [&](const auto &entry) { return event.context[entry.first] == entry.second; });
        return !missing.empty();
    });
    if (!missing.empty())
        throw Error(ENOENT, "the job ended before {} was updated", missing.begin()->first);
}

int run_update(const Args &args, Session &flux)
{
    JobId id = args.job_id(0);
    Json updates = Json::object();
    for (const auto &word : args.from(1)) {
        size_t equals = word.find('=');
        if (equals == std::string::npos || equals == 0)
            throw UsageError(fmt::format("'{}' is not KEY=VALUE", word));
        std::string key = full_key(word.substr(0, equals));
        if (key == duration_key)
            updates.set(key, new_duration(flux, id, word.substr(equals + 1)));
        else
            updates.set(key, parse_setting(word).second);
    }
    if (args.has("dry-run")) {
        print("{}\n", updates.dump());
        return 0;
    }
    flux.rpc("job-manager.update", Json {{"id", id.value()}, {"updates", updates}});
    if (args.has("wait"))
        flux.run(wait_for_updates(flux.handle(), id, updates));
    if (args.has("verbose"))
        for (auto [key, value] : updates.members())
            warn("updated {} to {}", key, value.dump());
    return 0;
}

} // namespace

const Command update {
    .name = "update",
    .args = "JOBID KEY=VALUE...",
    .summary = "Change attributes of a pending or running job, such as duration=+1h",
    .options = {{"-n,--dry-run", "show the update as JSON, send nothing"},
                {"--wait", "return when the job's event log tells of it"},
                {"-v,--verbose", "show what was updated"}},
    .min_args = 2,
    .run = run_update,
};

} // namespace flux::cmd
