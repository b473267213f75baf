// service.add, service.remove: a module or a client serves a name on this broker.
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

} // namespace

void serve_services(Broker &broker)
{
    auto &handle = broker.handle();
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
