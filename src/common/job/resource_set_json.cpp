// ResourceSet to and from R (RFC 20 version 1), and its one-line summary.
#include <algorithm>
#include <cmath>
#include <map>
#include <unordered_map>

#include "common/base/quote.hpp"

#include "common/job/resource_set.hpp"

namespace flux {

namespace {

struct Group {
    Idset ranks;
    const ResourceSet::NodeShape *shape;
};

// Ranks by equal resources, in the order of each group's first rank.
std::vector<Group> group_by_shape(std::span<const ResourceSet::Run> runs)
{
    std::vector<Group> out;
    std::unordered_map<const ResourceSet::NodeShape *, size_t>
        by_pointer; // most equal shapes are the same object
    std::map<std::pair<Idset, Idset>, size_t> by_value;
    for (const auto &run : runs) {
        auto [known, is_new] = by_pointer.try_emplace(run.shape.get(), 0);
        if (is_new) {
            auto [group, first] = by_value.try_emplace({run.shape->cores, run.shape->gpus}, out.size());
            if (first)
                out.push_back({{}, run.shape.get()});
            known->second = group->second;
        }
        out[known->second].ranks.add(run.first, run.end() - 1);
    }
    return out;
}

Idset read_idset(const Json &value, const std::string &path)
{
    if (!value.is_string())
        throw Error(EINVAL, "R: {}: expected an idset string, found {}", path, value.type_name());
    auto ids = Idset::parse(value.string_view());
    if (!ids)
        throw Error(EINVAL, "R: {}: {}", path, ids.error().text());
    return std::move(*ids);
}

double read_time(const Json &execution, const char *key)
{
    Json value = execution[key];
    if (!value)
        return 0;
    double seconds = json_number_value(value.raw());
    if (!value.is_number() || !(seconds >= 0) || std::isinf(seconds))
        throw Error(EINVAL, "R: execution.{}: expected seconds since the epoch, found {}", key,
                    value.is_number() ? value.dump() : value.type_name());
    return seconds;
}

struct Entry {
    Idset ranks;
    ResourceSet::Shape shape;
};

std::vector<Entry> read_entries(const Json &execution)
{
    Json list = execution["R_lite"];
    if (!list.is_array())
        throw Error(EINVAL, "R: execution.R_lite: expected an array, found {}", list.type_name());
    std::vector<Entry> out;
    size_t total = 0;
    for (auto item : list.elements()) {
        std::string path = fmt::format("execution.R_lite[{}]", out.size());
        Json children = item["children"];
        if (!children.is_object())
            throw Error(EINVAL, "R: {}.children: expected an object, found {}", path, children.type_name());
        Entry entry {read_idset(item["rank"], path + ".rank"), nullptr};
        ResourceSet::NodeShape shape;
        if (Json core = children["core"])
            shape.cores = read_idset(core, path + ".children.core");
        if (Json gpu = children["gpu"])
            shape.gpus = read_idset(gpu, path + ".children.gpu");
        total += entry.ranks.count();
        if (total > ResourceSet::max_ranks)
            throw Error(E2BIG, "R: more than {} ranks", ResourceSet::max_ranks);
        entry.shape = std::make_shared<const ResourceSet::NodeShape>(std::move(shape));
        out.push_back(std::move(entry));
    }
    return out;
}

Hostlist read_nodelist(const Json &execution)
{
    Json list = execution["nodelist"];
    if (!list.is_array())
        throw Error(EINVAL, "R: execution.nodelist: expected an array of hostlists, found {}",
                    list.type_name());
    Hostlist out;
    for (auto item : list.elements()) {
        if (!item.is_string())
            throw Error(EINVAL, "R: execution.nodelist: expected a hostlist string, found {}",
                        item.type_name());
        if (auto done = out.append(item.string_view()); !done)
            throw Error(done.error().errnum(), "R: execution.nodelist: {}", done.error().text());
    }
    return out;
}

} // namespace

// Runs in any order, which may overlap. O(n log n).
ResourceSet ResourceSet::unite_all(std::span<const Run> runs)
{
    ResourceSet out;
    if (runs.size() > 1) {
        out = unite_all(runs.first(runs.size() / 2));
        out.unite(unite_all(runs.subspan(runs.size() / 2)));
    } else if (!runs.empty()) {
        append(out.runs_, runs.front());
    }
    return out;
}

void ResourceSet::read_execution(const Json &execution)
{
    Idset all;
    std::vector<Entry> entries = read_entries(execution);
    for (const auto &entry : entries)
        all |= entry.ranks;
    Hostlist hosts = read_nodelist(execution);
    if (hosts.size() != all.count())
        throw Error(EINVAL, "R: execution.nodelist names {} hosts for {} ranks", hosts.size(), all.count());
    auto names = std::make_shared<const Hostlist>(std::move(hosts));
    std::vector<uint32_t> before; // how many hosts stand before those of each run of `all`
    for (uint32_t count = 0; const auto &ranks : all.runs()) {
        before.push_back(count);
        count += ranks.last - ranks.first + 1;
    }
    std::vector<Run> runs;
    for (const auto &entry : entries)
        for (const auto &ranks : entry.ranks.runs()) {
            auto in = std::ranges::upper_bound(all.runs(), ranks.first, {}, &Idset::Run::first) - 1;
            uint32_t host = before[size_t(in - all.runs().begin())] + (ranks.first - in->first);
            if (!entry.shape->empty())
                runs.push_back({ranks.first, ranks.last - ranks.first + 1, entry.shape, names, host, 0});
        }
    runs_ = unite_all(runs).runs_;
    starttime_ = read_time(execution, "starttime");
    expiration_ = read_time(execution, "expiration");
    if (starttime_ > 0 && expiration_ > 0 && expiration_ <= starttime_)
        throw Error(EINVAL, "R: execution.expiration {} is not after starttime {}", expiration_, starttime_);
    if (Json nslots = execution["nslots"]) {
        if (!nslots.is_integer() || json_integer_value(nslots.raw()) < 1)
            throw Error(EINVAL, "R: execution.nslots: expected a positive integer, found {}",
                        nslots.type_name());
        nslots_ = uint64_t(json_integer_value(nslots.raw()));
    }
    if (Json properties = execution["properties"]) {
        for (const auto &[name, ranks] : value_or_throw(parse_properties(properties)))
            if (auto done = add_property(name, ranks); !done)
                throw Error(EINVAL, "R: {}", done.error().text());
    }
}

Expected<ResourceSet::Properties> ResourceSet::parse_properties(const Json &json)
try {
    if (!json.is_object())
        return fail(EINVAL, "R: execution.properties: expected an object, found {}", json.type_name());
    Properties out;
    for (auto [name, ranks] : json.members())
        out[std::string(name)] = read_idset(ranks, fmt::format("execution.properties.{}", quoted(name, 60)));
    return out;
} catch (const Error &error) {
    return std::unexpected(error);
}

Json ResourceSet::properties_json(const Properties &properties)
{
    Json out = Json::object();
    for (const auto &[name, ranks] : properties)
        out.set(name, Json(ranks.format()));
    return out;
}

Expected<ResourceSet> ResourceSet::from_json(const Json &json)
try {
    if (!json.is_object())
        return fail(EINVAL, "R: expected an object, found {}", json.type_name());
    Json version = json["version"];
    if (!version.is_integer() || json_integer_value(version.raw()) != 1)
        return fail(EINVAL, "R: version: expected 1, found {}",
                    version ? quoted(version.dump(), 40) : "none");
    Json execution = json["execution"];
    if (!execution.is_object())
        return fail(EINVAL, "R: execution: expected an object, found {}", execution.type_name());
    ResourceSet out;
    out.read_execution(execution);
    out.scheduling_ = json["scheduling"];
    if (out.scheduling_ && !out.scheduling_.is_object() && !out.scheduling_.is_null())
        return fail(EINVAL, "R: scheduling: expected an object, found {}", out.scheduling_.type_name());
    if (out.scheduling_.is_null())
        out.scheduling_ = Json();
    return out;
} catch (const Error &error) {
    return std::unexpected(error);
}

Expected<ResourceSet> ResourceSet::parse(std::string_view text)
{
    auto json = Json::parse(text);
    if (!json)
        return fail(EINVAL, "R: {}", json.error().text());
    return from_json(*json);
}

Json ResourceSet::to_json() const
{
    Json lite = Json::array();
    for (const auto &group : group_by_shape(runs_)) {
        Json children {{"core", group.shape->cores.format()}};
        if (!group.shape->gpus.empty())
            children.set("gpu", group.shape->gpus.format());
        lite.append(Json {{"rank", group.ranks.format()}, {"children", children}});
    }
    Json execution {{"R_lite", lite}, {"starttime", starttime_}, {"expiration", expiration_}};
    execution.set("nodelist", Json::array().append(Json(nodelist().encode())));
    if (nslots_ > 0)
        execution.set("nslots", Json(nslots_));
    if (!properties_.empty())
        execution.set("properties", properties_json(properties_));
    return Json {{"version", 1}, {"execution", execution}, {"scheduling", scheduling_}};
}

std::string ResourceSet::summary() const
{
    std::string out;
    for (const auto &group : group_by_shape(runs_)) {
        constexpr auto brackets = Idset::Brackets::unless_single;
        if (!out.empty())
            out += ' ';
        out += fmt::format("rank{}/", group.ranks.format(brackets));
        if (!group.shape->cores.empty())
            out += fmt::format("core{}", group.shape->cores.format(brackets));
        if (!group.shape->gpus.empty())
            out += fmt::format("{}gpu{}", group.shape->cores.empty() ? "" : ",",
                               group.shape->gpus.format(brackets));
    }
    return out;
}

} // namespace flux
