// Handle: one party's end of the conversation with a broker. Commands, shells and modules all have one; only the
// transport under it differs (a local socket, a queue inside the broker).
//
//     Message answer = co_await handle.rpc("attr.get", Json {{"name", "size"}});
//     auto value = answer.json().get<std::string>("value");
//
//     auto rows = handle.stream("job-list.list", args);     // a streaming RPC (RFC 6)
//     while (auto row = co_await rows.next())               // nullopt: the normal end, ENODATA
//         ...
//
// A failed RPC throws flux::Error with the errno and text of the response. Everything runs on one loop.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/client/request.hpp"
#include "common/message/message.hpp"
#include "common/runtime/gate.hpp"
#include "common/runtime/loop.hpp"
#include "common/runtime/random.hpp"
#include "common/runtime/sync.hpp"

namespace flux {

class Handle;

struct RpcOptions {
    uint32_t nodeid = nodeid_any;
    uint8_t flags = 0;          // message_flag::upstream (nodeid: the sender's rank), ...
    Duration timeout = Duration::zero(); // zero: none; else ETIMEDOUT
};

namespace handle_detail {

// What waits for responses to one matchtag.
class Pending {
public:
    Pending(Handle &handle, Message request, const RpcOptions &options);
    virtual ~Pending();
    Pending(const Pending &) = delete;
    virtual void deliver(Message response) = 0;
    uint32_t matchtag() const { return matchtag_; }

protected:
    Handle *handle_; // null once the handle is gone
    uint32_t matchtag_;
    Timer timer_;
    friend class flux::Handle;
};

} // namespace handle_detail

// A unary RPC: sent when made, so that several may be under way before the first is awaited. Not movable: keep it where
// it was made (std::list for a group).
class [[nodiscard]] Rpc : handle_detail::Pending {
public:
    Rpc(Handle &handle, Message request, const RpcOptions &options) : Pending(handle, std::move(request), options) {}
    bool await_ready() const noexcept;
    void await_suspend(std::coroutine_handle<> coroutine) { waiter_.suspend(coroutine); }
    Message await_resume();

private:
    void deliver(Message response) override;
    std::optional<Message> response_;
    Waiter waiter_;
};

// A streaming RPC. Destroying it before its end sends the cancel request, if it was given a topic for that.
class Stream {
public:
    Stream(Handle &handle, Message request, const RpcOptions &options, std::string cancel_topic);
    Stream(Stream &&) noexcept;
    Stream &operator=(Stream &&) noexcept;
    ~Stream();
    // The next response; nullopt at the end (ENODATA); throws on any other error.
    Task<std::optional<Message>> next();
    uint32_t matchtag() const;
    // Asks the service to end the stream; what it still sends, next() still returns.
    void cancel();

private:
    struct State;
    std::unique_ptr<State> state_;
};

// Events that match a prefix, from subscription until destroyed.
class EventStream {
public:
    EventStream(Handle &handle, std::string prefix);
    ~EventStream();
    EventStream(const EventStream &) = delete;
    auto next() { return channel_.next(); } // co_await -> std::optional<Message>

private:
    friend class Handle;
    Handle &handle_;
    std::string prefix_;
    Channel<Message> channel_;
};

class Handle {
public:
    using Send = std::function<void(Message)>;
    Handle(Loop &loop, Send send);
    Handle(const Handle &) = delete;
    ~Handle();

    Loop &loop() const { return loop_; }
    Gate &gate() { return gate_; } // request handlers run here
    // Runs fn from the top of the loop, unless this handle is gone by then.
    void post(Callback fn) { loop_.post(while_alive(std::move(fn))); }
    void post_background(Callback fn) { loop_.post_background(while_alive(std::move(fn))); }

    // --- as a client
    Rpc rpc(std::string topic, Payload payload = {}, RpcOptions options = {});
    Stream stream(std::string topic, Payload payload = {}, RpcOptions options = {}, std::string cancel_topic = {});
    // A request without response (RFC 3: noresponse).
    void notify(std::string topic, Payload payload = {}, RpcOptions options = {});
    // An event, sequenced and distributed by rank 0.
    void publish(std::string topic, Payload payload = {});
    // Events whose topic starts with prefix. The broker is told on the first, and forgets on the last, of a prefix.
    std::unique_ptr<EventStream> subscribe(std::string prefix);
    // The same with a function, for the life of the handle.
    void on_event(std::string prefix, std::function<void(const Message &)> fn);

    // --- as a service: requests whose topic is `topic` (exactly), from senders that have one of `roles`; the owner
    // always may. Others get EPERM. A handler is one of
    //     Task<Json>(Request)   the value returned is the response's payload
    //     Task<>(Request)       responds itself, any number of times; when it returns, a streaming request gets ENODATA,
    //                           an unanswered one an empty response
    //     Json(Request &)       answered at once, no coroutine
    //     void(Request)         kept by the handler, which answers when it likes
    // An Error that escapes becomes the error response. "SERVICE.cancel" and "SERVICE.METHOD-cancel" {"matchtag"} and
    // "SERVICE.disconnect" end the coroutine handlers that they name by themselves.
    using CoroutineHandler = std::function<Task<Json>(Request)>;
    using StreamHandler = std::function<Task<>(Request)>;
    using PlainHandler = std::function<Json(Request &)>;
    using KeepingHandler = std::function<void(Request)>;
    void serve(std::string topic, uint32_t roles, CoroutineHandler handler);
    void serve(std::string topic, uint32_t roles, StreamHandler handler);
    void serve(std::string topic, uint32_t roles, PlainHandler handler);
    void serve(std::string topic, uint32_t roles, KeepingHandler handler);
    // Requests of services that come and go (a job's shell), for whose topics no handler is served.
    void serve_rest(uint32_t roles, KeepingHandler handler);
    // Called with the sender's identity when a client that used one of our services is gone.
    void on_disconnect(std::function<void(const RouteId &)> fn) { disconnect_hooks_.push_back(std::move(fn)); }
    // Called with the sender and matchtag of a cancel request that no running coroutine handler matches.
    void on_cancel(std::function<void(const RouteId &, uint32_t matchtag)> fn) { cancel_hooks_.push_back(std::move(fn)); }

    // --- the transport's side
    void receive(Message message);
    void send(Message message) { send_(std::move(message)); }
    // The connection is gone: every RPC under way, and every later one, fails with this error.
    void fail_all(const Error &error);

private:
    friend class handle_detail::Pending;
    friend class Rpc;
    friend class Stream;
    friend class EventStream;
    friend class Request;
    struct Service {
        uint32_t roles;
        std::variant<CoroutineHandler, StreamHandler, PlainHandler, KeepingHandler> handler;
    };
    struct Running {
        RouteId sender;
        std::string service;
        std::weak_ptr<Request::State> request;
        Gate::TaskId task = 0;
    };
    void dispatch_request(Message message);
    void dispatch_event(const Message &message);
    void start_handler(Request request, Service &service);
    void cancel_handlers(const Message &message, bool disconnect);
    Task<> run_coroutine(CoroutineHandler &handler, Request request, uint64_t running_id);
    Task<> run_stream(StreamHandler &handler, Request request, uint64_t running_id);
    void subscription_changed(const std::string &prefix, bool added);

    Callback while_alive(Callback fn)
    {
        return [self = self_, fn = std::move(fn)]() mutable {
            if (*self)
                fn();
        };
    }

    Loop &loop_;
    Send send_;
    uint32_t next_matchtag_ = 1;
    std::unordered_map<uint32_t, handle_detail::Pending *> pending_;
    std::optional<Error> failed_;
    std::map<std::string, std::shared_ptr<Service>, std::less<>> services_;
    std::shared_ptr<Service> rest_;
    std::map<uint64_t, Running> running_;
    uint64_t next_running_ = 1;
    std::vector<EventStream *> event_streams_;
    std::vector<std::pair<std::string, std::function<void(const Message &)>>> event_hooks_;
    std::map<std::string, int> subscriptions_;
    std::vector<std::function<void(const RouteId &)>> disconnect_hooks_;
    std::vector<std::function<void(const RouteId &, uint32_t)>> cancel_hooks_;
    std::shared_ptr<Handle *> self_; // requests find out through it that their handle is gone
    Gate gate_;
};

} // namespace flux
