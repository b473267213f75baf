// Decoders of what arrives on sockets, links and channels.
#include "common/job/shell_channel.hpp"
#include "common/kvs/key.hpp"
#include "common/message/codec.hpp"
#include "common/pmi/pmi_wire.hpp"
#include "common/store/blob_frame.hpp"
#include "fuzz/decoders.hpp"

namespace flux::fuzz {

namespace {

void expect(bool holds, const char *what)
{
    if (!holds)
        throw RoundTripError(what);
}

void same_message(const Message &a, const Message &b)
{
    std::string one, other;
    encode_message(a, one, false);
    encode_message(b, other, false);
    expect(one == other, "a message reads back differently");
}

void message(std::string_view bytes)
{
    auto decoded = decode_message(bytes);
    if (!decoded)
        return;
    std::string written;
    encode_message(*decoded, written, false);
    auto back = decode_message(written);
    expect(back.has_value(), "a message that was written is refused");
    same_message(*decoded, *back);
    (void)decoded->payload.string();
    (void)decoded->service();
    try {
        (void)decoded->json();
    } catch (const Error &) {
        // a payload need not be JSON
    }
}

// In pieces of different sizes: what a stream holds does not depend on how it arrives.
void frames(std::string_view bytes)
{
    auto read = [&](size_t piece) {
        FrameReader reader;
        std::string seen;
        for (size_t at = 0; at < bytes.size(); at += piece) {
            reader.append(bytes.substr(at, piece));
            for (;;) {
                auto next = reader.next();
                if (!next)
                    return seen + "!";
                if (!*next)
                    break;
                encode_message(**next, seen, true);
            }
        }
        return seen;
    };
    auto whole = read(bytes.size() + 1);
    expect(read(1) == whole && read(7) == whole, "a stream reads differently in pieces");
}

void to_shell(std::string_view text)
{
    if (auto parsed = shell_channel::parse_to_shell(text)) {
        auto written = shell_channel::encode(*parsed);
        written.pop_back(); // its newline
        auto back = shell_channel::parse_to_shell(written);
        expect(back.has_value() && shell_channel::encode(*back) == written + "\n",
               "a message to the shell reads back differently");
    }
}

void from_shell(std::string_view text)
{
    if (auto parsed = shell_channel::parse_from_shell(text)) {
        auto written = shell_channel::encode(*parsed);
        written.pop_back();
        auto back = shell_channel::parse_from_shell(written);
        expect(back.has_value() && shell_channel::encode(*back) == written + "\n",
               "a message from the shell reads back differently");
    }
}

void pmi_line(std::string_view text)
{
    if (auto line = pmi::Line::parse(text))
        for (auto &[key, value] : line->tuples()) {
            (void)line->find_int(key);
            (void)pmi::valid_key(key);
            (void)pmi::valid_value(value);
        }
    LineBuffer buffer = pmi::line_buffer();
    buffer.append(text);
    while (auto line = buffer.next())
        if (!*line)
            break;
}

void blob_frame(std::string_view bytes)
{
    if (auto frame = decode_blob_frame(bytes)) {
        auto written = encode_blob_frame(frame->blobs, frame->checkpoints);
        auto back = decode_blob_frame(written);
        expect(back.has_value() && back->blobs == frame->blobs && back->checkpoints == frame->checkpoints,
               "a blob frame reads back differently");
    }
}

void kvs_key(std::string_view text)
{
    if (auto path = kvs::parse_key(text)) {
        auto back = kvs::parse_key(kvs::join(*path));
        expect(back.has_value() && *back == *path, "a key reads back differently");
    }
}

// Valid inputs that are bytes and not text.
std::string_view keep(std::string bytes)
{
    static std::vector<std::unique_ptr<std::string>> kept;
    return *kept.emplace_back(std::make_unique<std::string>(std::move(bytes)));
}

std::string encoded(Message message, bool framed)
{
    std::string out;
    encode_message(message, out, framed);
    return out;
}

std::vector<Message> messages()
{
    auto request = Message::request("kvs.lookup", Json {{"key", "a.b"}, {"flags", 1}}, 3);
    request.matchtag = 7;
    request.credentials = {1000, role::owner};
    request.route = {RouteId("0d1c2b3a-0000-4000-8000-000000000001"), RouteId("b")};
    auto response = Message::response_to(request, Payload::raw("raw"));
    auto error = Message::error_response_to(request, Error(ENOENT, "there is no key a.b"));
    auto event = Message::event("heartbeat.pulse");
    return {request, response, error, event, Message::control(1, 2)};
}

std::vector<std::string_view> message_seeds(bool framed)
{
    std::vector<std::string_view> seeds;
    std::string all;
    for (auto &message : messages()) {
        seeds.push_back(keep(encoded(message, framed)));
        all += seeds.back();
    }
    if (framed)
        seeds.push_back(keep(all));
    return seeds;
}

} // namespace

std::vector<Decoder> wire_decoders()
{
    return {
        {"message", message, message_seeds(false)},
        {"frames", frames, message_seeds(true)},
        {"to_shell",
         to_shell,
         {R"({"type":"signal","signum":15})",
          R"({"type":"stdin","ranks":"0-3","data":"aGk=","encoding":"base64","eof":true})",
          R"({"type":"pmi-exchange-result","seq":1,"pairs":{"a":"b"}})", R"({"type":"shutdown"})"}},
        {"from_shell",
         from_shell,
         {R"({"type":"event","name":"shell.init","context":{"size":2}})",
          R"({"type":"output","stream":"stdout","rank":1,"data":"hello\n"})",
          R"({"type":"redirect","stream":"stderr","ranks":"0-1","path":"/tmp/x"})",
          R"({"type":"pmi-exchange","seq":0,"pairs":{"k":"v"}})", R"({"type":"log","level":6,"text":"t"})",
          R"({"type":"exception","severity":0,"exception":"exec","note":"n"})",
          R"({"type":"finish","status":256})"}},
        {"pmi_line",
         pmi_line,
         {"cmd=put kvsname=k key=a value=b c = d", "cmd=init pmi_version=1 pmi_subversion=1\n",
          "cmd=barrier_in\n"}},
        {"blob_frame",
         blob_frame,
         {keep(encode_blob_frame({{"digest", "bytes"}, {"", ""}},
                                 Json {{"kvs-primary", Json {{"sequence", 1}}}})),
          keep(encode_blob_frame({}, {}))}},
        {"kvs_key", kvs_key, {"a.b.c", ".", "..a...b.", "resource.eventlog"}},
    };
}

} // namespace flux::fuzz
