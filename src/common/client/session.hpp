// Session: a command's conversation with an instance, one thing after the other. It connects when first used.
//
//     Session flux;                                          // the instance of FLUX_URI
//     auto size = flux.attribute("size");
//     Json root = flux.rpc("kvs.getroot", Json {{"namespace", "primary"}});
//     flux.run(follow(flux.handle(), id));                   // a Task: the loop runs until it is done
//
// Everything throws flux::Error.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "common/client/handle.hpp"
#include "common/client/local_connector.hpp"
#include "common/runtime/ev_loop.hpp"
#include "common/runtime/gate.hpp"

namespace flux {

class Session {
public:
    Session() = default; // FLUX_URI, when first used
    explicit Session(std::string uri) : uri_(std::move(uri)) {}
    ~Session();

    EvLoop &loop() { return loop_; }
    Handle &handle() // connects
    {
        connect();
        return *handle_;
    }
    // ENOENT with the way out when there is no FLUX_URI, else as LocalConnector.
    void connect();
    const std::string &uri(); // ENOENT as above

    template <class T>
    T run(Task<T> task);

    Message call(std::string topic, Payload payload = {}, RpcOptions options = {});
    // The response's object, or absent when it has no payload.
    Json rpc(std::string topic, Payload payload = {}, RpcOptions options = {});
    std::string attribute(std::string_view name);                     // ENOENT when there is none
    std::optional<std::string> find_attribute(std::string_view name); // nullopt when there is none
    uint32_t size();
    uint32_t rank();

private:
    void drive(Task<> task, const bool &done);

    EvLoop loop_;
    std::string uri_;
    std::unique_ptr<LocalConnector> connector_;
    std::unique_ptr<Handle> handle_;
};

namespace session_detail {

template <class T>
struct Outcome {
    bool done = false;
    std::exception_ptr exception;
    std::optional<T> value;
};

template <>
struct Outcome<void> {
    bool done = false;
    std::exception_ptr exception;
};

template <class T>
Task<> settle(Task<T> task, Outcome<T> &outcome)
{
    try {
        if constexpr (std::is_void_v<T>)
            co_await task;
        else
            outcome.value.emplace(co_await task);
    } catch (...) {
        outcome.exception = std::current_exception();
    }
    outcome.done = true;
}

} // namespace session_detail

template <class T>
T Session::run(Task<T> task)
{
    session_detail::Outcome<T> outcome;
    drive(session_detail::settle(std::move(task), outcome), outcome.done);
    if (outcome.exception)
        std::rethrow_exception(outcome.exception);
    if constexpr (!std::is_void_v<T>)
        return std::move(*outcome.value);
}

} // namespace flux
