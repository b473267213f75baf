// service.add, service.remove: a module or a client serves a name on this broker. service.watch tells whether
// there is such a service, now and whenever that changes.
#include "broker/broker.hpp"

namespace flux {

namespace {

// Others than the owner may only serve names that carry their own user id ("1000-shell-...").
void check_service_name(const Request &request, const std::string &name)
{
    if (name.empty() || name.contains('.'))
        throw Error(EINVAL, "\"{}\" is not a service name: it must be non-empty and have no period", name);
    if (!request.credentials().is_owner() &&
        !name.starts_with(fmt::format("{}-", request.credentials().userid)))
        throw Error(EPERM, "service {}: a guest's service name starts with its user id and a dash", name);
}

struct ServiceWatcher {
    ServiceWatcher(std::string name, Loop &loop) : name(std::move(name)), changes(loop) {}
    std::string name;
    Channel<bool> changes;
};
using ServiceWatchers = std::list<ServiceWatcher>;

// {"service"} -> {"there"}, again after each change. Whoever conversed with a service that goes hears the end
// of that conversation first.
Task<> watch_service(Broker &broker, std::shared_ptr<ServiceWatchers> watchers, Request request)
{
    struct Forget {
        ServiceWatchers &watchers;
        ServiceWatchers::iterator at;
        ~Forget() { watchers.erase(at); }
    };
    request.require_streaming();
    auto name = request.get<std::string>("service");
    Forget watcher {*watchers, watchers->emplace(watchers->end(), name, broker.handle().loop())};
    Json now {{"there", broker.router().has_service(name)}};
    request.respond(now);
    while (auto there = co_await watcher.at->changes.next()) {
        Json changed {{"there", *there}};
        request.respond(changed);
    }
}

} // namespace

void serve_services(Broker &broker)
{
    auto &handle = broker.handle();
    auto watchers = std::make_shared<ServiceWatchers>();
    broker.router().on_service([watchers](const std::string &name, bool there) {
        for (auto &watcher : *watchers)
            if (watcher.name == name)
                watcher.changes.push(there);
    });
    handle.serve("service.watch", role::none, Handle::StreamHandler([&broker, watchers](Request request) {
                     return watch_service(broker, watchers, std::move(request));
                 }));
    handle.serve("service.add", role::user, Handle::PlainHandler([&broker](Request &request) -> Json {
                     auto name = request.get<std::string>("service");
                     check_service_name(request, name);
                     broker.router().add_service(name, request.sender());
                     return {};
                 }));
    handle.serve("service.remove", role::user, Handle::PlainHandler([&broker](Request &request) -> Json {
                     broker.router().remove_service(request.get<std::string>("service"), request.sender());
                     return {};
                 }));
}

} // namespace flux
