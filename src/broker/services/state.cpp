// state-machine.get: the life cycle's state and its age in seconds. shutdown.start: end the instance.
#include "broker/broker.hpp"

namespace flux {

void serve_state(Broker &broker)
{
    auto &handle = broker.handle();
    handle.serve("state-machine.get", role::user, Handle::PlainHandler([&broker](Request &) -> Json {
                     auto age = broker.platform().loop->now() - broker.state_since();
                     return Json {{"state", broker.state()}, {"duration", to_seconds(age)}};
                 }));
    handle.serve("shutdown.start", role::none, Handle::PlainHandler([&broker](Request &) -> Json {
                     if (broker.rank() != 0)
                         throw Error(EINVAL, "shutdown.start goes to rank 0, this is rank {}", broker.rank());
                     if (broker.on_shutdown_request)
                         broker.on_shutdown_request();
                     return {};
                 }));
}

} // namespace flux
