#include "common/job/queue_config.hpp"

#include <algorithm>

#include "common/types/duration.hpp"

namespace flux {

namespace {

double duration_at(const Json &value, const std::string &where)
{
    auto seconds = value.is_number() ? Expected<double>(value.as<double>())
                   : value.is_string() ? parse_duration(value.string_view())
                                       : fail(EINVAL, "found {}", value.type_name());
    if (!seconds || *seconds < 0)
        throw Error(EINVAL, "{}: {} is no duration such as \"4h\"", where, value.dump());
    return *seconds;
}

void read_size(const Json &table, const std::string &where, JobSize &size)
{
    for (auto [key, value] : table.members()) {
        auto *field = key == "nnodes"   ? &size.nnodes
                      : key == "ncores" ? &size.ncores
                      : key == "ngpus"  ? &size.ngpus
                                        : nullptr;
        if (!field)
            throw Error(EINVAL, "{}.{}: the limits are nnodes, ncores and ngpus", where, key);
        if (!value.is_integer() || value.as<int64_t>() < -1)
            throw Error(EINVAL, "{}.{}: {} is no number, or -1 for unlimited", where, key, value.dump());
        *field = value.as<int64_t>();
    }
}

// What a policy table says, over what holds already.
void read_policy(const Json &policy, const std::string &where, QueuePolicy &out)
{
    if (Json value = policy.at("jobspec", "defaults", "system", "duration"))
        out.default_duration = duration_at(value, where + ".jobspec.defaults.system.duration");
    Json limits = policy["limits"];
    if (Json value = limits["duration"])
        out.max_duration = duration_at(value, where + ".limits.duration");
    read_size(limits.at("job-size", "max"), where + ".limits.job-size.max", out.max);
    read_size(limits.at("job-size", "min"), where + ".limits.job-size.min", out.min);
}

QueueDefinition read_queue(std::string_view name, const Json &table, const QueuePolicy &general)
{
    QueueDefinition queue;
    queue.name = name;
    queue.policy = general;
    if (!table.is_object())
        throw Error(EINVAL, "queues.{}: expected a table, found {}", name, table.type_name());
    queue.parent = table.value<std::string>("parent", "");
    queue.properties = table.value<std::vector<std::string>>("requires", {});
    if (Json hosts = table["hosts"]) {
        if (!hosts.is_string())
            throw Error(EINVAL, "queues.{}.hosts: expected hosts as a string, found {}", name, hosts.dump());
        if (table["requires"])
            throw Error(EINVAL, "queues.{}: hosts and requires exclude each other", name);
        queue.properties = {"+" + std::string(name)};
    }
    return queue;
}

void read(const Json &config, std::map<std::string, QueueDefinition> &queues, std::string &fallback)
{
    QueuePolicy general;
    read_policy(config["policy"], "policy", general);
    fallback = config.at("policy", "jobspec", "defaults", "system", "queue").string_view();
    Json tables = config["queues"];
    queues.clear();
    if (tables.empty())
        queues[""].policy = general;
    for (auto [name, table] : tables.members())
        if (table["parent"].string_view().empty()) {
            auto &queue = queues[std::string(name)] = read_queue(name, table, general);
            read_policy(table["policy"], fmt::format("queues.{}.policy", name), queue.policy);
        }
    for (auto [name, table] : tables.members()) {
        auto parent = table["parent"].string_view();
        if (parent.empty())
            continue;
        auto found = queues.find(std::string(parent));
        if (found == queues.end() || !found->second.parent.empty())
            throw Error(EINVAL, "queues.{}.parent: \"{}\" is no queue, or a virtual one itself", name, parent);
        auto queue = read_queue(name, table, found->second.policy);
        if (!queue.properties.empty())
            throw Error(EINVAL, "queues.{}: a virtual queue has its parent's resources, not its own", name);
        queue.properties = found->second.properties;
        read_policy(table["policy"], fmt::format("queues.{}.policy", name), queue.policy);
        queues[std::string(name)] = std::move(queue);
    }
    if (!fallback.empty() && !queues.contains(fallback))
        throw Error(EINVAL, "policy.jobspec.defaults.system.queue: there is no queue named {}", fallback);
}

// {"and":[constraint, {"properties":[...]}]}, or what there is of it.
Json with_properties(const Json &constraint, const std::vector<std::string> &properties)
{
    if (properties.empty())
        return constraint;
    Json mine {{"properties", Json::array_of(properties)}};
    if (constraint.empty())
        return mine;
    if (constraint.size() == 1 && constraint["properties"].is_array()) {
        Json both = constraint["properties"].shallow_copy();
        for (const auto &property : properties)
            both.append(property);
        return Json {{"properties", both}};
    }
    return Json {{"and", Json::array().append(constraint).append(mine)}};
}

std::string limit_sentence(std::string_view what, uint64_t asked, const char *word, int64_t limit,
                           const std::string &queue)
{
    return fmt::format("the job asks {} {}, but {} {} {}", asked, what,
                       queue.empty() ? "the policy" : "queue " + queue, word, limit);
}

} // namespace

Expected<QueueConfig> QueueConfig::from(const Json &config)
{
    QueueConfig out;
    try {
        read(config, out.queues_, out.default_queue_);
    } catch (const Error &error) {
        return fail(EINVAL, "{}", error.text());
    }
    return out;
}

const QueueDefinition *QueueConfig::find(const std::string &name) const
{
    auto found = queues_.find(name);
    return found == queues_.end() ? nullptr : &found->second;
}

Expected<Json> QueueConfig::complete(const Json &jobspec) const
{
    Json system = jobspec.at("attributes", "system");
    std::string name(system["queue"].string_view());
    bool set_queue = name.empty() && !default_queue_.empty();
    if (set_queue)
        name = default_queue_;
    const auto *queue = find(name);
    if (!queue) {
        if (name.empty())
            return fail(EINVAL, "the job names no queue and there is no default: choose one with --queue");
        return fail(EINVAL, "Invalid queue '{}' specified", name);
    }
    Json duration = system["duration"];
    bool set_duration = queue->policy.default_duration > 0 &&
                        (!duration || (duration.is_number() && duration.as<double>() == 0));
    if (!set_queue && !set_duration && queue->properties.empty())
        return jobspec;
    Json out = jobspec.shallow_copy();
    Json attributes = jobspec["attributes"] ? jobspec["attributes"].shallow_copy() : Json::object();
    system = system ? system.shallow_copy() : Json::object();
    if (set_queue)
        system.set("queue", name);
    if (set_duration)
        system.set("duration", queue->policy.default_duration);
    if (!queue->properties.empty())
        system.set("constraints", with_properties(system["constraints"], queue->properties));
    attributes.set("system", system);
    out.set("attributes", attributes);
    return out;
}

Expected<Json> QueueConfig::move_to(const Json &jobspec, const std::string &name) const
{
    const auto *queue = find(name);
    if (!queue || name.empty())
        return fail(EINVAL, "Invalid queue '{}' specified", name);
    Json updates {{"attributes.system.queue", name}};
    const auto *old = find(std::string(jobspec.at("attributes", "system", "queue").string_view()));
    if (old && old->properties == queue->properties)
        return updates;
    Json constraint = jobspec.at("attributes", "system", "constraints");
    if (old && !old->properties.empty()) { // what complete() added, again without
        if (constraint.size() == 1 && constraint["properties"].is_array()) {
            Json rest = Json::array();
            size_t own = constraint["properties"].size() - std::min(constraint["properties"].size(), old->properties.size());
            for (size_t i = 0; i < own; i++)
                rest.append(constraint["properties"][i]);
            constraint = rest.empty() ? Json::object() : Json {{"properties", rest}};
        } else if (constraint["and"].size() == 2)
            constraint = constraint["and"][size_t(0)];
    }
    updates.set("attributes.system.constraints", constraint || !queue->properties.empty()
                                                     ? with_properties(constraint, queue->properties)
                                                     : Json::object());
    return updates;
}

Expected<void> QueueConfig::check(const Jobspec &jobspec) const
{
    const auto *queue = find(jobspec.queue());
    if (!queue)
        return fail(EINVAL, "Invalid queue '{}' specified", jobspec.queue());
    const auto &policy = queue->policy;
    std::string where = queue->name.empty() ? "the policy" : "queue " + queue->name;
    if (policy.max_duration > 0 && (jobspec.duration() == 0 || jobspec.duration() > policy.max_duration))
        return fail(EINVAL, "the job's time limit is {}, but {} allows {} at most",
                    jobspec.duration() == 0 ? std::string("unlimited") : format_duration(jobspec.duration()), where,
                    format_duration(policy.max_duration));
    auto shape = jobspec.shape();
    if (!shape) // richer forms are for the scheduler to judge
        return {};
    struct {
        const char *what;
        uint64_t asked;
        int64_t max, min;
    } rows[] {{"nodes", shape->nnodes, policy.max.nnodes, policy.min.nnodes},
              {"cores", shape->ncores(), policy.max.ncores, policy.min.ncores},
              {"gpus", shape->ngpus(), policy.max.ngpus, policy.min.ngpus}};
    for (const auto &row : rows) {
        if (row.max >= 0 && row.asked > uint64_t(row.max))
            return fail(EINVAL, "{}", limit_sentence(row.what, row.asked, "allows at most", row.max, queue->name));
        if (row.min > 0 && row.asked < uint64_t(row.min))
            return fail(EINVAL, "{}", limit_sentence(row.what, row.asked, "wants at least", row.min, queue->name));
    }
    return {};
}

} // namespace flux
