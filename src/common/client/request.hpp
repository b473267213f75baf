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
    Request(Request &&other) noexcept;
    Request &operator=(Request &&other) noexcept;
    ~Request();

    const Message &message() const { return message_; }
    const Json &json() const { return message_.json(); } // absent when there is no payload
    template <class T>
    T get(std::string_view key) const // EPROTO when the payload or the key is missing or wrong
    {
        if (!json())
            throw Error(EPROTO, "{}: the request has no payload", message_.topic);
        return json().get<T>(key);
    }
    template <class T>
    std::optional<T> find(std::string_view key) const
    {
        return json() ? json().find<T>(key) : std::nullopt;
    }
    const Credentials &credentials() const { return message_.credentials; }
    RouteId sender() const { return message_.sender(); }
    bool is_streaming() const { return message_.has(message_flag::streaming); }
    // EPROTO unless the request announced that it takes many responses (RFC 6).
    void require_streaming() const;

    void respond(Payload payload = {}); // a streaming request stays open for more
    void fail(const Error &error);      // ends it
    void finish();                      // ENODATA for a streaming request, else an empty response if none was sent
    bool answered() const { return answered_; }

private:
    void send(Message message);
    std::shared_ptr<Handle *> handle_;
    Message message_;
    bool answered_ = false;
};

} // namespace flux
