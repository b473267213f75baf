// The wire of RFC 3: a message as parts (as ZeroMQ carries them) and as one byte string (as the local connector frames
// it). Bit-exact; everything that arrives is hostile until decoded.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "common/message/message.hpp"

namespace flux {

// What a decoder accepts at most.
constexpr size_t max_message_size = 512u << 20; // bytes of one encoded message
constexpr size_t max_route_hops = 64;
constexpr size_t max_topic_length = 4096;

constexpr size_t header_size = 20;   // bytes of the last part
constexpr size_t frame_header_size = 8; // bytes before an encoded message on a local socket: magic, size

// Parts in the order of the wire: routes (newest first), delimiter, topic, payload, header. The views point into the
// message (and into `header`), so both must outlive them.
struct Parts {
    std::array<char, header_size> header;
    std::vector<std::string_view> parts;
};
void encode_parts(const Message &message, Parts &out);
// EPROTO with the reason on anything that is not a well-formed message.
Expected<Message> decode_parts(const std::vector<std::string_view> &parts);

// EINVAL for a message that would be encoded and that no decoder accepts.
void require_encodable(const Message &message);

// One message as a byte string; appended to `out`, with the local connector's frame header in front when framed.
void encode_message(const Message &message, std::string &out, bool framed);
Expected<Message> decode_message(std::string_view bytes);

// Cuts a byte stream of the local connector into messages.
class FrameReader {
public:
    // max_size: bytes of one message; a larger one is refused when it is announced, before it is kept.
    explicit FrameReader(size_t max_size = max_message_size) : max_size_(max_size) {}
    void append(std::string_view bytes) { buffer_.append(bytes); }
    // The next whole message, nullopt when more bytes are needed, EPROTO when the stream cannot be a Flux peer's (it
    // stays unusable then).
    Expected<std::optional<Message>> next();

private:
    size_t max_size_;
    std::string buffer_;
    size_t consumed_ = 0;
};

} // namespace flux
