// event.subscribe, event.unsubscribe: who hears what. event.publish: an event through rank 0, answered with
// its sequence.
#include "broker/broker.hpp"
#include "common/base/encoding.hpp"
#include "common/message/codec.hpp"

namespace flux {

namespace {

Message published_event(const Request &request)
{
    auto event = Message::event(request.get<std::string>("topic"));
    if (event.topic.empty())
        throw Error(EPROTO, "event.publish: the topic is empty");
    require_encodable(event);
    event.flags = uint8_t(request.find<int>("flags").value_or(0)) & message_flag::private_;
    event.credentials = request.credentials();
    event.route.push_back(request.sender()); // of an event, the route names its publisher
    if (auto payload = request.find<std::string>("payload"))
        event.payload = Payload::raw(value_or_throw(base64_decode(*payload)));
    return event;
}

Task<Json> publish(Broker &broker, Request request)
{
    if (broker.rank() == 0)
        co_return Json::make("seq", broker.router().publish_at_root(published_event(request)));
    Message copy = Message::request(request.message().topic, request.message().payload);
    copy.credentials = request.credentials(); // it stays the sender's
    RpcOptions to_root {.nodeid = 0};
    Message answer = co_await Rpc(broker.handle(), std::move(copy), to_root);
    co_return answer.json();
}

} // namespace

void serve_events(Broker &broker)
{
    auto &handle = broker.handle();
    handle.serve("event.subscribe", role::user, Handle::PlainHandler([&broker](Request &request) -> Json {
                     broker.router().subscribe(request.sender(), request.get<std::string>("topic"));
                     return {};
                 }));
    handle.serve("event.unsubscribe", role::user, Handle::PlainHandler([&broker](Request &request) -> Json {
                     broker.router().unsubscribe(request.sender(), request.get<std::string>("topic"));
                     return {};
                 }));
    handle.serve("event.publish", role::user, Handle::CoroutineHandler([&broker](Request request) {
                     return publish(broker, std::move(request));
                 }));
}

} // namespace flux
