// state-machine.get: the life cycle's state and its age in seconds. state-machine.monitor: every state from now on.
// state-machine.wait: answered in state run. shutdown.start: end the instance.
#include "broker/broker.hpp"

namespace flux {

namespace {

constexpr int severity_info = 6; // what flux shutdown shows of the log by default (RFC 5424 severity)

Task<> monitor(Broker &broker, Request request)
{
    request.require_streaming();
    std::string last;
    for (;;) {
        if (broker.state() != last) {
            last = broker.state();
            request.respond(Json {{"state", last}});
        }
        co_await broker.state_changed().wait();
    }
}

Task<Json> wait_for_run(Broker &broker, Request request)
{
    while (broker.state() != "run") {
        for (auto over : {"cleanup", "shutdown", "finalize"})
            if (broker.state() == over)
                throw Error(EINVAL, "this broker is past state run: it is in state {}", broker.state());
        co_await broker.state_changed().wait();
    }
    co_return Json();
}

// Streams the log to its end.
Task<> start_shutdown(Broker &broker, Request request)
{
    if (broker.rank() != 0)
        throw Error(EINVAL, "shutdown.start goes to rank 0, this is rank {}", broker.rank());
    if (broker.state() != "run")
        throw Error(EINVAL, "the instance is in state {}: only one in state run can be shut down", broker.state());
    int loglevel = request.json() ? request.json().value("loglevel", severity_info) : severity_info;
    if (broker.on_shutdown_request)
        broker.on_shutdown_request();
    if (!request.is_streaming())
        co_return;
    LogRing::Follower log(broker.logger().ring(), *broker.platform().loop);
    while (auto line = co_await log.next())
        if (auto parts = LogRing::parse(*line); parts && parts->severity <= loglevel)
            request.respond(Json {{"log", fmt::format("{}[{}]: {}", parts->application, parts->rank, parts->text)}});
}

} // namespace

void serve_state(Broker &broker)
{
    auto &handle = broker.handle();
    handle.serve("state-machine.get", role::user, Handle::PlainHandler([&broker](Request &) -> Json {
                     auto age = broker.platform().loop->now() - broker.state_since();
                     return Json {{"state", broker.state()}, {"duration", to_seconds(age)}};
                 }));
    handle.serve("state-machine.monitor", role::user, Handle::StreamHandler([&broker](Request request) {
                     return monitor(broker, std::move(request));
                 }));
    handle.serve("state-machine.wait", role::user, Handle::CoroutineHandler([&broker](Request request) {
                     return wait_for_run(broker, std::move(request));
                 }));
    handle.serve("shutdown.start", role::none, Handle::StreamHandler([&broker](Request request) {
                     return start_shutdown(broker, std::move(request));
                 }));
}

} // namespace flux
