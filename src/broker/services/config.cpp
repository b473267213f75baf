// The configuration that this broker runs with, as one object. config.get shows it. On rank 0 config.load
// replaces it and config.reload reads it again from its files: the modules are asked one after the other
// ("MODULE.config-reload"), and it holds when all have taken it. The other brokers hear of it by an event,
// those that join later from their parents.
#include "broker/broker.hpp"

namespace flux {

namespace {

constexpr const char *changed_event = "config.changed"; // its payload is the configuration

std::vector<std::string> running_modules(Broker &broker)
{
    std::vector<std::string> out;
    for (auto module : broker.modules().list().elements())
        if (module.get<int>("status") > 0)
            out.push_back(module.get<std::string>("name"));
    return out;
}

Task<std::optional<Error>> tell(Broker &broker, std::string module, Json config)
{
    std::optional<Error> refusal;
    try {
        co_await broker.handle().rpc(module + ".config-reload", config, {.nodeid = broker.rank()});
    } catch (const Error &error) {
        if (error.errnum() != ENOSYS) // unloaded meanwhile
            refusal = error;
    }
    co_return refusal;
}

// All or nothing: when one refuses, those that were told before it are told what was.
Task<> change(Broker &broker, Json config)
{
    Json before = broker.config();
    if (config == before)
        co_return;
    broker.set_config(config);
    std::vector<std::string> told;
    for (auto &module : running_modules(broker)) {
        auto refusal = co_await tell(broker, module, config);
        if (!refusal) {
            told.push_back(module);
            continue;
        }
        broker.set_config(before);
        for (auto &other : told)
            co_await tell(broker, other, before);
        throw Error(refusal->errnum(), "module {} does not take the configuration: {}", module,
                    refusal->text());
    }
}

void require_root(Broker &broker, const Request &request)
{
    if (broker.rank() != 0)
        throw Error(EINVAL, "{} goes to rank 0, this is rank {}", request.message().topic, broker.rank());
}

// One change after the other.
struct Turn {
    bool &taken;
    explicit Turn(bool &flag) : taken(flag)
    {
        if (std::exchange(taken, true))
            throw Error(EBUSY, "the configuration is being changed by somebody else: try again");
    }
    Turn(const Turn &) = delete;
    ~Turn() { taken = false; }
};

Task<Json> replace(Broker &broker, std::shared_ptr<bool> taken, Request request, Json config)
{
    Turn turn(*taken);
    if (!config.is_object())
        throw Error(EPROTO, "{}: an object was expected, not {}", request.message().topic,
                    config.type_name());
    co_await change(broker, config);
    broker.handle().publish(changed_event, config);
    co_return Json();
}

// What the root told last, on another broker.
struct News {
    std::optional<Json> next;
    bool running = false;
};

Task<> follow(Broker &broker, std::shared_ptr<News> news)
{
    while (auto config = std::exchange(news->next, std::nullopt)) {
        std::optional<Error> failure;
        try {
            co_await change(broker, *config);
        } catch (const Error &error) {
            failure = error;
        }
        if (failure)
            broker.log(LogLevel::err, "config", failure->text());
    }
    news->running = false;
}

} // namespace

void serve_config(Broker &broker)
{
    auto &handle = broker.handle();
    auto taken = std::make_shared<bool>(false);
    handle.serve("config.get", role::user,
                 Handle::PlainHandler([&broker](Request &) -> Json { return broker.config(); }));
    handle.serve("config.load", role::owner, Handle::CoroutineHandler([&broker, taken](Request request) {
                     require_root(broker, request);
                     Json config = request.json();
                     return replace(broker, taken, std::move(request), config);
                 }));
    handle.serve("config.reload", role::owner, Handle::CoroutineHandler([&broker, taken](Request request) {
                     require_root(broker, request);
                     return replace(broker, taken, std::move(request), broker.reload_config());
                 }));
    if (broker.rank() != 0)
        handle.on_event(changed_event, [&broker, news = std::make_shared<News>()](const Message &event) {
            if (!event.credentials.is_owner() || event.topic != changed_event)
                return; // anybody may publish
            news->next = event.json();
            if (!std::exchange(news->running, true))
                broker.handle().gate().spawn(follow(broker, news));
        });
}

} // namespace flux
