// Broker: one node's part of an instance. Holds the router, the attributes, the module host and the services
// that are built in; a transport (local sockets, the overlay) connects peers to its router.
#pragma once
#include <memory>
#include <string>

#include "broker/attributes.hpp"
#include "broker/groups.hpp"
#include "broker/logger.hpp"
#include "broker/module_host.hpp"
#include "broker/placement.hpp"
#include "broker/router.hpp"
#include "broker/tracer.hpp"
#include "common/module/module.hpp"

namespace flux {

struct BrokerSetup {
    Platform platform;
    Topology topology {0, 1, 1};
    Attributes attributes;
    Json config = Json::object();
    std::function<Json()> reload_config; // reads the configuration again from where it came; may be absent
    std::string module_path; // directories, colon separated
    uint32_t owner = 0;      // user id
    ThreadWorldFactory new_thread_world; // for modules on threads of their own; may be absent
};

class Broker {
public:
    explicit Broker(BrokerSetup setup);
    ~Broker();

    uint32_t rank() const { return router_.topology().rank(); }
    uint32_t size() const { return router_.topology().size(); }
    uint32_t owner() const { return setup_.owner; }
    const Platform &platform() const { return setup_.platform; }
    Router &router() { return router_; }
    Attributes &attributes() { return setup_.attributes; }
    const Attributes &attributes() const { return setup_.attributes; }
    const Json &config() const { return setup_.config; }
    // Another configuration than this broker started with, which its children shall have too.
    void set_config(Json config)
    {
        setup_.config = std::move(config);
        config_changed_ = true;
    }
    bool config_changed() const { return config_changed_; }
    // Reads it again. ENOTSUP when it came from nowhere.
    Json reload_config() const;
    const std::string &module_path() const { return setup_.module_path; }
    ModuleHost &modules() { return modules_; }
    // ENOTSUP where there are no threads.
    std::unique_ptr<ThreadWorld> new_thread_world() const
    {
        if (!setup_.new_thread_world)
            throw Error(ENOTSUP, "modules cannot have threads of their own here");
        return setup_.new_thread_world();
    }
    Logger &logger() { return logger_; }
    Tracer &module_tracer() { return module_tracer_; }
    Tracer &overlay_tracer() { return overlay_tracer_; } // peers are ranks
    // The broker's own handle: its built-in services answer on it.
    Handle &handle() { return handle_; }

    void log(LogLevel level, std::string_view application, std::string text);
    // The ping answer of any service on this broker: the request with route, userid, rolemask and rank added.
    Json answer_ping(const Request &request) const;

    // The life cycle's state (join, init, quorum, run, cleanup, shutdown, finalize) and since when.
    void enter_state(std::string state);
    const std::string &state() const { return state_; }
    Duration state_since() const { return state_since_; }
    Condition &state_changed() { return state_changed_; }
    Groups &groups() { return groups_; }

    // Called when somebody asks the instance to end (flux shutdown, a signal).
    std::function<void()> on_shutdown_request;

private:
    BrokerSetup setup_;
    bool config_changed_ = false;
    Router router_;
    Logger logger_;
    std::string state_ = "join";
    Duration state_since_;
    Condition state_changed_;
    RouteId id_;
    Groups groups_; // outlives the handle's tasks: those refer to it, and to the tracers
    Tracer module_tracer_, overlay_tracer_;
    Handle handle_;
    ModuleHost modules_;
};

// The built-in services, a file each under services/.
void serve_attributes(Broker &broker);
void serve_config(Broker &broker);
void serve_events(Broker &broker);
void serve_services(Broker &broker);
void serve_modules(Broker &broker);
void serve_log(Broker &broker);
void serve_state(Broker &broker);

} // namespace flux
