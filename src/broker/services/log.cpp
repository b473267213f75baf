// log.append, log.dmesg, log.clear: log lines (RFC 5424) as payloads of text.
#include "broker/broker.hpp"

namespace flux {

namespace {

Task<> dmesg(Broker &broker, Request request)
{
    request.require_streaming();
    LogRing::Follower log(broker.logger().ring(), *broker.platform().loop);
    if (!request.find<bool>("nobacklog").value_or(false))
        for (auto &line : broker.logger().ring().lines())
            request.respond(Payload::text(line));
    if (!request.find<bool>("follow").value_or(false))
        co_return;
    while (auto line = co_await log.next())
        request.respond(Payload::text(*line));
}

} // namespace

void serve_log(Broker &broker)
{
    auto &handle = broker.handle();
    handle.serve("log.append", role::user, Handle::PlainHandler([&broker](Request &request) -> Json {
                     broker.logger().append(std::string(request.message().payload.string()));
                     return {};
                 }));
    handle.serve("log.clear", role::none, Handle::PlainHandler([&broker](Request &) -> Json {
                     broker.logger().ring().clear();
                     return {};
                 }));
    handle.serve("log.dmesg", role::user, Handle::StreamHandler([&broker](Request request) {
                     return dmesg(broker, std::move(request));
                 }));
}

} // namespace flux
