// config.get: the configuration that this broker runs with, as one object.
#include "broker/broker.hpp"

namespace flux {

void serve_config(Broker &broker)
{
    broker.handle().serve("config.get", role::user,
                          Handle::PlainHandler([&broker](Request &) -> Json { return broker.config(); }));
}

} // namespace flux
