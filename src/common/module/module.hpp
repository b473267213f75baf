// Module: an actor. One class, one mailbox, no mutable globals; it sees the world only through its Context. Where it
// runs (a thread of its own or one shared with others) is the module host's business.
//
//     class Barrier : public Module {
//     public:
//         explicit Barrier(Context &ctx) : Module(ctx) { serve("enter", role::any, &Barrier::enter); }
//     private:
//         Task<Json> enter(Request request);
//     };
//     FLUX_MODULE(barrier, "barrier", Barrier)
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "common/client/handle.hpp"
#include "common/runtime/spawner.hpp"
#include "common/runtime/store.hpp"

namespace flux {

// syslog severities (RFC 5424)
enum class LogLevel { emerg, alert, crit, err, warning, notice, info, debug };

// The outside world, as six interfaces (Link is the overlay's own). Simulation replaces all of them.
struct Platform {
    Loop *loop = nullptr;
    Random *random = nullptr;
    Spawner *spawner = nullptr;
    StoreFactory *stores = nullptr;
};

// What a module sees of its broker.
class Context {
public:
    virtual ~Context() = default;
    virtual Handle &handle() = 0;
    virtual const Platform &platform() const = 0;
    virtual const std::string &name() const = 0; // the name it was loaded under: its default service
    virtual const std::vector<std::string> &arguments() const = 0;
    virtual uint32_t rank() const = 0;
    virtual uint32_t size() const = 0;
    // A broker attribute (flux-broker-attributes(7)), nullopt when it is not set.
    virtual std::optional<std::string> attribute(std::string_view name) const = 0;
    virtual const Json &config() const = 0; // the instance's configuration as one object
    // What flux module debug has set: what the bits mean is the module's own.
    virtual uint32_t debug_flags() const { return 0; }
    virtual void log(LogLevel level, std::string text) = 0;
};

class Module {
public:
    explicit Module(Context &context);
    virtual ~Module() = default;
    Module(const Module &) = delete;

    // Runs first; requests are queued until it returns. A throw fails the loading with that error.
    virtual Task<> start();
    // Runs before the module is unloaded, while its RPCs still work. What it leaves running is cancelled.
    virtual Task<> stop();
    // The configuration is another one now ("NAME.config-reload"): takes over of it what can change while the module runs.
    // A throw refuses it, and context().config() is again what it was. What is read from it anew each time needs no code.
    virtual void config_changed() {}
    // "NAME.stats-get": an object with what this module counts.
    virtual Json stats() const;

protected:
    Context &context() const { return context_; }
    Handle &handle() const { return context_.handle(); }
    Loop &loop() const { return *context_.platform().loop; }
    Random &random() const { return *context_.platform().random; }
    double wall_time() const { return loop().clock().wall_time(); }
    uint32_t rank() const { return context_.rank(); }
    uint32_t size() const { return context_.size(); }

    Rpc rpc(std::string topic, Payload payload = {}, RpcOptions options = {})
    {
        return handle().rpc(std::move(topic), std::move(payload), options);
    }
    // The same service one step nearer to the root (RFC 3: upstream).
    Rpc upstream(std::string topic, Payload payload = {})
    {
        return handle().rpc(std::move(topic), std::move(payload), {.nodeid = rank(), .flags = message_flag::upstream});
    }
    // Starts a task that lives at most as long as the module; an Error that escapes it is logged.
    void spawn(Task<> task) { handle().gate().spawn(std::move(task)); }
    // Runs fn from the top of the loop, if the module is still there.
    void post(Callback fn) { handle().post(std::move(fn)); }
    template <class... Args>
    void log(LogLevel level, fmt::format_string<Args...> format, Args &&...args)
    {
        context_.log(level, fmt::format(format, std::forward<Args>(args)...));
    }

    // Serves "NAME.method" with a member function of any form that Handle::serve takes.
    template <class M, class Result>
    void serve(std::string_view method, uint32_t roles, Result (M::*member)(Request))
    {
        serve_topic(context_.name() + "." + std::string(method), roles, member);
    }
    template <class M>
    void serve(std::string_view method, uint32_t roles, Json (M::*member)(Request &))
    {
        serve_topic(context_.name() + "." + std::string(method), roles, member);
    }
    // The same under a whole topic, for services beside the default one (announce those with add_service).
    template <class M, class Result>
    void serve_topic(std::string topic, uint32_t roles, Result (M::*member)(Request))
    {
        auto self = static_cast<M *>(this);
        handle().serve(std::move(topic), roles,
                       std::function<Result(Request)>([self, member](Request r) { return (self->*member)(std::move(r)); }));
    }
    template <class M>
    void serve_topic(std::string topic, uint32_t roles, Json (M::*member)(Request &))
    {
        auto self = static_cast<M *>(this);
        handle().serve(std::move(topic), roles,
                       std::function<Json(Request &)>([self, member](Request &r) { return (self->*member)(r); }));
    }
    // Registers a further service name with the broker (EEXIST when it is taken).
    Task<> add_service(std::string name);

private:
    Context &context_;
};

using ModuleFactory = std::unique_ptr<Module> (*)(Context &);

struct ModuleInfo {
    const char *name;
    ModuleFactory make;
};

// All modules linked into this process or loaded from a NAME.so so far, by name.
void register_module(const ModuleInfo &info);
const ModuleInfo *find_module(std::string_view name);

} // namespace flux

#define FLUX_MODULE(identifier, module_name, Class)                                                               \
    static const ::flux::ModuleInfo flux_module_##identifier = {                                                  \
        module_name, [](::flux::Context &context) -> std::unique_ptr<::flux::Module> {                            \
            return std::make_unique<Class>(context);                                                              \
        }};                                                                                                       \
    [[maybe_unused]] static const bool flux_module_registered_##identifier = [] {                                 \
        ::flux::register_module(flux_module_##identifier);                                                        \
        return true;                                                                                              \
    }();
