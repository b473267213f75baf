// Boot by PMI-1: every broker puts its host, key and endpoint under "flux.RANK"; after one barrier a broker reads its
// parent's and its children's, and rank 0 reads all hosts. The others hear of those from their parent when they join.
#include "broker/boot/boot.hpp"

#include "broker/tbon_setting.hpp"
#include "common/pmi/pmi_client.hpp"
#include "common/types/hostlist.hpp"
#include "common/types/taskmap.hpp"

namespace flux {

namespace {

struct Card { // what a broker tells the others of itself
    std::string host;
    LinkAddress address;

    std::string encode() const
    {
        return Json {{"host", host}, {"key", address.public_key}, {"uri", address.uri}}.dump();
    }
    static Card of(PmiClient &pmi, uint32_t rank)
    {
        auto json = Json::parse_or_throw(pmi.get(fmt::format("flux.{}", rank)));
        return {json.get<std::string>("host"), {json.get<std::string>("uri"), json.get<std::string>("key")}};
    }
};

Taskmap process_mapping(PmiClient &pmi)
{
    try {
        auto text = pmi.get("PMI_process_mapping");
        auto map = text.empty() ? Expected<Taskmap>(Taskmap()) : Taskmap::parse(text);
        return map && map->ntasks() == pmi.size() ? *map : Taskmap();
    } catch (const Error &) {
        return {}; // the launcher does not say
    }
}

std::string endpoint_to_bind(const BootInput &input, bool one_node, uint32_t rank)
{
    auto prefer_tcp = input.attributes.get("tbon.prefertcp").value_or("0") != "0";
    if (one_node && !prefer_tcp)
        return fmt::format("ipc://{}/tbon-{}", input.rundir, rank);
    auto hint = tbon_setting(input.attributes, input.config, "interface-hint").value_or("default-route");
    input.attributes.set("tbon.interface-hint", hint);
    return fmt::format("tcp://{}:*", choose_address(hint));
}

} // namespace

Boot boot_pmi(const BootInput &input)
{
    auto pmi = PmiClient::from_environment();
    if (!pmi)
        throw Error(ENOENT, "broker.boot-method is simple, but PMI_FD is not set: is this started by a launcher?");
    auto &attributes = input.attributes;
    auto rank = pmi->rank(), size = pmi->size();
    auto topo = attributes.get_or_set("tbon.topo", tbon_setting(input.attributes, input.config, "topo").value_or("kary:32"));
    Boot result;
    result.topology = value_or_throw(Topology::parse(topo, rank, size));
    auto mapping = process_mapping(*pmi);
    if (!mapping.unknown())
        attributes.set("broker.mapping", mapping.encode(), Attributes::immutable);
    Hostlist hosts;
    if (size == 1) {
        hosts.append_name(input.hostname);
    } else {
        auto keys = make_curve_keys();
        auto links = std::make_unique<ZmqLinks>(input.loop, links_setup(input, keys));
        Card card {input.hostname, {"", keys.public_key}};
        if (!result.topology.children().empty()) {
            card.address.uri = links->bind(endpoint_to_bind(input, mapping.nnodes() == 1, rank));
            attributes.set("tbon.endpoint", card.address.uri, Attributes::immutable);
        }
        pmi->put(fmt::format("flux.{}", rank), card.encode());
        pmi->barrier();
        for (uint32_t child : result.topology.children())
            links->allow(Card::of(*pmi, child).address.public_key);
        if (auto parent = result.topology.parent()) {
            auto address = Card::of(*pmi, *parent).address;
            attributes.set("tbon.parent-endpoint", address.uri, Attributes::immutable);
            links->connect(address);
        } else {
            for (uint32_t other = 0; other < size; other++)
                hosts.append_name(Card::of(*pmi, other).host);
        }
        result.links = std::move(links);
    }
    if (rank == 0)
        attributes.set("hostlist", hosts.encode(), Attributes::immutable);
    pmi->finalize();
    return result;
}

} // namespace flux
