// Reading a jobspec (RFC 14), strict about everything that it names, with the place of each fault in the
// message.
#include <set>

#include "common/base/quote.hpp"
#include "common/job/jobspec.hpp"
#include "common/types/constraint.hpp"

namespace flux {

namespace {

constexpr int max_version = 9999;

template <class... Args>
[[noreturn]] void bad(const std::string &path, fmt::format_string<Args...> format, Args &&...args)
{
    throw Error(EINVAL, "{}: {}", path, fmt::format(format, std::forward<Args>(args)...));
}

std::string shown(const Json &value)
{
    if (!value || value.is_object() || value.is_array())
        return value.type_name();
    std::string text = value.dump();
    return text.size() > 60 ? std::string(quoted(text, 60)) + "..." : text;
}

void expect_object(const Json &value, const std::string &path)
{
    if (!value)
        bad(path, "missing");
    if (!value.is_object())
        bad(path, "expected a dictionary, found {}", shown(value));
}

std::string expect_string(const Json &value, const std::string &path)
{
    if (!value)
        bad(path, "missing");
    if (!value.is_string() || value.string_view().empty())
        bad(path, "expected a string that is not empty, found {}", shown(value));
    return std::string(value.string_view());
}

uint64_t expect_positive(const Json &value, const std::string &path)
{
    if (!value.is_integer() || json_integer_value(value.raw()) < 1 ||
        uint64_t(json_integer_value(value.raw())) > Count::max_value)
        bad(path, "expected a positive integer, found {}", shown(value));
    return uint64_t(json_integer_value(value.raw()));
}

void expect_non_negative_number(const Json &value, const std::string &path)
{
    if (!value.is_number() || json_number_value(value.raw()) < 0)
        bad(path, "expected a number of seconds >= 0, found {}", shown(value));
}

void expect_keys(const Json &object, const std::string &path, std::initializer_list<std::string_view> known)
{
    for (auto [key, unused] : object.members())
        if (std::ranges::find(known, key) == known.end())
            bad(path, "unknown key \"{}\" (known are {})", quoted(key, 60), fmt::join(known, ", "));
}

struct ResourceParser {
    std::set<std::string> labels;
    std::map<std::string, const ResourceVertex *> slots;
    size_t vertices = 0;

    std::vector<ResourceVertex> list(const Json &json, const std::string &path, size_t depth)
    {
        if (!json)
            bad(path, "missing");
        if (!json.is_array() || json.empty())
            bad(path, "expected a list of resources, found {}",
                json.is_array() ? "an empty one" : shown(json));
        if (depth > Jobspec::max_depth)
            bad(path, "resources nested deeper than {}", Jobspec::max_depth);
        std::vector<ResourceVertex> out;
        out.reserve(json.size());
        for (auto item : json.elements())
            out.push_back(vertex(item, fmt::format("{}[{}]", path, out.size()), depth));
        return out;
    }

    ResourceVertex vertex(const Json &json, const std::string &path, size_t depth)
    {
        if (++vertices > Jobspec::max_vertices)
            bad(path, "more than {} resource vertices", Jobspec::max_vertices);
        expect_object(json, path);
        expect_keys(json, path, {"type", "count", "unit", "exclusive", "with", "label", "id"});
        ResourceVertex out;
        out.type = expect_string(json["type"], path + ".type");
        if (!json.contains("count"))
            bad(path + ".count", "missing");
        auto count = Count::from_json(json["count"]);
        if (!count)
            bad(path + ".count", "{}", count.error().text());
        out.count = std::move(*count);
        if (Json unit = json["unit"])
            out.unit = expect_string(unit, path + ".unit");
        if (Json id = json["id"])
            out.id = expect_string(id, path + ".id");
        if (Json exclusive = json["exclusive"]) {
            if (!exclusive.is_boolean())
                bad(path + ".exclusive", "expected true or false, found {}", shown(exclusive));
            out.exclusive = exclusive.as<bool>();
        }
        bool is_slot = out.type == "slot" || out.type == "xor_slot";
        if (json.contains("label") || is_slot) {
            out.label = expect_string(json["label"], path + ".label");
            if (!labels.insert(out.label).second)
                bad(path + ".label", "\"{}\" is used twice", out.label);
        }
        if (json.contains("with") || is_slot)
            out.with = list(json["with"], path + ".with", depth + 1);
        return out;
    }
};

const ResourceVertex *slot_named(const std::vector<ResourceVertex> &list, std::string_view label)
{
    for (const auto &vertex : list) {
        if (vertex.label == label && (vertex.type == "slot" || vertex.type == "xor_slot"))
            return &vertex;
        if (const auto *found = slot_named(vertex.with, label))
            return found;
    }
    return nullptr;
}

bool has_type(const std::vector<ResourceVertex> &list, std::string_view type)
{
    return std::ranges::any_of(
        list, [&](const auto &vertex) { return vertex.type == type || has_type(vertex.with, type); });
}

void parse_task_count(const Json &count, const std::string &path, const ResourceVertex &slot, TaskSpec &task)
{
    expect_object(count, path);
    expect_keys(count, path, {"per_slot", "per_resource", "total"});
    if (count.size() != 1)
        bad(path, "expected exactly one of per_slot, per_resource, total, found {}", count.size());
    if (Json per_slot = count["per_slot"]) {
        task.count = expect_positive(per_slot, path + ".per_slot");
    } else if (Json total = count["total"]) {
        task.per = TaskSpec::Per::total;
        task.count = expect_positive(total, path + ".total");
    } else {
        Json per_resource = count["per_resource"];
        std::string at = path + ".per_resource";
        expect_object(per_resource, at);
        expect_keys(per_resource, at, {"type", "count"});
        task.per = TaskSpec::Per::resource;
        task.per_resource = expect_string(per_resource["type"], at + ".type");
        task.count = expect_positive(per_resource["count"], at + ".count");
        if (!has_type(slot.with, task.per_resource))
            bad(at + ".type", "slot \"{}\" holds no resource of type \"{}\"", slot.label, task.per_resource);
    }
}

TaskSpec parse_task(const Json &json, const std::string &path, const std::vector<ResourceVertex> &resources)
{
    expect_object(json, path);
    expect_keys(json, path, {"command", "slot", "count", "attributes", "distribution"});
    TaskSpec task;
    Json command = json["command"];
    if (!command)
        bad(path + ".command", "missing");
    if (command.is_string()) {
        task.command.push_back(expect_string(command, path + ".command"));
    } else {
        if (!command.is_array() || command.empty())
            bad(path + ".command", "expected a program and its arguments, found {}",
                command.is_array() ? "an empty list" : shown(command));
        for (auto word : command.elements()) {
            if (!word.is_string())
                bad(fmt::format("{}.command[{}]", path, task.command.size()), "expected a string, found {}",
                    shown(word));
            task.command.emplace_back(word.string_view());
        }
        if (task.command.front().empty())
            bad(path + ".command[0]", "the program's name is empty");
    }
    task.slot = expect_string(json["slot"], path + ".slot");
    const auto *slot = slot_named(resources, task.slot);
    if (!slot)
        bad(path + ".slot", "no slot is labelled \"{}\"", task.slot);
    parse_task_count(json["count"], path + ".count", *slot, task);
    if (Json distribution = json["distribution"])
        task.distribution = expect_string(distribution, path + ".distribution");
    task.attributes = json["attributes"];
    if (task.attributes)
        expect_object(task.attributes, path + ".attributes");
    return task;
}

void check_system(const Json &system)
{
    const std::string path = "attributes.system";
    for (auto key : {"duration", "preemptible-after"})
        if (Json value = system[key])
            expect_non_negative_number(value, path + "." + key);
    for (auto key : {"cwd", "queue", "bank", "project"})
        if (Json value = system[key])
            expect_string(value, path + "." + key);
    for (auto key : {"environment", "job", "shell", "files", "constraints"})
        if (Json value = system[key]; value && !(value.is_null() && key == std::string_view("files")))
            expect_object(value, path + "." + key);
    const char *name;
    json_t *value;
    json_object_foreach(system["environment"].raw(), name, value)
    {
        if (!json_is_string(value) && !json_is_null(value))
            bad(fmt::format("{}.environment.{}", path, quoted(std::string_view(name), 60)),
                "expected a string or null, found {}", shown(Json::borrow(value)));
    }
    if (Json options = system.at("shell", "options"))
        expect_object(options, path + ".shell.options");
    if (Json name = system.at("job", "name"))
        expect_string(name, path + ".job.name");
    if (Json constraints = system["constraints"])
        if (auto valid = validate_resource_constraint(constraints); !valid)
            bad(path + ".constraints", "{}", valid.error().text());
    if (Json dependencies = system["dependencies"]) {
        if (!dependencies.is_array())
            bad(path + ".dependencies", "expected a list, found {}", shown(dependencies));
        size_t index = 0;
        for (auto item : dependencies.elements())
            if (auto valid = validate_dependency(item); !valid)
                bad(fmt::format("{}.dependencies[{}]", path, index), "{}", valid.error().text());
            else
                index++;
    }
}

} // namespace

Expected<Jobspec> Jobspec::parse(const Json &json)
try {
    expect_object(json, "jobspec");
    expect_keys(json, "jobspec", {"version", "resources", "tasks", "attributes"});
    Jobspec out;
    out.json_ = json;
    Json version = json["version"];
    if (!version)
        bad("version", "missing");
    if (!version.is_integer() || json_integer_value(version.raw()) < 1 ||
        json_integer_value(version.raw()) > max_version)
        bad("version", "expected an integer from 1 to {}, found {}", max_version, shown(version));
    out.version_ = int(json_integer_value(version.raw()));
    out.resources_ = ResourceParser().list(json["resources"], "resources", 0);
    Json tasks = json["tasks"];
    if (!tasks)
        bad("tasks", "missing");
    if (!tasks.is_array() || tasks.empty())
        bad("tasks", "expected a list of tasks, found {}", tasks.is_array() ? "an empty one" : shown(tasks));
    if (tasks.size() > max_vertices)
        bad("tasks", "more than {} tasks", max_vertices);
    for (auto task : tasks.elements())
        out.tasks_.push_back(parse_task(task, fmt::format("tasks[{}]", out.tasks_.size()), out.resources_));
    Json attributes = json["attributes"];
    if (!attributes)
        bad("attributes", "missing");
    if (!attributes.is_null()) {
        expect_object(attributes, "attributes");
        for (auto key : {"system", "user"})
            if (Json value = attributes[key])
                expect_object(value, std::string("attributes.") + key);
        check_system(attributes["system"]);
        if (Json duration = out.system("duration"))
            out.duration_ = duration.as<double>();
    }
    return out;
} catch (const Error &error) {
    return std::unexpected(error);
}

Json ResourceVertex::to_json() const
{
    Json out {{"type", type}, {"count", count.to_json()}};
    if (!unit.empty())
        out.set("unit", unit);
    if (!label.empty())
        out.set("label", label);
    if (!id.empty())
        out.set("id", id);
    if (exclusive)
        out.set("exclusive", Json(*exclusive));
    if (!with.empty()) {
        Json list = Json::array();
        for (const auto &child : with)
            list.append(child.to_json());
        out.set("with", std::move(list));
    }
    return out;
}

Json TaskSpec::to_json() const
{
    Json counts;
    if (per == Per::slot)
        counts = Json {{"per_slot", count}};
    else if (per == Per::total)
        counts = Json {{"total", count}};
    else
        counts = Json {{"per_resource", Json {{"type", per_resource}, {"count", count}}}};
    Json out {
        {"command", Json::array_of(command)}, {"slot", slot}, {"count", counts}, {"attributes", attributes}};
    if (!distribution.empty())
        out.set("distribution", distribution);
    return out;
}

Expected<void> validate_dependency(const Json &dependency)
{
    if (!dependency.is_object())
        return fail(EINVAL, "dependency: expected a dictionary, found {}", dependency.type_name());
    for (auto key : {"scheme", "value"}) {
        Json value = dependency[key];
        if (!value.is_string() || (key == std::string_view("scheme") && value.string_view().empty()))
            return fail(EINVAL, "dependency: expected {} to be a string, found {}", key, shown(value));
    }
    return {};
}

Expected<Json> parse_dependency_uri(std::string_view uri)
try {
    size_t colon = uri.find(':');
    if (colon == 0 || colon == std::string_view::npos)
        return fail(EINVAL, "dependency \"{}\": expected SCHEME:VALUE[?KEY=VALUE...]", quoted(uri, 80));
    Json out {{"scheme", uri.substr(0, colon)}};
    std::string_view rest = uri.substr(colon + 1);
    size_t question = rest.find('?');
    out.set("value", Json(rest.substr(0, question)));
    rest = question == std::string_view::npos ? std::string_view() : rest.substr(question + 1);
    while (!rest.empty()) {
        std::string_view option = rest.substr(0, rest.find_first_of("&;"));
        rest.remove_prefix(std::min(option.size() + 1, rest.size()));
        size_t equals = option.find('=');
        if (equals == 0 || equals == std::string_view::npos)
            return fail(EINVAL, "dependency \"{}\": expected KEY=VALUE after the ?", quoted(uri, 80));
        if (out.contains(option.substr(0, equals)))
            return fail(EINVAL, "dependency \"{}\": {} is given twice", quoted(uri, 80),
                        option.substr(0, equals));
        out.set(option.substr(0, equals), Json(option.substr(equals + 1)));
    }
    return out;
} catch (const Error &error) {
    return std::unexpected(error);
}

} // namespace flux
