#include "broker/broker.hpp"

#include <unistd.h>

namespace flux {

Broker::Broker(BrokerSetup setup)
    : setup_(std::move(setup)), router_(setup_.topology), logger_(setup_.attributes),
      state_since_(setup_.platform.loop->now()), state_changed_(*setup_.platform.loop),
      id_(setup_.attributes.get_or_set("broker.uuid", setup_.platform.random->uuid())), groups_(*this),
      module_tracer_("module", *setup_.platform.loop), overlay_tracer_("overlay", *setup_.platform.loop),
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
         {"broker", "attr", "event", "service", "module", "log", "state-machine", "shutdown", "groups", "overlay",
          "config"})
        router_.add_service(service, id_);
    auto &attributes = setup_.attributes;
    attributes.set("rank", std::to_string(rank()), Attributes::immutable);
    attributes.set("size", std::to_string(size()), Attributes::immutable);
    attributes.set("security.owner", std::to_string(owner()), Attributes::immutable);
    attributes.set("broker.uuid", std::string(id_.text()), Attributes::immutable);
    attributes.set("broker.pid", std::to_string(getpid()), Attributes::immutable);
    attributes.set("tbon.level", std::to_string(router_.topology().level_of(rank())), Attributes::immutable);
    attributes.set("tbon.maxlevel", std::to_string(router_.topology().max_level()),
                   Attributes::immutable);

    handle_.serve("broker.ping", role::user,
                  Handle::PlainHandler([this](Request &request) { return answer_ping(request); }));
    serve_attributes(*this);
    serve_config(*this);
    serve_events(*this);
    serve_services(*this);
    serve_modules(*this);
    serve_log(*this);
    serve_state(*this);
    groups_.serve();
    module_tracer_.serve(handle_);
    overlay_tracer_.serve(handle_);
}

Broker::~Broker() = default;

Json Broker::reload_config() const
{
    if (!setup_.reload_config)
        throw Error(ENOTSUP, "this broker was started without a configuration file: name one with flux broker "
                             "--config-path, or give the configuration to flux config load");
    return setup_.reload_config();
}

void Broker::log(LogLevel level, std::string_view application, std::string text)
{
    logger_.append(
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
    state_changed_.notify_all();
}

} // namespace flux
