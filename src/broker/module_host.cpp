#include "broker/module_host.hpp"

#include <dlfcn.h>
#include <unistd.h>

#include "broker/broker.hpp"

namespace flux {

namespace {

constexpr int status_running = 1; // RFC 5 module status, as module.list reports it

} // namespace

// A module with its context and mailbox. Until start() returned, only responses reach it; the rest waits.
struct ModuleHost::Loaded final : Context {
    Loaded(Broker &broker, std::string name, std::string path, std::vector<std::string> arguments)
        : broker_(broker), name_(std::move(name)), path_(std::move(path)), arguments_(std::move(arguments)),
          id_(broker.platform().random->uuid()), handle_(*broker.platform().loop, [this](Message message) {
              message.credentials = message.credentials.rolemask == role::none
                                        ? Credentials {broker_.owner(), role::owner | role::local}
                                        : message.credentials;
              broker_.router().receive(id_, std::move(message));
          })
    {
    }
    ~Loaded() override
    {
        *alive_ = false;
        broker_.router().remove_peer(id_);
    }

    void deliver(Message message)
    {
        broker_.platform().loop->post([this, alive = alive_, message = std::move(message)]() mutable {
            if (!*alive)
                return;
            if (running_ || message.is_response())
                handle_.receive(std::move(message));
            else
                waiting_.push_back(std::move(message));
        });
    }
    void run()
    {
        running_ = true;
        for (auto &message : std::exchange(waiting_, {}))
            handle_.receive(std::move(message));
    }

    Handle &handle() override { return handle_; }
    const Platform &platform() const override { return broker_.platform(); }
    const std::string &name() const override { return name_; }
    const std::vector<std::string> &arguments() const override { return arguments_; }
    uint32_t rank() const override { return broker_.rank(); }
    uint32_t size() const override { return broker_.size(); }
    std::optional<std::string> attribute(std::string_view name) const override
    {
        return broker_.attributes().get(name);
    }
    const Json &config() const override { return broker_.config(); }
    void log(LogLevel level, std::string text) override { broker_.log(level, name_, std::move(text)); }

    Broker &broker_;
    std::string name_, path_;
    std::vector<std::string> arguments_;
    RouteId id_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
    bool running_ = false;
    std::deque<Message> waiting_;
    std::unique_ptr<Module> module_; // outlives the handle's tasks: those refer to it
    Handle handle_;
};

ModuleHost::ModuleHost(Broker &broker) : broker_(broker) {}

ModuleHost::~ModuleHost()
{
    while (!order_.empty()) {
        modules_.erase(order_.back());
        order_.pop_back();
    }
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

Task<> ModuleHost::load(std::string path, std::string name, std::vector<std::string> arguments)
{
    std::string file;
    auto &info = resolve(path, file);
    if (name.empty())
        name = info.name;
    if (modules_.contains(name))
        throw Error(EEXIST, "module {} is already loaded: flux module reload replaces it", name);
    auto *loaded = modules_.emplace(name, std::make_unique<Loaded>(broker_, name, file, std::move(arguments)))
                       .first->second.get();
    order_.push_back(name);
    std::optional<Error> error;
    try {
        broker_.router().add_peer({loaded->id_, PeerKind::module, [loaded](Message message) {
                                       loaded->deliver(std::move(message));
                                   }});
        broker_.router().add_service(name, loaded->id_);
        loaded->module_ = info.make(*loaded);
        loaded->handle_.serve(name + ".stats-get", role::any,
                              Handle::PlainHandler([loaded](Request &) { return loaded->module_->stats(); }));
        loaded->handle_.serve(name + ".ping", role::user, Handle::PlainHandler([this](Request &request) {
                                  return broker_.answer_ping(request);
                              }));
        co_await loaded->module_->start();
    } catch (const Error &caught) {
        error = caught;
    }
    if (error) {
        modules_.erase(name);
        std::erase(order_, name);
        throw *error;
    }
    loaded->run();
    broker_.log(LogLevel::debug, "broker", "insmod " + name);
}

Task<> ModuleHost::remove(std::string name)
{
    auto found = modules_.find(name);
    if (found == modules_.end())
        throw Error(ENOENT, "module {} is not loaded", name);
    auto *loaded = found->second.get();
    std::optional<Error> error;
    try {
        co_await loaded->module_->stop();
    } catch (const Error &caught) {
        error = caught;
    }
    if (error)
        broker_.log(LogLevel::err, name, fmt::format("stopping: {}", error->text()));
    modules_.erase(name);
    std::erase(order_, name);
    broker_.log(LogLevel::debug, "broker", "rmmod " + name);
}

Task<> ModuleHost::remove_all()
{
    while (!order_.empty())
        co_await remove(order_.back());
}

Json ModuleHost::list() const
{
    Json mods = Json::array();
    for (auto &name : order_) {
        auto &loaded = *modules_.at(name);
        mods.append(Json {{"name", name},
                          {"path", loaded.path_},
                          {"idle", 0},
                          {"status", loaded.running_ ? status_running : 0},
                          {"services", Json::array_of(broker_.router().services_of(loaded.id_))},
                          {"sendqueue", 0},
                          {"recvqueue", loaded.waiting_.size()}});
    }
    return mods;
}

} // namespace flux
