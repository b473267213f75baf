// Message (RFC 3): request, response, event or control, with its route stack, topic and payload.
//
// A Message is a value that is moved along; its payload is shared and immutable. Inside a process a JSON payload travels
// as the parsed object: it is encoded when it first leaves the process, parsed when somebody first asks, each at most
// once.
#pragma once
#include <array>
#include <compare>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/error.hpp"
#include "common/json/json.hpp"

namespace flux {

enum class MessageType : uint8_t { request = 1, response = 2, event = 4, control = 8 };

namespace message_flag {
constexpr uint8_t topic = 0x01;      // has a topic part (set by the codec)
constexpr uint8_t payload = 0x02;    // has a payload part (set by the codec)
constexpr uint8_t noresponse = 0x04; // the request wants no response
constexpr uint8_t route = 0x08;      // has a route delimiter (set by the codec)
constexpr uint8_t upstream = 0x10;   // nodeid is the sender's: route upstream of it
constexpr uint8_t private_ = 0x20;   // event for the sender and the instance owner only
constexpr uint8_t streaming = 0x40;
constexpr uint8_t user = 0x80;
} // namespace message_flag

constexpr uint32_t nodeid_any = 0xffffffff;
constexpr uint32_t userid_unknown = 0xffffffff;
constexpr uint32_t matchtag_none = 0;

namespace role { // RFC 12
constexpr uint32_t none = 0;
constexpr uint32_t owner = 1;
constexpr uint32_t user = 2;
constexpr uint32_t local = 4; // the sender is on this broker; cleared when a message crosses a broker link
constexpr uint32_t admin = 8;
constexpr uint32_t any = 0xffffffff;
} // namespace role

struct Credentials {
    uint32_t userid = userid_unknown;
    uint32_t rolemask = role::none;
    bool is_owner() const { return rolemask & role::owner; }
    friend bool operator==(const Credentials &, const Credentials &) = default;
};

// One hop of the route stack: the identity (a UUID's text) of the peer that the message came from.
class RouteId {
public:
    static constexpr size_t max_length = 39;

    RouteId() = default;
    explicit RouteId(std::string_view text); // throws Error(EPROTO) when longer than max_length or empty
    std::string_view text() const { return {text_.data(), length_}; }
    friend bool operator==(const RouteId &a, const RouteId &b) { return a.text() == b.text(); }
    friend auto operator<=>(const RouteId &a, const RouteId &b) { return a.text() <=> b.text(); }

private:
    uint8_t length_ = 0;
    std::array<char, max_length> text_ {};
};

// Shared, immutable bytes and, once somebody asked, the JSON they hold (or the other way round).
class Payload {
public:
    Payload() = default;
    Payload(Json json);                       // absent Json: no payload
    static Payload raw(std::string bytes);    // exactly these bytes
    static Payload text(std::string_view text); // the bytes and the NUL that RFC 3 asks of strings

    explicit operator bool() const { return body_ != nullptr; }
    // The bytes as they go on the wire; JSON is followed by its NUL.
    std::string_view bytes() const;
    // The payload without its terminating NUL, if it has one.
    std::string_view string() const;
    // Absent without a payload; throws Error(EPROTO) unless it is a JSON object (RFC 3: payload conventions).
    const Json &json() const;
    // Whether the object is there without parsing.
    bool is_parsed() const;

private:
    struct Body;
    std::shared_ptr<const Body> body_;
};

struct Message {
    MessageType type = MessageType::request;
    uint8_t flags = 0;
    Credentials credentials;
    union {
        uint32_t nodeid = nodeid_any; // request
        uint32_t errnum;              // response
        uint32_t sequence;            // event
        uint32_t control_type;        // control
    };
    union {
        uint32_t matchtag = matchtag_none; // request, response
        uint32_t control_status;           // control
    };
    std::vector<RouteId> route; // the newest hop last
    std::string topic;
    Payload payload;

    static Message request(std::string topic, Payload payload = {}, uint32_t nodeid = nodeid_any);
    static Message event(std::string topic, Payload payload = {});
    static Message control(uint32_t type, uint32_t status);
    // The response to a request: its route, topic, matchtag and streaming flag, no error.
    static Message response_to(const Message &request, Payload payload = {});
    // An error response with the error's text as payload.
    static Message error_response_to(const Message &request, const Error &error);

    bool has(uint8_t flag) const { return flags & flag; }
    bool is_request() const { return type == MessageType::request; }
    bool is_response() const { return type == MessageType::response; }
    bool is_event() const { return type == MessageType::event; }
    bool wants_response() const { return is_request() && !has(message_flag::noresponse); }
    const Json &json() const { return payload.json(); }
    // The sender's own identity: the first hop (RFC 6), empty when the sender has no route.
    RouteId sender() const { return route.empty() ? RouteId() : route.front(); }
    // For an error response: its error as an exception's value.
    Error to_error() const;
    // The part of the topic before the first period.
    std::string_view service() const;
    // Whether an event's topic is `prefix` or starts with it (subscriptions match prefixes; empty matches all).
    bool matches(std::string_view prefix) const { return topic.starts_with(prefix); }
};

} // namespace flux
