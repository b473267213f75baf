#include "broker/broker.hpp"

#include <unistd.h>

namespace flux {

namespace {

constexpr size_t default_log_ring_size = 1024; // lines

size_t log_ring_size(const Attributes &attributes)
{
    auto text = attributes.get("log-ring-size");
    size_t size = default_log_ring_size;
    if (text) {
        auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), size);
        if (error != std::errc() || end != text->data() + text->size())
            throw Error(EINVAL, "attribute log-ring-size is \"{}\": a number of lines was expected", *text);
    }
    return size;
}

} // namespace

Broker::Broker(BrokerSetup setup)
    : setup_(std::move(setup)), router_(setup_.topology), log_ring_(log_ring_size(setup_.attributes)),
      state_since_(setup_.platform.loop->now()), online_changed_(*setup_.platform.loop),
      id_(setup_.platform.random->uuid()),
      handle_(*setup_.platform.loop,
              [this](Message message) {
                  if (message.credentials.rolemask == role::none)
                      message.credentials = {owner(), role::owner | role::local};
                  router_.receive(id_, std::move(message));
              }),
      modules_(*this)
{
    router_.add_peer({id_, PeerKind::module, [this](Message message) {
                          handle_.post([this, message = std::move(message)]() mutable {
                              handle_.receive(std::move(message));
                          });
                      }});
    for (auto *service :
         {"broker", "attr", "event", "service", "module", "log", "state-machine", "shutdown", "groups"})
        router_.add_service(service, id_);
    online_.add(rank());
    auto &attributes = setup_.attributes;
    attributes.set("rank", std::to_string(rank()), Attributes::immutable);
    attributes.set("size", std::to_string(size()), Attributes::immutable);
    attributes.set("security.owner", std::to_string(owner()), Attributes::immutable);
    attributes.set("broker.uuid", std::string(id_.text()), Attributes::immutable);
    attributes.set("broker.pid", std::to_string(getpid()), Attributes::immutable);
    attributes.set("tbon.level", std::to_string(router_.topology().level_of(rank())), Attributes::immutable);
    attributes.set("tbon.maxlevel", std::to_string(router_.topology().level_of(size() - 1)),
                   Attributes::immutable);

    handle_.serve("broker.ping", role::user,
                  Handle::PlainHandler([this](Request &request) { return answer_ping(request); }));
    serve_attributes(*this);
    serve_events(*this);
    serve_services(*this);
    serve_modules(*this);
    serve_log(*this);
    serve_state(*this);
    serve_groups(*this);
}

Broker::~Broker() = default;

void Broker::log(LogLevel level, std::string_view application, std::string text)
{
    log_ring_.append(
        LogRing::format(level, platform().loop->clock().wall_time(), rank(), application, getpid(), text));
}

Json Broker::answer_ping(const Request &request) const
{
    constexpr size_t shown = 8; // characters of each identity
    Json answer = request.json() ? request.json().shallow_copy() : Json::object();
    std::string route;
    for (auto &hop : request.message().route)
        route += fmt::format("{}{}", route.empty() ? "" : "!", hop.text().substr(0, shown));
    answer.set("route", route + "!" + std::string(id_.text().substr(0, shown)));
    answer.set("userid", request.credentials().userid);
    answer.set("rolemask", request.credentials().rolemask);
    answer.set("rank", rank());
    return answer;
}

void Broker::enter_state(std::string state)
{
    state_ = std::move(state);
    state_since_ = platform().loop->now();
    log(LogLevel::debug, "broker", "state " + state_);
}

} // namespace flux
