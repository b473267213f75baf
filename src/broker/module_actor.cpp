#include "broker/module_actor.hpp"

namespace flux {

ModuleActor::ModuleActor(Setup setup)
    : setup_(std::move(setup)), handle_(*setup_.platform.loop, [this](Message message) { setup_.send(std::move(message)); })
{
}

Task<> ModuleActor::start()
{
    // Before the module is made: one that serves it itself has its own way.
    handle_.serve(name() + ".config-reload", role::owner,
                  Handle::PlainHandler([this](Request &request) { return reload_config(request); }));
    module_ = setup_.info->make(*this);
    handle_.serve(name() + ".stats-get", role::any,
                  Handle::PlainHandler([this](Request &) { return module_->stats(); }));
    handle_.serve(name() + ".ping", role::user,
                  Handle::PlainHandler([this](Request &request) { return setup_.answer_ping(request); }));
    co_await module_->start();
    running_ = true;
    for (auto &message : std::exchange(waiting_, {}))
        handle_.receive(std::move(message));
}

Json ModuleActor::reload_config(const Request &request)
{
    Json before = std::exchange(setup_.config, request.json());
    try {
        module_->config_changed();
    } catch (...) {
        setup_.config = before;
        throw;
    }
    return {};
}

Task<> ModuleActor::stop()
{
    co_await module_->stop();
}

void ModuleActor::receive(Message message)
{
    if (running_ || message.is_response())
        handle_.receive(std::move(message));
    else
        waiting_.push_back(std::move(message));
}

} // namespace flux
