#include "modules/resource/inventory.hpp"

#include <charconv>
#include <filesystem>
#include <fstream>
#include <unordered_map>

#include "common/types/duration.hpp"
#include "modules/resource/eventlog.hpp"

namespace flux {

namespace {

constexpr uint32_t max_fake_nodes = 1 << 20;
constexpr uint32_t default_fake_cores = 64;

std::string read_file(const std::string &path, std::string_view what)
{
    std::ifstream in(path, std::ios::binary);
    if (!in)
        throw Error(errno ? errno : ENOENT, "cannot read {} {}: {}", what, path,
                    errno_text(errno ? errno : ENOENT));
    return {std::istreambuf_iterator<char>(in), {}};
}

Idset ids_of(const Json &entry, const char *key, const Idset &otherwise)
{
    Json value = entry[key];
    if (!value)
        return otherwise;
    auto ids = value.is_string() ? Idset::parse(value.string_view()) : fail(EINVAL, "a string was expected");
    if (!ids)
        throw Error(EINVAL, "resource.config: {} = {}: {}", key, value.dump(), ids.error().text());
    return *ids;
}

// [[resource.config]]: each entry updates the hosts that it names.
ResourceSet from_entries(const Json &entries)
{
    struct Host {
        uint32_t rank;
        Idset cores, gpus;
    };
    if (!entries.is_array())
        throw Error(EINVAL, "resource.config is no array: write [[resource.config]]");
    std::vector<std::string> order;
    std::map<std::string, Host> hosts;
    std::map<std::string, Idset> properties;
    for (auto entry : entries.elements()) {
        for (auto [key, value] : entry.members())
            if (key != "hosts" && key != "cores" && key != "gpus" && key != "properties")
                throw Error(
                    EINVAL,
                    "resource.config: unknown key \"{}\": hosts, cores, gpus and properties are known", key);
        if (!entry["hosts"].is_string())
            throw Error(EINVAL, "resource.config: each entry needs hosts, a string");
        auto list = Hostlist::parse(entry["hosts"].string_view());
        if (!list)
            throw Error(EINVAL, "resource.config: hosts = {}: {}", entry["hosts"].dump(),
                        list.error().text());
        for (auto name : *list) {
            auto [at, fresh] = hosts.try_emplace(name, Host {uint32_t(order.size()), {}, {}});
            if (fresh)
                order.push_back(name);
            at->second.cores = ids_of(entry, "cores", at->second.cores);
            at->second.gpus = ids_of(entry, "gpus", at->second.gpus);
            for (auto property : entry["properties"].elements())
                properties[std::string(property.string_view())].add(at->second.rank);
        }
    }
    ResourceSet out;
    for (const auto &name : order) {
        const auto &host = hosts.at(name);
        if (host.cores.empty() && host.gpus.empty())
            throw Error(EINVAL, "resource.config: host {} has neither cores nor gpus", name);
        out.add_node(host.rank, name, host.cores, host.gpus);
    }
    for (const auto &[name, ranks] : properties)
        if (auto added = out.add_property(name, ranks); !added)
            throw Error(EINVAL, "resource.config: properties: {}", added.error().text());
    if (out.empty())
        throw Error(EINVAL, "resource.config names no hosts");
    return out;
}

// Ranks are places in the list of brokers. Where a host is not in it, they stay what they were: verification
// tells.
ResourceSet reranked(ResourceSet set, const Hostlist &hosts)
{
    ResourceSet moved = set;
    if (moved.rerank(hosts) && moved.nnodes() == set.nnodes())
        return moved;
    return set;
}

Inventory fake_inventory(const Json &fake)
{
    for (auto [key, value] : fake.members()) {
        constexpr std::string_view known[] = {"nnodes", "cores-per-node", "gpus-per-node", "host-prefix",
                                              "hwloc-xml-path", "R"};
        if (key == "amend-r")
            throw Error(ENOTSUP, "fake-resources.amend-r calls Python: use resource.scheduling to amend R");
        if (std::find(std::begin(known), std::end(known), key) == std::end(known))
            throw Error(EINVAL, "fake-resources: unknown key \"{}\"", key);
    }
    if (Json given = fake["R"]) { // any machine, and not so many equal nodes
        auto R = ResourceSet::from_json(given);
        if (!R)
            throw Error(EINVAL, "fake-resources.R: {}", R.error().text());
        return {std::move(*R), "kvs", true};
    }
    auto nnodes = fake.get<uint32_t>("nnodes");
    if (nnodes == 0 || nnodes > max_fake_nodes)
        throw Error(EINVAL, "fake-resources.nnodes is {}, expected 1 to {}", nnodes, max_fake_nodes);
    NodeInventory node {fake.value<uint32_t>("cores-per-node", default_fake_cores),
                        fake.value<uint32_t>("gpus-per-node", 0)};
    if (auto xml = fake.find<std::string>("hwloc-xml-path"))
        node = read_topology_xml(*xml);
    auto prefix = fake.value<std::string>("host-prefix", "fake");
    Inventory out {{}, "kvs", true};
    Idset cores = Idset::iota(node.cores), gpus = Idset::iota(node.gpus);
    for (uint32_t rank = 0; rank < nnodes; rank++)
        out.R.add_node(rank, prefix + std::to_string(rank), cores, gpus);
    return out;
}

Verification::Mode parse_mode(std::string_view key, const Json &value)
{
    using Mode = Verification::Mode;
    constexpr std::pair<std::string_view, Mode> modes[] = {{"strict", Mode::strict},
                                                           {"allow-extra", Mode::allow_extra},
                                                           {"allow-missing", Mode::allow_missing},
                                                           {"ignore", Mode::ignore}};
    for (auto [name, mode] : modes)
        if (value.string_view() == name)
            return mode;
    throw Error(EINVAL,
                "resource.verify.{} is {}: strict, allow-extra, allow-missing or ignore were expected", key,
                value.dump());
}

// "missing core[2-3]" and the like, empty when the mode takes no offence.
void compare(std::string &out, std::string_view name, const Idset &wanted, const Idset &found,
             Verification::Mode mode)
{
    using Mode = Verification::Mode;
    auto tell = [&](std::string_view what, const Idset &ids) {
        if (!ids.empty())
            out += fmt::format("{}{} {}{}", out.empty() ? "" : ", ", what, name,
                               ids.format(Idset::Brackets::unless_single));
    };
    if (mode == Mode::strict || mode == Mode::allow_extra)
        tell("missing", wanted - found);
    if (mode == Mode::strict || mode == Mode::allow_missing)
        tell("extra", found - wanted);
}

} // namespace

ResourceSet read_R(const std::string &path, const Hostlist &hosts)
{
    auto R = ResourceSet::parse(std::string_view(read_file(path, "the resource set")));
    if (!R)
        throw Error(EINVAL, "{} is no R (RFC 20): {}", path, R.error().text());
    return reranked(std::move(*R), hosts);
}

ResourceSet read_topologies(const std::string &directory, const Hostlist &hosts)
{
    std::error_code failed;
    std::map<uint32_t, std::string> files;
    for (const auto &entry : std::filesystem::directory_iterator(directory, failed)) {
        auto name = entry.path().stem().string();
        uint32_t rank = 0;
        auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), rank);
        if (entry.path().extension() == ".xml" && error == std::errc() && end == name.data() + name.size())
            files[rank] = entry.path().string();
    }
    if (failed)
        throw Error(failed.value(), "cannot read the directory {}: {}", directory, failed.message());
    if (files.empty())
        throw Error(ENOENT, "{} holds no topology RANK.xml, such as 0.xml", directory);
    ResourceSet out;
    for (const auto &[rank, path] : files) {
        auto found = read_topology_xml(path);
        auto host = rank < hosts.size() ? hosts.nth(rank) : fmt::format("node{}", rank);
        out.add_node(rank, host, Idset::iota(found.cores), Idset::iota(found.gpus));
    }
    return out;
}

std::optional<Inventory> given_inventory(const InventorySources &sources)
{
    Json resource = sources.config["resource"];
    std::optional<Inventory> out;
    if (Json fake = sources.config["fake-resources"])
        out = fake_inventory(fake);
    else if (Json entries = resource["config"])
        out = {reranked(from_entries(entries), sources.hosts), "configuration", false};
    else if (auto path = resource ? resource.find<std::string>("path") : std::nullopt)
        out = {read_R(*path, sources.hosts), "configuration", false};
    else if (sources.job && !(resource && resource.value<bool>("rediscover", false)))
        out = {value_or_throw(ResourceSet::parse(std::string_view(*sources.job))), "job-info", false};
    if (out)
        if (auto path = resource ? resource.find<std::string>("scheduling") : std::nullopt) {
            auto amended = Json::parse(read_file(*path, "resource.scheduling"));
            if (!amended)
                throw Error(EINVAL, "resource.scheduling: {}: {}", *path, amended.error().text());
            out->R.set_scheduling(*amended);
        }
    return out;
}

Idset parse_targets(std::string_view text, const ResourceSet &all)
{
    Idset ranks = all.ranks();
    if (auto ids = Idset::parse(text)) {
        if (!ranks.contains(*ids))
            throw Error(EINVAL, "{}: this instance has no rank {}", text, (*ids - ranks).format());
        return *ids;
    }
    auto hosts = Hostlist::parse(text);
    if (!hosts)
        throw Error(EINVAL, "{} is neither a set of ranks nor a list of hosts: {}", text,
                    hosts.error().text());
    HostIndex known(all.nodelist());
    for (auto host : *hosts)
        if (!known.contains(host))
            throw Error(EINVAL, "{}: this instance has no host {}", text, host);
    return all.ranks_of(*hosts);
}

ResourceSet::Properties queue_memberships(const Json &config, const ResourceSet &all)
{
    ResourceSet::Properties out;
    std::unordered_map<std::string, Idset> ranks; // of each host
    for (auto [name, table] : config["queues"].members()) {
        Json hosts = table["hosts"];
        if (!hosts)
            continue;
        auto refuse = [&](const std::string &why) {
            return Error(EINVAL, "queues.{}.hosts = {}: {}", name, hosts.dump(), why);
        };
        auto list = hosts.is_string() ? Hostlist::parse(hosts.string_view())
                                      : fail(EINVAL, "a string of hosts, or \"all\", was expected");
        if (!list)
            throw refuse(list.error().text());
        if (ranks.empty())
            for (const auto &node : all.nodes())
                ranks[node.hostname()].add(node.rank);
        Idset members;
        if (hosts.string_view() == "all")
            members = all.ranks();
        else
            for (auto host : *list) {
                auto found = ranks.find(host);
                if (found == ranks.end())
                    throw refuse(fmt::format("this instance has no host {}", host));
                members |= found->second;
            }
        if (members.empty())
            throw refuse("a queue needs at least one host");
        auto property = fmt::format("+{}", name);
        if (auto valid = ResourceSet().add_property(property, {}); !valid)
            throw refuse(valid.error().text());
        out[property] = members;
    }
    return out;
}

std::optional<ResourceSet::Properties> configured_properties(const InventorySources &sources,
                                                             const Inventory &before)
{
    Json resource = sources.config["resource"];
    if (before.method != "configuration" || !resource["config"] || sources.config["fake-resources"])
        return std::nullopt;
    auto now = reranked(from_entries(resource["config"]), sources.hosts);
    now = now.subset(before.R.ranks()); // those beyond the instance's brokers were left out
    if (!now.same_resources(before.R) || now.nodelist() != before.R.nodelist())
        return std::nullopt;
    return now.properties();
}

size_t journal_max(const Json &config)
{
    Json value = config["resource"]["journal-max"];
    if (!value)
        return default_journal_max;
    if (!value.is_integer() || value.as<int64_t>() < 1)
        throw Error(EINVAL, "resource.journal-max is {}: a number of events, at least 1, was expected", value.dump());
    return size_t(value.as<int64_t>());
}

double history_age(const Json &config)
{
    Json value = config["resource"]["history"];
    auto age = parse_duration(!value ? default_history : value.string_view());
    if (!age)
        throw Error(EINVAL, "resource.history is {}: {}", value.dump(), age.error().text());
    return *age;
}

Idset excluded_ranks(const Json &config, const ResourceSet &all)
{
    Json exclude = config["resource"]["exclude"];
    if (!exclude)
        return {};
    if (!exclude.is_string())
        throw Error(EINVAL, "resource.exclude is {}: a string of ranks or hosts was expected",
                    exclude.dump());
    if (exclude.string_view().empty())
        return {};
    try {
        return parse_targets(exclude.string_view(), all);
    } catch (const Error &error) {
        throw Error(EINVAL, "resource.exclude: {}", error.text());
    }
}

Verification::Verification(const Json &config, bool in_job)
    : hostname_(Mode::strict), core_(Mode::allow_extra), gpu_(Mode::ignore)
{
    Json verify = config["resource"]["verify"];
    auto all = [this](Mode mode) {
        hostname_ = core_ = gpu_ = mode;
    };
    if (verify.is_boolean()) {
        all(verify == Json(true) ? Mode::strict : Mode::ignore);
    } else if (verify.is_object()) {
        Json otherwise = verify["default"];
        all(otherwise ? parse_mode("default", otherwise) : Mode::strict);
        for (auto [key, value] : verify.members()) {
            if (key == "hostname")
                hostname_ = parse_mode(key, value);
            else if (key == "core")
                core_ = parse_mode(key, value);
            else if (key == "gpu")
                gpu_ = parse_mode(key, value);
            else if (key != "default")
                throw Error(EINVAL,
                            "resource.verify: unknown key \"{}\": default, hostname, core and gpu are known",
                            key);
        }
    } else if (verify) {
        throw Error(EINVAL, "resource.verify is {}: a boolean or a table was expected", verify.dump());
    } else if (in_job) {
        all(Mode::ignore);
    }
    if (config["resource"]["noverify"] == Json(true))
        all(Mode::ignore);
}

std::string Verification::mismatch(const ResourceSet &R, uint32_t rank, const std::string &host,
                                   const NodeInventory &found) const
{
    auto node = R.find(rank);
    if (!node)
        return {};
    std::string out;
    if (hostname_ != Mode::ignore && node->hostname() != host)
        out = fmt::format("the host is {}, not {}", host, node->hostname());
    compare(out, "core", node->cores(), Idset::iota(found.cores), core_);
    compare(out, "gpu", node->gpus(), Idset::iota(found.gpus), gpu_);
    return out;
}

} // namespace flux
