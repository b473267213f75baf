// log.append, log.dmesg, log.clear: the log ring (RFC 5424 lines as raw payloads).
#include "broker/broker.hpp"

namespace flux {

namespace {

constexpr size_t max_log_line = 4096; // bytes; longer ones are cut

struct Follow {
    LogRing &ring;
    LogRing::FollowerId id;
    ~Follow() { ring.unfollow(id); }
};

Task<> dmesg(Broker &broker, Request request)
{
    request.require_streaming();
    if (!request.find<bool>("nobacklog").value_or(false))
        for (auto &line : broker.log_ring().lines())
            request.respond(Payload::raw(line));
    if (!request.find<bool>("follow").value_or(false))
        co_return;
    Channel<std::string> lines(*broker.platform().loop);
    Follow follow {broker.log_ring(),
                   broker.log_ring().follow([&lines](const std::string &line) { lines.push(line); })};
    while (auto line = co_await lines.next())
        request.respond(Payload::raw(*line));
}

} // namespace

void serve_log(Broker &broker)
{
    auto &handle = broker.handle();
    handle.serve("log.append", role::user, Handle::PlainHandler([&broker](Request &request) -> Json {
                     broker.log_ring().append(
                         std::string(request.message().payload.string().substr(0, max_log_line)));
                     return {};
                 }));
    handle.serve("log.clear", role::none, Handle::PlainHandler([&broker](Request &) -> Json {
                     broker.log_ring().clear();
                     return {};
                 }));
    handle.serve("log.dmesg", role::user, Handle::StreamHandler([&broker](Request request) {
                     return dmesg(broker, std::move(request));
                 }));
}

} // namespace flux
