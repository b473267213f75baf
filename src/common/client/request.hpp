// Request: a request that a service has received, and the duty to answer it. Movable, not copyable; one that is dropped
// unanswered answers ECANCELED by itself, so that nobody waits forever.
#pragma once
#include <memory>

#include "common/message/message.hpp"

namespace flux {

class Handle;

class Request {
public:
    Request(std::shared_ptr<Handle *> handle, Message message);
    Request(Request &&) noexcept = default;
    Request &operator=(Request &&) noexcept = default;

    const Message &message() const { return state_->message; }
    const Json &json() const { return state_->message.json(); } // absent when there is no payload
    template <class T>
    T get(std::string_view key) const // EPROTO when the payload or the key is missing or wrong
    {
        if (!json())
            throw Error(EPROTO, "{}: the request has no payload", message().topic);
        return json().get<T>(key);
    }
    template <class T>
    std::optional<T> find(std::string_view key) const
    {
        return json() ? json().find<T>(key) : std::nullopt;
    }
    const Credentials &credentials() const { return message().credentials; }
    RouteId sender() const { return message().sender(); }
    bool is_streaming() const { return message().has(message_flag::streaming); }
    // EPROTO unless the request announced that it takes many responses (RFC 6).
    void require_streaming() const;

    void respond(Payload payload = {}); // a streaming request stays open for more
    void fail(const Error &error);      // ends it
    void finish();                      // ENODATA for a streaming request, else an empty response; nothing if ended
    bool ended() const { return state_->ended; }

private:
    friend class Handle;
    struct State {
        std::shared_ptr<Handle *> handle; // null behind it once the handle is gone
        Message message;
        bool ended = false;
        bool cancelled = false; // by the client: its stream then ends normally
        ~State();
        void send(Message response);
    };
    Request share() const { return Request(state_); }
    explicit Request(std::shared_ptr<State> state) : state_(std::move(state)) {}
    std::shared_ptr<State> state_;
};

} // namespace flux
