// flux event: publish events and watch them.
#include "cmd/commands.hpp"
#include "cmd/print.hpp"
#include "common/base/encoding.hpp"

namespace flux::cmd {

namespace {

void publish(const Args &args, Session &flux, const Payload &payload)
{
    uint8_t flags = args.has("private") ? message_flag::private_ : 0;
    if (!args.has("synchronous")) {
        Message message = Message::event(args[0], payload);
        message.flags |= flags;
        flux.handle().send(std::move(message));
        return;
    }
    Json request {{"topic", args[0]}, {"flags", int(flags)}};
    if (payload)
        request.set("payload", base64_encode(payload.bytes()));
    print("seq={}\n", flux.rpc("event.publish", request).get<int64_t>("seq"));
}

Payload json_payload(const std::string &text)
{
    auto json = Json::parse(text);
    if (!json)
        throw Error(json.error().errnum(), "the payload: {}; --raw takes any text", json.error().text());
    return Payload(*json);
}

Task<> one_event(EventStream &stream)
{
    (void)co_await stream.next();
}

int run_event_pub(const Args &args, Session &flux)
{
    std::string text = args.joined(1);
    Payload payload;
    if (args.has("raw"))
        payload = Payload::raw(text == "-" ? read_stdin() : text);
    else if (!text.empty())
        payload = json_payload(text == "-" ? read_stdin() : text);
    if (args[0].empty())
        throw UsageError("an event needs a topic that is not empty");

    std::unique_ptr<EventStream> own;
    if (args.has("loopback")) {
        own = flux.handle().subscribe(args[0]);
        flux.rank(); // answered after the subscription was taken in: the event does not pass it
    }
    publish(args, flux, payload);
    if (own)
        flux.run(one_event(*own));
    return 0;
}

std::string printable(const Payload &payload)
{
    std::string out;
    for (char c : payload.string())
        out += c >= ' ' && c != 0x7f ? std::string(1, c) : fmt::format("\\x{:02x}", uint8_t(c));
    return out;
}

Task<> watch(Handle &handle, std::vector<std::string> prefixes, int64_t count)
{
    std::vector<std::string> wanted = prefixes.empty() ? std::vector<std::string> {""} : prefixes;
    // One subscription that covers all of them keeps the order of events; the topics are told apart here.
    auto stream = handle.subscribe(wanted.size() == 1 ? wanted[0] : "");
    for (int64_t seen = 0; count == 0 || seen < count;) {
        auto message = co_await stream->next();
        if (!message)
            co_return;
        bool match = false;
        for (const auto &prefix : wanted)
            match |= message->matches(prefix);
        if (!match)
            continue;
        seen++;
        print("{}\t{}\n", message->topic, printable(message->payload));
        std::fflush(stdout);
    }
}

int run_event_sub(const Args &args, Session &flux)
{
    int64_t count = args.integer("count", 0);
    if (count < 0)
        throw UsageError("--count must not be negative; 0 means all");
    flux.run(watch(flux.handle(), args.positional(), count));
    return 0;
}

const Command event_pub {
    .name = "pub",
    .args = "TOPIC [JSON]",
    .summary = "Publish an event; JSON may be - for standard input",
    .options = {{"-r,--raw", "the payload is text as it stands"},
                {"-s,--synchronous", "return when the event has its sequence number"},
                {"-l,--loopback", "return when the event has come back"},
                {"-p,--private", "only this user and the instance owner see it"}},
    .min_args = 1,
    .run = run_event_pub,
};

const Command event_sub {
    .name = "sub",
    .args = "[TOPIC...]",
    .summary = "Show events whose topic begins with one of these",
    .options = {{"-c,--count=N", "stop after N events"}},
    .run = run_event_sub,
};

} // namespace

const Command event {
    .name = "event",
    .summary = "Publish and watch events",
    .subcommands = {&event_pub, &event_sub},
};

} // namespace flux::cmd
