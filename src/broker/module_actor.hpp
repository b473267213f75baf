// ModuleActor: a loaded module with its context and its handle, on the loop that it lives on. What it tells its broker
// goes through two functions, which a placement provides: so it knows nothing of threads.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "broker/attributes.hpp"
#include "common/module/module.hpp"

namespace flux {

class ModuleActor final : public Context {
public:
    struct Setup {
        std::string name;
        std::vector<std::string> arguments;
        const ModuleInfo *info = nullptr;
        Platform platform; // of the loop it lives on
        uint32_t rank = 0, size = 1;
        Json config;
        const Attributes *attributes = nullptr; // of the broker; any thread may ask them
        std::function<void(Message)> send;
        std::function<void(LogLevel, std::string)> log;
        std::function<Json(const Request &)> answer_ping;
    };
    explicit ModuleActor(Setup setup);

    // Makes the module and runs its start(); then delivers what waited. Throws what they throw.
    Task<> start();
    Task<> stop();
    bool is_running() const { return running_; }
    size_t waiting() const { return waiting_.size(); }
    // Until start() returned, only responses reach the module; the rest waits.
    void receive(Message message);
    // Starts a task of the host's, which may outlast start() but not the actor.
    void spawn(Task<> task) { handle_.gate().spawn(std::move(task)); }

    Handle &handle() override { return handle_; }
    const Platform &platform() const override { return setup_.platform; }
    const std::string &name() const override { return setup_.name; }
    const std::vector<std::string> &arguments() const override { return setup_.arguments; }
    uint32_t rank() const override { return setup_.rank; }
    uint32_t size() const override { return setup_.size; }
    std::optional<std::string> attribute(std::string_view name) const override
    {
        return setup_.attributes->get(name);
    }
    const Json &config() const override { return setup_.config; }
    void log(LogLevel level, std::string text) override { setup_.log(level, std::move(text)); }
    uint32_t debug_flags() const override { return debug_flags_; }

private:
    Json reload_config(const Request &request);
    Json change_debug_flags(const Request &request);

    Setup setup_;
    bool running_ = false;
    uint32_t debug_flags_ = 0;
    std::deque<Message> waiting_;
    std::unique_ptr<Module> module_; // outlives the handle's tasks: those refer to it
    Handle handle_;
};

} // namespace flux
