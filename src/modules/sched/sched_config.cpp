#include "modules/sched/sched_config.hpp"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>

#include "common/base/text.hpp"

namespace flux {

namespace {

using graph::QueueOptions;

constexpr const char *resource_table = "sched-fluxion-resource";
constexpr const char *queue_table = "sched-fluxion-qmanager";
constexpr const char *default_policy = "lonode"; // jobs begin at the first rank
constexpr int64_t max_vertices_reserved = 2000000;
constexpr int64_t max_update_interval = 2000000;

template <class... Args>
[[noreturn]] void bad(int errnum, const char *table, std::string_view key, fmt::format_string<Args...> format,
                      Args &&...args)
{
    throw Error(errnum, "[{}] {}: {}", table, key, fmt::format(format, std::forward<Args>(args)...));
}

std::string text_of(const Json &value, const char *table, std::string_view key)
{
    if (!value.is_string())
        bad(EINVAL, table, key, "expected a string, found {}", value.dump().substr(0, 40));
    return std::string(value.string_view());
}

size_t positive(const Json &value, const char *table, std::string_view key)
{
    int64_t number = 0;
    if (value.is_integer()) {
        number = value.as<int64_t>();
    } else {
        std::string_view text = value.string_view();
        auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
        if (text.empty() || error != std::errc() || end != text.data() + text.size())
            bad(EINVAL, table, key, "expected a number, found {}", value.dump().substr(0, 40));
    }
    if (number < 1)
        bad(ERANGE, table, key, "{} is less than 1", number);
    return size_t(number);
}

// A table, or "key=value,key=value".
Json parameters(const Json &value, const char *table, std::string_view key)
{
    if (value.is_object())
        return value;
    Json out = Json::object();
    std::string pairs = text_of(value, table, key);
    for (std::string_view word : split_words(pairs, ",")) {
        size_t equal = word.find('=');
        if (equal == word.npos)
            bad(EINVAL, table, key, "\"{}\" is not KEY=VALUE", word);
        out.set(word.substr(0, equal), word.substr(equal + 1));
    }
    return out;
}

void apply_parameters(const Json &values, std::string_view key, QueueOptions &options)
{
    for (auto [name, value] : values.members()) {
        std::string place = fmt::format("{}.{}", key, name);
        size_t number = positive(value, queue_table, place);
        if (name == "queue-depth")
            options.queue_depth = number;
        else if (name == "max-queue-depth")
            options.max_queue_depth = number;
        else if (name == "reservation-depth")
            options.reservation_depth = number;
        else if (name == "max-reservation-depth")
            options.max_reservation_depth = number;
        else
            bad(EINVAL, queue_table, place,
                "unknown; known are queue-depth, max-queue-depth, reservation-depth, max-reservation-depth");
    }
}

QueueOptions::Policy queue_policy(std::string_view name, std::string_view key)
{
    auto policy = QueueOptions::parse_policy(name);
    if (!policy)
        bad(EINVAL, queue_table, key, "unknown policy \"{}\"; known are fcfs, easy, hybrid, conservative",
            name);
    return *policy;
}

void read_resource_table(const Json &table, SchedConfig &out)
{
    auto &matching = out.machine.matching;
    for (auto [key, value] : table.members()) {
        if (key == "match-policy" || key == "policy") {
            auto policy = graph::Policy::parse(text_of(value, resource_table, key));
            if (!policy)
                bad(EINVAL, resource_table, key, "{}", policy.error().text());
            matching.policy = *policy;
        } else if (key == "match-format") {
            auto format = graph::parse_match_format(text_of(value, resource_table, key));
            if (format)
                out.machine.format = *format;
        } else if (key == "subsystems") {
            matching.subsystems.clear();
            std::string list = text_of(value, resource_table, key);
            for (std::string_view one : split_words(list, ","))
                matching.subsystems.emplace_back(one.substr(0, one.find(':')));
        } else if (key == "divisible") {
            std::string list = text_of(value, resource_table, key);
            for (std::string_view type : split_words(list, ","))
                matching.divisible.emplace(type);
        } else if (key == "traverser") {
            std::string name = text_of(value, resource_table, key);
            if (name != "simple" && name != "flexible")
                bad(EINVAL, resource_table, key, "unknown traverser \"{}\"; known are simple, flexible",
                    name);
            matching.or_slots = name == "flexible";
        } else if (key == "load-file") {
            out.load_file = text_of(value, resource_table, key);
        } else if (key == "load-format") {
            out.load_format = text_of(value, resource_table, key);
            out.machine.ignore_scheduling = out.load_format == "rv1exec_force";
        } else if (key == "reserve-vtx-vec") {
            if (positive(value, resource_table, key) > max_vertices_reserved)
                bad(ERANGE, resource_table, key, "more than {}", max_vertices_reserved);
        } else if (key == "load-allowlist") {
            std::string list = text_of(value, resource_table, key);
            for (std::string_view type : split_words(list, ","))
                out.load_only.emplace(type);
        } else if (key == "update-interval") {
            bool off = value == Json(0) || value == Json("0");
            if (!off && positive(value, resource_table, key) > max_update_interval)
                bad(ERANGE, resource_table, key, "more than {} s", max_update_interval);
        } else if (key == "prune-filters") {
            matching.prune_filters = {};
            if (auto added = matching.prune_filters.add(text_of(value, resource_table, key)); !added)
                bad(EINVAL, resource_table, key, "{}", added.error().text());
        } else {
            bad(EINVAL, resource_table, key, "unknown key");
        }
    }
}

void read_queue_table(const Json &table, SchedConfig &out)
{
    QueueOptions common;
    for (auto [key, value] : table.members()) {
        if (key == "queue-policy")
            common.policy = queue_policy(text_of(value, queue_table, key), key);
        else if (key == "queue-params" || key == "policy-params")
            apply_parameters(parameters(value, queue_table, key), key, common);
        else if (key == "queues")
            bad(EINVAL, queue_table, key, "queues are configured by the table [queues]");
        else if (!key.ends_with("-per-queue"))
            bad(EINVAL, queue_table, key, "unknown key");
    }
    for (auto &queue : out.queues)
        queue.options = common;
    for (auto [key, value] : table.members()) {
        if (!key.ends_with("-per-queue"))
            continue;
        std::string list = text_of(value, queue_table, key);
        for (std::string_view word : split_words(list, " ")) {
            size_t colon = word.find(':');
            std::string_view name = word.substr(0, colon);
            std::string_view rest = colon == word.npos ? "" : word.substr(colon + 1);
            auto queue = std::ranges::find(out.queues, name, &SchedConfig::Queue::name);
            if (queue == out.queues.end())
                bad(ENOENT, queue_table, key, "there is no queue \"{}\"", name);
            if (key == "queue-policy-per-queue")
                queue->options.policy = queue_policy(rest, key);
            else if (key == "queue-params-per-queue" || key == "policy-params-per-queue")
                apply_parameters(parameters(Json(rest), queue_table, key), key, queue->options);
            else
                bad(EINVAL, queue_table, key, "unknown key");
        }
    }
}

// The resource table with its defaults.
Json resources_as_set(const Json &table)
{
    Json out {{"load-file", nullptr},          {"load-format", "rv1exec"},
              {"load-allowlist", nullptr},     {"policy", default_policy},
              {"match-format", "rv1_nosched"}, {"subsystems", "containment"},
              {"reserve-vtx-vec", 0},          {"prune-filters", "ALL:core,ALL:node"},
              {"update-interval", 0},          {"traverser", "simple"}};
    for (auto [key, value] : table.members())
        if (key != "match-format" || graph::parse_match_format(value.string_view()))
            out.set(key == "match-policy" ? "policy" : key, value);
    return out;
}

// The queue table likewise; what holds for all queues, then what for single ones.
Json queues_as_set(const Json &table)
{
    QueueOptions defaults;
    Json queue {{"queue-depth", defaults.queue_depth}, {"max-queue-depth", defaults.max_queue_depth}};
    Json policy {{"reservation-depth", defaults.reservation_depth},
                 {"max-reservation-depth", defaults.max_reservation_depth}};
    Json out {{"queue-policy", "fcfs"}};
    for (auto [key, value] : table.members()) {
        if (key == "queue-params" || key == "policy-params")
            for (auto [name, number] : parameters(value, queue_table, key).members())
                (name.ends_with("queue-depth") ? queue : policy).set(name, number);
        else
            out.set(key, value);
    }
    out.set("queue-params", queue);
    out.set("policy-params", policy);
    return out;
}

void read_queues(const Json &queues, SchedConfig &out)
{
    for (auto [name, settings] : queues.members())
        if (!settings.contains("parent")) {
            out.index.emplace(name, out.queues.size());
            out.queues.push_back({std::string(name), {}});
        }
    for (auto [name, settings] : queues.members())
        if (Json parent = settings["parent"]) {
            auto found = out.index.find(parent.string_view());
            if (found == out.index.end())
                throw Error(ENOENT, "[queues.{}] parent: there is no queue {} that could be it", name,
                            parent.dump());
            out.index.emplace(name, found->second);
        }
    if (out.queues.empty())
        out.queues.push_back({"default", {}});
}

// KEY=VALUE goes into the table that knows the key.
void add_argument(const std::string &argument, Json &resource, Json &queue)
{
    size_t equal = argument.find('=');
    if (equal == argument.npos)
        throw Error(EINVAL, "sched: argument \"{}\" is not KEY=VALUE", argument);
    std::string key = argument.substr(0, equal);
    bool about_queues = key.starts_with("queue-") || key.starts_with("policy-params");
    (about_queues ? queue : resource).set(key, argument.substr(equal + 1));
}

} // namespace

SchedConfig SchedConfig::parse(const Json &config, const std::vector<std::string> &arguments)
{
    auto table = [&](const char *name) {
        Json found = config[name];
        if (found && !found.is_object())
            throw Error(EINVAL, "[{}]: expected a table, found {}", name, found.type_name());
        return found ? found.copy() : Json::object();
    };
    Json resource = table(resource_table), queue = table(queue_table);
    for (const auto &argument : arguments)
        add_argument(argument, resource, queue);
    SchedConfig out;
    out.machine.matching.policy = value_or_throw(graph::Policy::parse(default_policy));
    read_resource_table(resource, out);
    read_queues(config["queues"], out);
    read_queue_table(queue, out);
    out.resource_params = resources_as_set(resource);
    out.queue_params = queues_as_set(queue);
    return out;
}

std::string SchedConfig::read_load_file() const
{
    std::ifstream file(load_file);
    std::ostringstream text;
    if (!file || !(text << file.rdbuf()))
        throw Error(ENOENT, "[{}] load-file: cannot read {}", resource_table, load_file);
    return text.str();
}

ResourceSet SchedConfig::load_resources(const Json &instance) const
{
    if (load_file.empty())
        return value_or_throw(ResourceSet::from_json(instance));
    Json json = Json::parse_or_throw(read_load_file());
    if (load_format.starts_with("jgf")) {
        auto set = value_or_throw(ResourceSet::from_json(instance));
        set.set_scheduling(json);
        return set;
    }
    return value_or_throw(ResourceSet::from_json(json));
}

size_t SchedConfig::queue_of(std::string_view name) const
{
    auto found = index.find(name);
    return found == index.end() ? 0 : found->second;
}

} // namespace flux
