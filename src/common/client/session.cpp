#include "common/client/session.hpp"

#include <cstdlib>

namespace flux {

namespace {

constexpr double flush_seconds = 5; // for requests without response, when a program ends

Task<Message> await_response(Handle &handle, std::string topic, Payload payload, RpcOptions options)
{
    co_return co_await handle.rpc(std::move(topic), std::move(payload), options);
}

} // namespace

Session::~Session()
{
    if (connector_)
        connector_->flush(seconds(flush_seconds));
    handle_.reset(); // its RPCs and streams may still send
}

const std::string &Session::uri()
{
    if (uri_.empty()) {
        const char *from_environment = std::getenv("FLUX_URI");
        if (!from_environment || !*from_environment)
            throw Error(ENOENT, "no instance here: FLUX_URI is not set; start one with flux start");
        uri_ = from_environment;
    }
    return uri_;
}

void Session::connect()
{
    if (handle_)
        return;
    auto connector = std::make_unique<LocalConnector>(loop_, uri());
    auto *transport = connector.get();
    handle_ = std::make_unique<Handle>(loop_, [transport](Message message) { transport->send(message); });
    connector_ = std::move(connector);
    connector_->start([this](Message message) { handle_->receive(std::move(message)); },
                      [this](const Error &error) { handle_->fail_all(error); });
}

void Session::drive(Task<> task, const bool &done)
{
    Gate gate(loop_);
    gate.spawn(std::move(task));
    while (!done)
        loop_.step(true);
}

Message Session::call(std::string topic, Payload payload, RpcOptions options)
{
    return run(await_response(handle(), std::move(topic), std::move(payload), options));
}

Json Session::rpc(std::string topic, Payload payload, RpcOptions options)
{
    return call(std::move(topic), std::move(payload), options).json();
}

std::string Session::attribute(std::string_view name)
{
    auto value = find_attribute(name);
    if (!value)
        throw Error(ENOENT, "the instance has no attribute {}; flux lsattr lists them", name);
    return *value;
}

std::optional<std::string> Session::find_attribute(std::string_view name)
{
    connect(); // that there is no instance is another error
    try {
        return rpc("attr.get", Json {{"name", name}}).get<std::string>("value");
    } catch (const Error &error) {
        if (error.errnum() != ENOENT)
            throw;
        return std::nullopt;
    }
}

uint32_t Session::size()
{
    return uint32_t(std::stoul(attribute("size")));
}

uint32_t Session::rank()
{
    return uint32_t(std::stoul(attribute("rank")));
}

} // namespace flux
