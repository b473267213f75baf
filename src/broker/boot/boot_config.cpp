// Boot by configuration: the [bootstrap] table lists every host in rank order (flux-config-bootstrap(5)). The tree is
// "custom": all under rank 0 unless hosts name their parents, or what tbon.topo says.
#include "broker/boot/boot.hpp"

#include "broker/tbon_setting.hpp"
#include "common/types/hostlist.hpp"

namespace flux {

namespace {

struct HostEntry {
    std::string host;
    std::string bind, connect, parent; // as configured, or empty
};

std::string text_of(const Json &table, const char *key, const std::string &fallback = "")
{
    auto value = table[key];
    if (!value)
        return fallback;
    if (!value.is_string())
        throw Error(EINVAL, "[bootstrap] {}: a string was expected, not {}", key, value.dump());
    return value.as<std::string>();
}

// A host that is named again gets what the later entry adds.
std::vector<HostEntry> read_hosts(const Json &table)
{
    std::vector<HostEntry> entries;
    std::map<std::string, size_t> index;
    auto hosts = table["hosts"];
    if (hosts && !hosts.is_array())
        throw Error(EINVAL, "[bootstrap] hosts: an array of tables was expected");
    for (auto entry : hosts.elements()) {
        for (auto [key, unused] : entry.members())
            if (key != "host" && key != "bind" && key != "connect" && key != "parent")
                throw Error(EINVAL, "[bootstrap] hosts: unknown key \"{}\": use host, bind, connect and parent", key);
        auto names = Hostlist::parse(text_of(entry, "host"));
        if (!names || names->size() == 0)
            throw Error(EINVAL, "[bootstrap] hosts: \"{}\" names no host: {}", text_of(entry, "host"),
                        names ? "it is empty" : names.error().text());
        for (size_t i = 0; i < names->size(); i++) {
            auto host = names->nth(i);
            auto [at, fresh] = index.try_emplace(host, entries.size());
            if (fresh)
                entries.push_back({host, "", "", ""});
            auto &known = entries[at->second];
            known.bind = text_of(entry, "bind", known.bind);
            known.connect = text_of(entry, "connect", known.connect);
            known.parent = text_of(entry, "parent", known.parent);
        }
    }
    return entries;
}

std::string fill_in(std::string uri, const std::string &host, const Json &port)
{
    auto replace = [&](std::string_view token, const std::string &value) {
        for (size_t at = 0; (at = uri.find(token, at)) != uri.npos; at += value.size())
            uri.replace(at, token.size(), value);
    };
    if (uri.contains("%p") && !port.is_integer())
        throw Error(EINVAL, "[bootstrap]: \"{}\" needs default_port, which is not set", uri);
    replace("%h", host);
    replace("%p", port.is_integer() ? std::to_string(port.as<int64_t>()) : "");
    return uri;
}

Topology make_topology(const BootInput &input, const std::vector<HostEntry> &hosts, uint32_t rank)
{
    auto size = uint32_t(hosts.size());
    auto topo = tbon_setting(input.attributes, input.config, "topo").value_or("custom");
    input.attributes.set("tbon.topo", topo);
    if (topo != "custom")
        return value_or_throw(Topology::parse(topo, rank, size));
    std::map<std::string_view, uint32_t> ranks;
    for (uint32_t i = 0; i < size; i++)
        ranks[hosts[i].host] = i;
    std::vector<uint32_t> parents;
    for (uint32_t i = 1; i < size; i++) {
        auto found = hosts[i].parent.empty() ? ranks.find(hosts[0].host) : ranks.find(hosts[i].parent);
        if (found == ranks.end())
            throw Error(EINVAL, "[bootstrap] hosts: {} has the parent \"{}\", which is no host of this list",
                        hosts[i].host, hosts[i].parent);
        parents.push_back(found->second);
    }
    return value_or_throw(Topology::from_parents(rank, std::move(parents)));
}

// A host's endpoint for one side of a link: its own key, or the default.
std::string endpoint(const Json &table, const HostEntry &host, const std::string &own, const char *fallback)
{
    auto uri = own.empty() ? text_of(table, fallback) : own;
    if (uri.empty())
        throw Error(EINVAL, "[bootstrap]: {} has children, but neither its entry in hosts nor {} gives an endpoint",
                    host.host, fallback);
    return fill_in(uri, host.host, table["default_port"]);
}

} // namespace

Boot boot_config(const BootInput &input)
{
    auto table = input.config["bootstrap"];
    if (!table || !table.is_object())
        throw Error(EINVAL, "broker.boot-method is config, but the configuration has no [bootstrap] table");
    static constexpr std::string_view known[] = {"enable_ipv6",  "curve_cert",      "default_port",
                                                 "default_bind", "default_connect", "hosts"};
    for (auto [key, unused] : table.members())
        if (std::ranges::find(known, key) == std::end(known))
            throw Error(EINVAL, "[bootstrap]: unknown key \"{}\": use {}", key, fmt::join(known, ", "));
    auto hosts = read_hosts(table);
    if (hosts.empty())
        return boot_single(input);
    auto self = std::ranges::find(hosts, input.hostname, &HostEntry::host);
    if (self == hosts.end())
        throw Error(ENOENT, "[bootstrap] hosts does not list this host, {}", input.hostname);
    auto rank = uint32_t(self - hosts.begin());

    Boot result;
    result.topology = make_topology(input, hosts, rank);
    Hostlist names;
    for (auto &host : hosts)
        names.append_name(host.host);
    auto &attributes = input.attributes;
    attributes.set("hostlist", names.encode(), Attributes::immutable);
    attributes.set("broker.mapping", fmt::format("[[0,{},1,1]]", hosts.size()), Attributes::immutable);
    if (hosts.size() == 1)
        return result;
    auto certificate = text_of(table, "curve_cert");
    if (certificate.empty())
        throw Error(EINVAL, "[bootstrap]: curve_cert is required for more than one broker: flux keygen makes one");
    auto keys = load_curve_certificate(certificate);
    auto links = std::make_unique<ZmqLinks>(input.loop, links_setup(input, keys));
    if (!result.topology.children().empty()) {
        attributes.set("tbon.endpoint", links->bind(endpoint(table, *self, self->bind, "default_bind")),
                       Attributes::immutable);
        links->allow(keys.public_key);
    }
    if (auto parent = result.topology.parent()) {
        auto &host = hosts[*parent];
        LinkAddress address {endpoint(table, host, host.connect, "default_connect"), keys.public_key};
        attributes.set("tbon.parent-endpoint", address.uri, Attributes::immutable);
        links->connect(address);
    }
    result.links = std::move(links);
    return result;
}

} // namespace flux
