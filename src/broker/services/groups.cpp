// groups.get: the ranks that are in a group. broker.online holds this broker and the ones below it that are
// connected.
#include "broker/broker.hpp"

namespace flux {

namespace {

Task<> get(Broker &broker, Request request)
{
    if (broker.rank() != 0)
        throw Error(EPROTO, "groups.get goes to rank 0, this is rank {}", broker.rank());
    auto name = request.get<std::string>("name");
    if (name != "broker.online" && name != "broker.torpid")
        throw Error(ENOENT, "there is no group named {}", name);
    auto members = [&] {
        return name == "broker.online" ? broker.online().format() : std::string();
    };
    request.respond(Json {{"members", members()}});
    // A streaming request hears of every change until it is cancelled.
    for (auto last = members(); request.is_streaming();) {
        co_await broker.online_changed().wait();
        if (auto now = members(); now != last)
            request.respond(Json {{"members", last = now}});
    }
}

} // namespace

void serve_groups(Broker &broker)
{
    broker.handle().serve("groups.get", role::user, Handle::StreamHandler([&broker](Request request) {
                              return get(broker, std::move(request));
                          }));
}

} // namespace flux
