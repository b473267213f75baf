#include "common/module/module.hpp"

#include <map>
#include <mutex>

namespace flux {

namespace {

// Filled by static initialisers and by dlopen, read afterwards: the one table of the process, not an instance's state.
struct Registry {
    std::mutex mutex;
    std::map<std::string, ModuleInfo, std::less<>> modules;
    static Registry &instance()
    {
        static Registry registry;
        return registry;
    }
};

} // namespace

void register_module(const ModuleInfo &info)
{
    auto &registry = Registry::instance();
    std::lock_guard lock(registry.mutex);
    registry.modules[info.name] = info;
}

const ModuleInfo *find_module(std::string_view name)
{
    auto &registry = Registry::instance();
    std::lock_guard lock(registry.mutex);
    auto found = registry.modules.find(name);
    return found == registry.modules.end() ? nullptr : &found->second;
}

Module::Module(Context &context) : context_(context)
{
    handle().gate().set_error_handler([this](const Error &error) {
        log(LogLevel::err, "a task ended with an error: {}", error.text());
    });
}

Task<> Module::start()
{
    co_return;
}

Task<> Module::stop()
{
    co_return;
}

Json Module::stats() const
{
    return Json::object();
}

Task<> Module::add_service(std::string name)
{
    Json payload {{"service", name}};
    co_await rpc("service.add", payload);
}

} // namespace flux
