#include "common/message/message.hpp"

#include <atomic>

namespace flux {

RouteId::RouteId(std::string_view text)
{
    if (text.empty() || text.size() > max_length)
        throw Error(EPROTO, "a route identity has {} bytes, allowed are 1 to {}", text.size(), max_length);
    length_ = uint8_t(text.size());
    std::copy(text.begin(), text.end(), text_.begin());
}

// Modules of one broker may live on several threads: the lazily made half is made by the first that asks, the
// others wait for it. (std::call_once makes a system call each time.)
struct Payload::Body {
    mutable std::string bytes;
    mutable Json json;
    bool made_of_json = false;
    enum State : uint32_t { half, filling, whole };
    mutable std::atomic<uint32_t> state = half;

    void fill() const
    {
        uint32_t found = state.load(std::memory_order_acquire);
        if (found == whole)
            return;
        if (found == half && state.compare_exchange_strong(found, filling, std::memory_order_acquire)) {
            make_other_half();
            state.store(whole, std::memory_order_release);
            state.notify_all();
            return;
        }
        while (state.load(std::memory_order_acquire) != whole)
            state.wait(filling, std::memory_order_acquire);
    }
    void make_other_half() const
    {
        if (made_of_json) {
            bytes = json.dump();
            bytes += '\0';
            return;
        }
        std::string_view text = bytes;
        if (text.ends_with('\0'))
            text.remove_suffix(1);
        auto parsed = Json::parse(text);
        if (parsed && parsed->is_object())
            json = std::move(*parsed);
    }
};

Payload::Payload(Json json)
{
    if (!json)
        return;
    auto body = std::make_shared<Body>();
    body->json = std::move(json);
    body->made_of_json = true;
    body_ = std::move(body);
}

Payload Payload::raw(std::string bytes)
{
    Payload payload;
    auto body = std::make_shared<Body>();
    body->bytes = std::move(bytes);
    payload.body_ = std::move(body);
    return payload;
}

Payload Payload::text(std::string_view text)
{
    std::string bytes(text);
    bytes += '\0';
    return raw(std::move(bytes));
}

std::string_view Payload::bytes() const
{
    if (!body_)
        return {};
    if (body_->made_of_json)
        body_->fill();
    return body_->bytes;
}

std::string_view Payload::string() const
{
    auto all = bytes();
    if (all.ends_with('\0'))
        all.remove_suffix(1);
    return all;
}

const Json &Payload::json() const
{
    static const Json absent;
    if (!body_)
        return absent;
    if (!body_->made_of_json) {
        body_->fill();
        if (!body_->json)
            throw Error(EPROTO, "the payload is not a JSON object");
    }
    return body_->json;
}

bool Payload::is_parsed() const
{
    return body_ && body_->made_of_json;
}

Message Message::request(std::string topic, Payload payload, uint32_t nodeid)
{
    Message message;
    message.type = MessageType::request;
    message.topic = std::move(topic);
    message.payload = std::move(payload);
    message.nodeid = nodeid;
    return message;
}

Message Message::event(std::string topic, Payload payload)
{
    Message message;
    message.type = MessageType::event;
    message.sequence = 0;
    message.topic = std::move(topic);
    message.payload = std::move(payload);
    return message;
}

Message Message::control(uint32_t type, uint32_t status)
{
    Message message;
    message.type = MessageType::control;
    message.control_type = type;
    message.control_status = status;
    return message;
}

Message Message::response_to(const Message &request, Payload payload)
{
    Message message;
    message.type = MessageType::response;
    message.flags = request.flags & message_flag::streaming;
    message.errnum = 0;
    message.matchtag = request.matchtag;
    message.route = request.route;
    message.topic = request.topic;
    message.payload = std::move(payload);
    return message;
}

Message Message::error_response_to(const Message &request, const Error &error)
{
    auto message = response_to(request);
    message.errnum = uint32_t(error.errnum() > 0 ? error.errnum() : EINVAL);
    if (auto text = error.text(); !text.empty() && text != errno_text(error.errnum()))
        message.payload = Payload::text(text);
    return message;
}

Error Message::to_error() const
{
    auto text = payload.string();
    return text.empty() ? Error(int(errnum)) : Error::with_text(int(errnum), std::string(text));
}

std::string_view Message::service() const
{
    std::string_view all = topic;
    return all.substr(0, all.find('.'));
}

} // namespace flux
