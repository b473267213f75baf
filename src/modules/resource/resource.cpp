// resource: what this instance has and what of it can be used now. Rank 0 is the authority (RFC 28); the
// other ranks tell it what hwloc finds on their node, each passing on what came from below in one message.
#include <hwloc.h>
#include <unistd.h>

#include <list>

#include "common/job/resource_set.hpp"
#include "common/kvs/treeobj.hpp"
#include "common/module/module.hpp"

namespace flux {

namespace {

Json discover(uint32_t rank, const std::string &host)
{
    hwloc_topology_t topology;
    if (hwloc_topology_init(&topology) < 0)
        throw Error(errno, "hwloc cannot be initialised");
    hwloc_topology_set_io_types_filter(topology, HWLOC_TYPE_FILTER_KEEP_IMPORTANT);
    if (hwloc_topology_load(topology) < 0) {
        hwloc_topology_destroy(topology);
        throw Error(EIO, "hwloc cannot read this node's topology");
    }
    int cores = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE);
    if (cores <= 0)
        cores = std::max(1, hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PU));
    int gpus = 0;
    for (hwloc_obj_t device = nullptr; (device = hwloc_get_next_osdev(topology, device));) {
        std::string_view subtype = device->subtype ? device->subtype : "";
        if (device->attr->osdev.type ==
                HWLOC_OBJ_OSDEV_COPROC && // one name for each device, not for each driver view
            (subtype == "CUDA" || subtype == "RSMI" || subtype == "LevelZero"))
            ++gpus;
    }
    hwloc_topology_destroy(topology);
    return Json {{"rank", rank}, {"host", host}, {"cores", cores}, {"gpus", gpus}};
}

} // namespace

class Resource : public Module {
public:
    explicit Resource(Context &context) : Module(context), known_(loop())
    {
        serve("topo-reduce", role::owner, &Resource::topo_reduce);
        if (rank() != 0)
            return;
        serve("acquire", role::owner, &Resource::acquire);
        serve("drain", role::owner, &Resource::drain);
        serve("undrain", role::owner, &Resource::undrain);
        serve("status", role::any, &Resource::status);
        serve("sched-status", role::any, &Resource::sched_status);
        handle().on_cancel([this](const RouteId &sender, uint32_t) { forget(sender); });
        handle().on_disconnect([this](const RouteId &sender) { forget(sender); });
    }
    Task<> start() override
    {
        if (auto given = configured()) {
            if (rank() == 0)
                set_inventory(std::move(*given));
        } else {
            Json found = discover(rank(), host_of(rank()));
            if (rank() == 0)
                reported(found);
            else {
                upward_.append(found);
                spawn(pass_on());
            }
        }
        if (rank() == 0)
            spawn(follow_online());
        co_return;
    }
    Json stats() const override
    {
        return Json {
            {"nnodes", all_.nnodes()}, {"online", online_.format()}, {"drained", drained_ranks().format()}};
    }

private:
    struct Drain {
        double timestamp;
        std::string reason;
    };

    std::string host_of(uint32_t node) const
    {
        if (auto text = context().attribute("hostlist"))
            if (auto hosts = Hostlist::parse(*text); hosts && node < hosts->size())
                return hosts->nth(node);
        char name[256] = "localhost";
        gethostname(name, sizeof(name) - 1);
        return name;
    }
    // R as given: attribute resource.R, [resource] R, or a table [fake-resources] nnodes, cores-per-node,
    // gpus-per-node.
    std::optional<ResourceSet> configured() const
    {
        if (auto text = context().attribute("resource.R"))
            return value_or_throw(ResourceSet::parse(std::string_view(*text)));
        if (Json R = context().config()["resource"]["R"])
            return value_or_throw(R.is_string() ? ResourceSet::parse(R.string_view())
                                                : ResourceSet::from_json(R));
        Json fake = context().config()["fake-resources"];
        if (!fake)
            return std::nullopt;
        ResourceSet out;
        auto cores = fake.value<uint32_t>("cores-per-node", 1);
        auto gpus = fake.value<uint32_t>("gpus-per-node", 0);
        auto nnodes = fake.value<uint32_t>("nnodes", size());
        for (uint32_t node = 0; node < nnodes; node++)
            out.add_node(node, nnodes == size() ? host_of(node) : fmt::format("fake{}", node),
                         Idset::iota(cores), Idset::iota(gpus));
        fake_ = true;
        return out;
    }

    // --- discovery
    void reported(const Json &node)
    {
        discovered_.merge_node(node.get<uint32_t>("rank"), node.get<std::string>("host"),
                               Idset::iota(node.get<uint32_t>("cores")),
                               Idset::iota(node.get<uint32_t>("gpus")));
        if (discovered_.nnodes() == size())
            set_inventory(std::move(discovered_));
    }
    Json topo_reduce(Request &request)
    {
        bool idle = upward_.empty();
        for (auto node : request.get<Json>("nodes").elements()) {
            if (rank() == 0)
                reported(node);
            else
                upward_.append(node);
        }
        if (rank() != 0 && idle && !passing_)
            spawn(pass_on());
        return {};
    }
    Task<> pass_on()
    {
        passing_ = true;
        while (!upward_.empty()) {
            Json args {{"nodes", std::exchange(upward_, Json::array())}};
            co_await upstream("resource.topo-reduce", args);
        }
        passing_ = false;
    }
    void set_inventory(ResourceSet all)
    {
        all_ = std::move(all);
        have_all_ = true;
        Json op {{"key", "resource.R"}, {"flags", 0}, {"dirent", treeobj::make_val(all_.encode())}};
        handle().notify("kvs.commit",
                        Json {{"namespace", "primary"}, {"flags", 0}, {"ops", Json::array().append(op)}});
        known_.notify_all();
        changed();
    }

    // --- up and down
    Task<> follow_online()
    {
        Json name {{"name", "broker.online"}};
        auto online = handle().stream("groups.get", name);
        while (auto members = co_await online.next()) {
            online_ = value_or_throw(Idset::parse(members->json().get<std::string>("members")));
            changed();
        }
    }
    Idset drained_ranks() const
    {
        Idset out;
        for (const auto &[node, unused] : drained_)
            out.add(node);
        return out;
    }
    Idset usable() const
    {
        // Fake nodes beyond the instance's brokers are always there.
        return (fake_ ? all_.ranks() : online_ & all_.ranks()) - drained_ranks();
    }
    void changed()
    {
        Idset now = usable();
        Idset up = now - told_;
        Idset down = told_ - now;
        if (!acquired_ || (up.empty() && down.empty()))
            return;
        Json out = Json::object();
        if (!up.empty())
            out.set("up", up.format());
        if (!down.empty())
            out.set("down", down.format());
        told_ = now;
        acquired_->respond(out);
    }

    // --- requests
    void acquire(Request request)
    {
        request.require_streaming();
        if (acquired_ || acquiring_)
            throw Error(EBUSY, "the resources are acquired by another scheduler");
        acquiring_ = true;
        spawn(begin_acquire(std::move(request)));
    }
    Task<> begin_acquire(Request request)
    {
        while (!have_all_)
            co_await known_.wait();
        acquiring_ = false;
        acquired_ = std::move(request);
        told_ = usable();
        acquired_->respond(Json {{"resources", all_.to_json()}, {"up", told_.format()}});
    }
    void forget(const RouteId &sender)
    {
        if (acquired_ && acquired_->sender() == sender)
            acquired_.reset();
    }
    Idset targets(const Request &request) const
    {
        auto text = request.get<std::string>("targets");
        auto ids = Idset::parse(text);
        Idset out = ids ? *ids : all_.ranks_of(value_or_throw(Hostlist::parse(text)));
        if (out.empty() || !all_.ranks().contains(out))
            throw Error(EINVAL, "{}: these are not all ranks or hosts of this instance", text);
        return out;
    }
    Json drain(Request &request)
    {
        auto reason = request.find<std::string>("reason").value_or("");
        auto mode = request.find<std::string>("mode").value_or("");
        Idset ranks = targets(request);
        for (uint32_t node : ranks)
            if (drained_.contains(node) && mode.empty() && !drained_[node].reason.empty())
                throw Error(EEXIST, "rank {} is drained already, because: {}", node, drained_[node].reason);
        for (uint32_t node : ranks) {
            auto [at, fresh] = drained_.try_emplace(node, Drain {wall_time(), reason});
            if (!fresh && (mode == "overwrite" || at->second.reason.empty()))
                at->second.reason = reason;
        }
        changed();
        return {};
    }
    Json undrain(Request &request)
    {
        Idset ranks = targets(request);
        for (uint32_t node : ranks)
            if (!drained_.contains(node) && request.find<std::string>("mode").value_or("") != "force")
                throw Error(EINVAL, "rank {} is not drained", node);
        for (uint32_t node : ranks)
            drained_.erase(node);
        changed();
        return {};
    }
    Json status(Request &)
    {
        std::map<std::pair<double, std::string>, Idset> groups;
        for (const auto &[node, drain] : drained_)
            groups[{drain.timestamp, drain.reason}].add(node);
        Json drain = Json::object();
        for (const auto &[why, ranks] : groups)
            drain.set(ranks.format(), Json {{"timestamp", why.first}, {"reason", why.second}});
        Idset online = fake_ ? all_.ranks() : online_ & all_.ranks();
        return Json {{"R", all_.to_json()},
                     {"drain", drain},
                     {"online", online.format()},
                     {"offline", (all_.ranks() - online).format()},
                     {"exclude", ""},
                     {"torpid", ""}};
    }
    Task<Json> sched_status(Request)
    {
        Json allocated = ResourceSet().to_json();
        try {
            auto answer = co_await rpc("sched.resource-status");
            allocated = answer.json()["allocated"];
        } catch (const Error &error) {
            if (error.errnum() != ENOSYS) // no scheduler: nothing is allocated
                throw;
        }
        co_return Json {
            {"all", all_.to_json()}, {"down", all_.without(usable()).to_json()}, {"allocated", allocated}};
    }

    ResourceSet all_;
    ResourceSet discovered_;
    Condition known_;
    bool have_all_ = false;
    mutable bool fake_ = false;
    Json upward_ = Json::array(); // to go to rank 0
    bool passing_ = false;
    Idset online_;
    std::map<uint32_t, Drain> drained_;
    std::optional<Request> acquired_;
    bool acquiring_ = false;
    Idset told_; // what the scheduler believes to be up
};

FLUX_MODULE(resource, "resource", Resource)

} // namespace flux
