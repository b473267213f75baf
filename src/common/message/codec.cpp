#include "common/message/codec.hpp"

#include <arpa/inet.h>

namespace flux {

namespace {

constexpr uint8_t magic = 0x8e;
constexpr uint8_t version = 1;
constexpr uint32_t frame_magic = 0xffee0012; // in the host's byte order
constexpr uint8_t long_part = 0xff;          // a part of 255 bytes or more: a 32-bit length follows

void put_u32(char *at, uint32_t value)
{
    value = htonl(value);
    std::memcpy(at, &value, sizeof value);
}

uint32_t get_u32(const char *at)
{
    uint32_t value;
    std::memcpy(&value, at, sizeof value);
    return ntohl(value);
}

void append_u32(std::string &out, uint32_t value)
{
    char bytes[4];
    put_u32(bytes, value);
    out.append(bytes, sizeof bytes);
}

uint8_t wire_flags(const Message &message)
{
    using namespace message_flag;
    uint8_t flags = message.flags & ~(topic | payload | route);
    if (!message.topic.empty())
        flags |= topic;
    if (message.payload)
        flags |= payload;
    if (message.is_request() || message.is_response() || !message.route.empty())
        flags |= route;
    return flags;
}

} // namespace

void encode_parts(const Message &message, Parts &out)
{
    uint8_t flags = wire_flags(message);
    out.header = {char(magic), char(version), char(message.type), char(flags)};
    put_u32(&out.header[4], message.credentials.userid);
    put_u32(&out.header[8], message.credentials.rolemask);
    put_u32(&out.header[12], message.nodeid);
    put_u32(&out.header[16], message.is_event() ? 0 : message.matchtag);
    out.parts.clear();
    if (flags & message_flag::route) {
        for (size_t i = message.route.size(); i-- > 0;)
            out.parts.push_back(message.route[i].text());
        out.parts.push_back({});
    }
    if (flags & message_flag::topic)
        out.parts.push_back(message.topic);
    if (flags & message_flag::payload)
        out.parts.push_back(message.payload.bytes());
    out.parts.push_back({out.header.data(), out.header.size()});
}

Expected<Message> decode_parts(const std::vector<std::string_view> &parts)
{
    using namespace message_flag;
    if (parts.empty() || parts.back().size() != header_size)
        return fail(EPROTO, "a message without a {} byte header part", header_size);
    const char *header = parts.back().data();
    if (uint8_t(header[0]) != magic || uint8_t(header[1]) != version)
        return fail(EPROTO, "a message header starts with {:#04x} {:#04x}, expected {:#04x} {:#04x}", uint8_t(header[0]),
                    uint8_t(header[1]), magic, version);
    uint8_t type = uint8_t(header[2]), flags = uint8_t(header[3]);
    if (type != 1 && type != 2 && type != 4 && type != 8)
        return fail(EPROTO, "a message of unknown type {}", type);
    Message message;
    message.type = MessageType(type);
    message.flags = flags;
    message.credentials = {get_u32(header + 4), get_u32(header + 8)};
    message.nodeid = get_u32(header + 12);
    message.matchtag = get_u32(header + 16);

    size_t at = 0, end = parts.size() - 1;
    if (flags & route) {
        while (at < end && !parts[at].empty()) {
            if (at == max_route_hops)
                return fail(EPROTO, "a message with more than {} route hops", max_route_hops);
            if (parts[at].size() > RouteId::max_length)
                return fail(EPROTO, "a route identity of {} bytes, more than {}", parts[at].size(), RouteId::max_length);
            message.route.push_back(RouteId(parts[at++]));
        }
        if (at == end)
            return fail(EPROTO, "a message whose route has no delimiter");
        at++;
        std::reverse(message.route.begin(), message.route.end());
    }
    if (flags & topic) {
        if (at == end || parts[at].empty() || parts[at].size() > max_topic_length)
            return fail(EPROTO, "a message whose topic is missing, empty or over {} bytes", max_topic_length);
        message.topic = parts[at++];
        // Some senders terminate the topic; nothing else may hold a NUL.
        if (message.topic.ends_with('\0'))
            message.topic.pop_back();
        if (message.topic.empty() || message.topic.contains('\0'))
            return fail(EPROTO, "a message topic with a NUL byte");
    } else if (message.type != MessageType::control) {
        return fail(EPROTO, "a message without a topic");
    }
    if (flags & payload) {
        if (at == end)
            return fail(EPROTO, "a message without the payload that its flags announce");
        message.payload = Payload::raw(std::string(parts[at++]));
    }
    if (at != end)
        return fail(EPROTO, "a message with {} parts too many", end - at);
    if ((message.is_request() || message.is_response()) && !(flags & route))
        return fail(EPROTO, "a request or response without a route delimiter");
    message.flags &= uint8_t(~(topic | payload | route));
    return message;
}

void require_encodable(const Message &message)
{
    if (message.route.size() > max_route_hops)
        throw Error(EINVAL, "a message has at most {} route hops, this one {}", max_route_hops,
                    message.route.size());
    if (message.type == MessageType::control)
        return;
    if (message.topic.empty() || message.topic.size() > max_topic_length)
        throw Error(EINVAL, "a message's topic has 1 to {} bytes, this one {}", max_topic_length,
                    message.topic.size());
    if (message.topic.contains('\0'))
        throw Error(EINVAL, "a message's topic has no NUL byte, this one does: \"{}\"",
                    message.topic.substr(0, message.topic.find('\0')));
}

void encode_message(const Message &message, std::string &out, bool framed)
{
    thread_local Parts parts;
    encode_parts(message, parts);
    size_t size = 0;
    for (auto part : parts.parts)
        size += part.size() + (part.size() < long_part ? 1 : 5);
    out.reserve(out.size() + size + (framed ? frame_header_size : 0));
    if (framed) {
        out.append(reinterpret_cast<const char *>(&frame_magic), sizeof frame_magic);
        append_u32(out, uint32_t(size));
    }
    for (auto part : parts.parts) {
        if (part.size() < long_part) {
            out += char(part.size());
        } else {
            out += char(long_part);
            append_u32(out, uint32_t(part.size()));
        }
        out.append(part);
    }
}

Expected<Message> decode_message(std::string_view bytes)
{
    std::vector<std::string_view> parts;
    while (!bytes.empty()) {
        size_t size = uint8_t(bytes[0]), prefix = 1;
        if (size == long_part) {
            if (bytes.size() < 5)
                return fail(EPROTO, "a message part whose length is cut off");
            size = get_u32(bytes.data() + 1);
            prefix = 5;
        }
        if (bytes.size() - prefix < size)
            return fail(EPROTO, "a message part of {} bytes where {} are left", size, bytes.size() - prefix);
        if (parts.size() == max_route_hops + 4)
            return fail(EPROTO, "a message with more than {} parts", max_route_hops + 4);
        parts.push_back(bytes.substr(prefix, size));
        bytes.remove_prefix(prefix + size);
    }
    return decode_parts(parts);
}

Expected<std::optional<Message>> FrameReader::next()
{
    std::string_view rest = std::string_view(buffer_).substr(consumed_);
    if (rest.size() < frame_header_size) {
        buffer_.erase(0, consumed_);
        consumed_ = 0;
        return std::nullopt;
    }
    uint32_t found;
    std::memcpy(&found, rest.data(), sizeof found);
    size_t size = get_u32(rest.data() + 4);
    if (found != frame_magic)
        return fail(EPROTO, "the peer does not speak the Flux protocol: frame starts with {:#010x}, expected {:#010x}",
                    found, frame_magic);
    if (size > max_size_)
        return fail(EPROTO, "a message of {} bytes, more than {} allowed", size, max_size_);
    if (rest.size() - frame_header_size < size) {
        buffer_.erase(0, consumed_);
        consumed_ = 0;
        return std::nullopt;
    }
    auto message = decode_message(rest.substr(frame_header_size, size));
    if (!message)
        return std::unexpected(message.error());
    consumed_ += frame_header_size + size;
    return std::move(*message);
}

} // namespace flux
