#include "broker/module_host.hpp"

#include <dlfcn.h>
#include <unistd.h>

#include "broker/broker.hpp"
#include "broker/placement.hpp"

namespace flux {

namespace {

constexpr int status_running = 1; // RFC 5 module status, as module.list reports it
constexpr Duration busy_limit =
    std::chrono::seconds(10); // for what somebody else loads or removes at the end
constexpr Duration busy_check = std::chrono::milliseconds(10);

} // namespace

// A module, where it runs, and its identity as a peer of the router.
struct ModuleHost::Loaded {
    Loaded(Broker &broker, std::string path, RouteId id) : broker(broker), path(std::move(path)), id(id) {}
    ~Loaded() { broker.router().remove_peer(id); }
    Broker &broker;
    std::string path;
    RouteId id;
    bool leaving = false; // remove() is under way
    std::unique_ptr<Placement> placement;
};

ModuleHost::ModuleHost(Broker &broker) : broker_(broker) {}

ModuleHost::~ModuleHost()
{
    while (!order_.empty())
        erase(std::string(order_.back()));
}

void ModuleHost::erase(const std::string &name)
{
    modules_.erase(name);
    std::erase(order_, name);
}

const ModuleInfo &ModuleHost::resolve(const std::string &path, std::string &file)
{
    if (auto *linked = find_module(path)) {
        file = "builtin";
        return *linked;
    }
    std::vector<std::string> candidates;
    if (path.contains('/')) {
        candidates.push_back(path);
    } else {
        std::string_view rest = broker_.module_path();
        while (!rest.empty()) {
            auto end = std::min(rest.find(':'), rest.size());
            if (end > 0)
                candidates.push_back(fmt::format("{}/{}.so", rest.substr(0, end), path));
            rest.remove_prefix(std::min(end + 1, rest.size()));
        }
    }
    for (auto &candidate : candidates) {
        if (access(candidate.c_str(), R_OK) != 0)
            continue;
        // Never closed again: coroutine frames and vtables of the module may outlive its unloading by a turn.
        if (!dlopen(candidate.c_str(), RTLD_NOW | RTLD_LOCAL))
            throw Error(ELIBBAD, "module {}: {}", path, dlerror());
        auto name = candidate.substr(candidate.rfind('/') + 1);
        name = name.substr(0, name.rfind(".so"));
        auto *info = find_module(name);
        if (!info)
            throw Error(ELIBBAD, "module {}: {} does not declare a module named {} (FLUX_MODULE)", path,
                        candidate, name);
        file = candidate;
        return *info;
    }
    throw Error(ENOENT, "module {} was not found: looked in {}", path, broker_.module_path());
}

bool ModuleHost::wants_thread(std::string_view name) const
{
    Json threads = broker_.config()["modules"]["threads"];
    if (threads.is_string() && threads.string_view() == "all")
        return true;
    if (threads && !threads.is_array())
        throw Error(EINVAL, "modules.threads is {}: expected \"all\" or an array of module names",
                    threads.dump());
    for (auto one : threads.elements())
        if (one.string_view() == name)
            return true;
    return false;
}

namespace {

// Undoes what a load has done unless that came to its end: also when its coroutine is cancelled.
struct Undo {
    std::function<void()> fn;
    ~Undo()
    {
        if (fn)
            fn();
    }
};

} // namespace

Task<> ModuleHost::load(std::string path, std::string name, std::vector<std::string> arguments,
                        bool own_thread)
{
    std::string file;
    auto &info = resolve(path, file);
    if (name.empty())
        name = info.name;
    if (modules_.contains(name))
        throw Error(EEXIST, "module {} is already loaded: flux module reload replaces it", name);
    RouteId id(broker_.platform().random->uuid());
    ModuleActor::Setup setup;
    setup.name = name;
    setup.arguments = std::move(arguments);
    setup.info = &info;
    setup.rank = broker_.rank();
    setup.size = broker_.size();
    setup.config = broker_.config();
    setup.attributes = &broker_.attributes();
    setup.answer_ping = [this](const Request &request) {
        return broker_.answer_ping(request);
    };
    Json given = setup.config;
    auto &loaded = *modules_.emplace(name, std::make_unique<Loaded>(broker_, file, id)).first->second;
    order_.push_back(name);
    Undo undo {[this, name, alive = std::weak_ptr(alive_)] {
        if (!alive.expired())
            erase(name);
    }};
    loaded.placement = own_thread || wants_thread(name) ? place_on_thread(broker_, id, std::move(setup))
                                                        : place_on_broker_loop(broker_, id, std::move(setup));
    broker_.router().add_peer({id, PeerKind::module, [this, &loaded, name](Message message) {
                                   if (broker_.module_tracer().active()) [[unlikely]]
                                       broker_.module_tracer().note(name, Tracer::Way::received, message);
                                   loaded.placement->deliver(std::move(message));
                               }});
    broker_.router().add_service(name, id);
    co_await loaded.placement->start();
    undo.fn = nullptr;
    broker_.log(LogLevel::debug, "broker", "insmod " + name);
    if (given != broker_.config()) // it has changed meanwhile, which only those that run were told
        co_await tell_config(name);
}

Task<> ModuleHost::tell_config(std::string name)
{
    std::optional<Error> refused;
    try {
        co_await broker_.handle().rpc(name + ".config-reload", broker_.config(), {.nodeid = broker_.rank()});
    } catch (const Error &error) {
        if (error.errnum() != ENOSYS) // unloaded again
            refused = error;
    }
    if (refused)
        broker_.log(LogLevel::err, name,
                    fmt::format("does not take the configuration, which changed while it was loaded: {}",
                                refused->text()));
}

Task<> ModuleHost::remove(std::string name)
{
    auto found = modules_.find(name);
    if (found == modules_.end())
        throw Error(ENOENT, "module {} is not loaded", name);
    auto &loaded = *found->second;
    if (loaded.leaving || !loaded.placement->is_running())
        throw Error(EBUSY, "module {} is still {}: try again", name,
                    loaded.leaving ? "stopping" : "starting");
    loaded.leaving = true;
    Undo undo {[&loaded, alive = std::weak_ptr(alive_)] {
        if (!alive.expired())
            loaded.leaving = false;
    }};
    std::optional<Error> error;
    try {
        co_await loaded.placement->stop();
    } catch (const Error &caught) {
        error = caught;
    }
    undo.fn = nullptr;
    if (error)
        broker_.log(LogLevel::err, name, fmt::format("stopping: {}", error->text()));
    erase(name);
    broker_.log(LogLevel::debug, "broker", "rmmod " + name);
}

Task<> ModuleHost::remove_all()
{
    auto &loop = *broker_.platform().loop;
    auto deadline = loop.now() + busy_limit;
    while (!order_.empty()) {
        auto &last = *modules_.at(order_.back());
        if ((last.leaving || !last.placement->is_running()) && loop.now() < deadline)
            co_await sleep_for(loop, busy_check);
        else
            co_await remove(order_.back());
    }
}

Task<> ModuleHost::remove_after(std::string name)
{
    while (is_loaded(name) && order_.back() != name)
        co_await remove(order_.back());
}

Json ModuleHost::list() const
{
    Json mods = Json::array();
    for (auto &name : order_) {
        auto &loaded = *modules_.at(name);
        mods.append(Json {{"name", name},
                          {"path", loaded.path},
                          {"idle", 0},
                          {"status", loaded.placement->is_running() ? status_running : 0},
                          {"services", Json::array_of(broker_.router().services_of(loaded.id))},
                          {"sendqueue", loaded.placement->send_queue()},
                          {"recvqueue", loaded.placement->receive_queue()}});
    }
    return mods;
}

} // namespace flux
