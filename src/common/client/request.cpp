#include "common/client/request.hpp"

#include "common/client/handle.hpp"

namespace flux {

Request::Request(std::shared_ptr<Handle *> handle, Message message) : state_(std::make_shared<State>())
{
    state_->handle = std::move(handle);
    state_->ended = !message.wants_response();
    state_->message = std::move(message);
}

Request::State::~State()
{
    if (!ended)
        send(Message::error_response_to(
            message, Error(message.has(message_flag::streaming) && cancelled ? ENODATA : ECANCELED)));
}

void Request::State::send(Message response)
{
    if (*handle)
        (*handle)->send(std::move(response));
}

void Request::require_streaming() const
{
    if (!is_streaming())
        throw Error(EPROTO, "{}: the request must set the streaming flag", message().topic);
}

void Request::respond(Payload payload)
{
    if (state_->ended)
        return;
    state_->ended = !is_streaming();
    state_->send(Message::response_to(message(), std::move(payload)));
}

void Request::fail(const Error &error)
{
    if (std::exchange(state_->ended, true))
        return;
    state_->send(Message::error_response_to(message(), error));
}

void Request::finish()
{
    if (is_streaming())
        fail(Error(ENODATA));
    else
        respond();
}

} // namespace flux
