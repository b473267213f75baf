#include "modules/resource/resource.hpp"

#include <unistd.h>

#include "common/kvs/lookup.hpp"

namespace flux {

Resource::Resource(Context &context)
    : Module(context), loaded_with_(context.config()), verification_(context.config(), context.attribute("resource.R").has_value()),
      restrict_(context.config()["resource"]["norestrict"] != Json(true)), changed_(loop()),
      journal_(journal_max(context.config())),
      journal_grew_(loop()), saved_some_(loop())
{
    serve("topo-reduce", role::owner, &Resource::topo_reduce);
    serve("topo-get", role::any, &Resource::topo_get);
    if (rank() != 0)
        return;
    serve("acquire", role::owner, &Resource::acquire);
    serve("acquire-mute", role::owner, &Resource::mute);
    serve("drain", role::owner, &Resource::drain);
    serve("undrain", role::owner, &Resource::undrain);
    serve("reload", role::owner, &Resource::reload);
    serve("get", role::owner, &Resource::get);
    serve("expiration-update", role::owner, &Resource::expiration_update);
    serve("status", role::any, &Resource::status);
    serve("sched-status", role::any, &Resource::sched_status);
    serve("journal", role::owner, &Resource::journal);
    serve("monitor-waitup", role::owner, &Resource::wait_up);
    serve("monitor-force-down", role::owner, &Resource::force_down);
    handle().on_cancel([this](const RouteId &sender, uint32_t matchtag) { forget(sender, matchtag); });
    handle().on_disconnect([this](const RouteId &sender) { forget(sender); });
}

Task<> Resource::start()
{
    bool fake = context().config().contains("fake-resources");
    bool given = fake || context().config().at("resource", "config") ||
                 context().config().at("resource", "path") || context().attribute("resource.R");
    if (rank() == 0) {
        co_await replay_eventlog();
        co_await take_stock();
        if (!have_inventory_ && defined_here_)
            co_await take_up_earlier();
        spawn(follow_online());
        spawn(follow_torpid());
    }
    if (fake || (given && !verification_.enabled()))
        co_return;
    auto found = discover_node(restrict_);
    Json node {{"rank", rank()}, {"host", host_of(rank())}, {"cores", found.cores}, {"gpus", found.gpus}};
    if (rank() == 0) {
        node_found(node);
    } else {
        upward_.append(node);
        if (!passing_)
            spawn(pass_on());
    }
}

Json Resource::stats() const
{
    return Json {{"nnodes", inventory_.R.nnodes()},
                 {"online", online_.format()},
                 {"drained", drained_.ranks().format()},
                 {"events", journal_.end()}};
}

std::string Resource::host_of(uint32_t node) const
{
    if (auto list = hosts(); node < list.size())
        return list.nth(node);
    char name[256] = "localhost";
    gethostname(name, sizeof name - 1);
    return name;
}

Hostlist Resource::hosts() const
{
    if (auto text = context().attribute("hostlist"))
        if (auto list = Hostlist::parse(*text))
            return *list;
    return {};
}

// ---- what is found on the nodes

// {"cores"?}: only what of it has these.
void Resource::topo_get(Request request)
{
    try {
        auto cores = request.find<std::string>("cores");
        auto wanted = value_or_throw(Idset::parse(cores.value_or("")));
        if (cores && !request.credentials().is_owner())
            throw Error(EPERM, "a part of the topology is made anew each time, for the instance owner only");
        if (xml_.empty())
            xml_ = topology_xml(restrict_);
        request.respond(Payload::text(cores ? restricted_topology(xml_, wanted) : xml_));
    } catch (const Error &error) {
        request.fail(error);
    }
}

Task<Json> Resource::topo_reduce(Request request)
{
    for (auto node : request.get<Json>("nodes").elements()) {
        if (rank() == 0)
            node_found(node);
        else
            upward_.append(node);
    }
    if (rank() != 0 && !passing_)
        spawn(pass_on());
    co_return Json();
}

Task<> Resource::pass_on()
{
    passing_ = true;
    co_await yield_to(loop());
    for (bool told = false; !upward_.empty();) {
        Json nodes = std::exchange(upward_, Json::array());
        std::optional<Error> failed;
        try {
            Json args {{"nodes", nodes}};
            co_await upstream("resource.topo-reduce", args);
        } catch (const Error &error) {
            failed = error;
        }
        if (!failed)
            continue;
        if (!std::exchange(told, true))
            log(LogLevel::warning, "what was found on {} nodes cannot be passed on yet: {}", nodes.size(),
                failed->text());
        for (auto node : nodes.elements())
            upward_.append(node);
        co_await sleep_for(loop(), seconds(pass_on_again_after));
    }
    passing_ = false;
}

void Resource::node_found(const Json &node)
{
    auto node_rank = node.get<uint32_t>("rank");
    auto host = node.get<std::string>("host");
    NodeInventory found {node.get<uint32_t>("cores"), node.get<uint32_t>("gpus")};
    if (reported_.contains(node_rank))
        return; // a broker that came back
    reported_.add(node_rank);
    if (have_inventory_) {
        auto reason = verification_.mismatch(inventory_.R, node_rank, host, found);
        bool given = inventory_.method != "dynamic-discovery" && inventory_.method != "kvs";
        if (!reason.empty() && given && !excluded_.contains(node_rank))
            spawn(drain_rank(node_rank, std::move(reason)));
        return;
    }
    discovered_.merge_node(node_rank, host, Idset::iota(found.cores), Idset::iota(found.gpus));
    if (reported_.count() == size())
        set_inventory({std::move(discovered_), "dynamic-discovery", false});
}

// The other ranks have told what they found to the module that was here before, and do not tell it again.
Task<> Resource::take_up_earlier()
{
    auto text = co_await kvs::try_get(handle(), "resource.R");
    if (!text || have_inventory_)
        co_return;
    auto R = ResourceSet::parse(*text);
    if (R)
        set_inventory({std::move(*R), "kvs", false});
    else
        log(LogLevel::err, "resource.R cannot be read: {}", R.error().text());
}

// ---- the inventory

Task<> Resource::take_stock()
{
    InventorySources sources {context().config(), context().attribute("resource.R"), hosts()};
    Json ranks_and_hosts {
        {"ranks", Idset::iota(size()).format()}, {"online", ""}, {"nodelist", sources.hosts.encode()}};
    post({wall_time(), "restart", ranks_and_hosts}, true);
    if (auto given = given_inventory(sources)) {
        if (!given->fake)
            for (const auto &node : given->R.nodes())
                if (node.rank >= size()) {
                    log(LogLevel::warning,
                        "R has rank {} and more, the instance {} brokers: those are left out", node.rank,
                        size());
                    given->R = given->R.subset(Idset::iota(size()));
                    break;
                }
        set_inventory(std::move(*given));
    }
    co_return;
}

void Resource::set_inventory(Inventory inventory)
{
    bool found = inventory.method == "dynamic-discovery" || inventory.method == "kvs";
    if (inventory.method == "kvs" && !inventory.fake) // as this module left it
        inventory.R.drop_instance_local_properties();
    auto read = [&](auto what) {
        try {
            what();
        } catch (const Error &error) {
            if (!found)
                throw;
            // Nobody is there to hear of it, and an instance without resources is worse.
            log(LogLevel::err, "{}: this is left out; correct it and reload the configuration", error.text());
        }
    };
    Idset excluded;
    Properties properties {inventory.R.properties(), inventory.R.properties()};
    read([&] { excluded = excluded_ranks(context().config(), inventory.R); });
    read([&] { properties = with_memberships(inventory.R.properties(), inventory.R); });
    inventory_ = std::move(inventory);
    own_properties_ = std::move(properties.own);
    inventory_.R.set_properties(std::move(properties.all));
    shown_ = {};
    excluded_ = excluded;
    have_inventory_ = true;
    undrain_excluded();
    store_R();
    post({wall_time(), "resource-define", Json {{"method", inventory_.method}}}, true);
    changed_.notify_all();
    tell_scheduler(what_there_is_now());
    begin_acquire();
}

void Resource::store_R()
{
    Json op {{"key", "resource.R"}, {"flags", 0}, {"dirent", treeobj::make_val(inventory_.R.encode())}};
    handle().notify("kvs.commit",
                    Json {{"namespace", "primary"}, {"flags", 0}, {"ops", Json::array().append(op)}});
}

Json Resource::get(Request &)
{
    if (!have_inventory_)
        throw Error(ENOENT, "the resources of this instance are not known yet");
    return inventory_.R.to_json();
}

// {"path", "xml"?, "force"?}: another R, in place of what there was. A scheduler hears of ranks that are new
// or gone at once, and of what else has changed when it acquires again.
Task<Json> Resource::reload(Request request)
{
    auto path = request.get<std::string>("path");
    bool xml = request.find<bool>("xml").value_or(false), force = request.find<bool>("force").value_or(false);
    Inventory next {xml ? read_topologies(path, hosts()) : read_R(path, hosts()), "reload", inventory_.fake};
    if (!next.fake) {
        Idset brokers = Idset::iota(size());
        if (Idset unknown = next.R.ranks() - brokers; !unknown.empty() && !force)
            throw Error(EOVERFLOW, "{} has rank {}, this instance has {} brokers: force leaves them out",
                        path, unknown.format(), size());
        next.R = next.R.subset(brokers);
    }
    if (next.R.empty())
        throw Error(EINVAL, "{} has nothing for this instance of {} brokers", path, size());
    Idset other;
    for (const auto &node : next.R.nodes())
        if (auto known = inventory_.R.find(node.rank); known && told_of_.contains(node.rank))
            if (*known->shape() != *node.shape())
                other.add(node.rank);
    if (acquire_answered_ && !other.empty())
        log(LogLevel::warning,
            "rank {} has other resources now: the scheduler gives them out from its next load on (flux "
            "module "
            "reload sched)",
            other.format());
    set_inventory(std::move(next));
    co_await saved();
    co_return Json();
}

Json Resource::expiration_update(Request &request)
{
    auto expiration = request.get<double>("expiration");
    inventory_.R.set_expiration(expiration);
    shown_ = {};
    post({wall_time(), "resource-update", Json {{"expiration", expiration}}}, true);
    tell_scheduler(Json {{"expiration", expiration}});
    return {};
}

FLUX_MODULE(resource, "resource", Resource)

} // namespace flux
