#include "broker/tracer.hpp"

#include <fnmatch.h>

#include <chrono>
#include <deque>

#include "common/runtime/sync.hpp"

namespace flux {

namespace {

constexpr std::pair<std::string_view, MessageType> type_names[] = {{"request", MessageType::request},
                                                                   {"response", MessageType::response},
                                                                   {"event", MessageType::event},
                                                                   {"control", MessageType::control}};

std::string_view type_name(MessageType type)
{
    for (auto [name, known] : type_names)
        if (known == type)
            return name;
    return "unknown";
}

uint8_t type_bit(const Json &name)
{
    for (auto [known, type] : type_names)
        if (name.string_view() == known)
            return uint8_t(type);
    throw Error(EINVAL, "types: {} is none of request, response, event, control", name.dump().substr(0, 60));
}

} // namespace

struct Tracer::Trace {
    Trace(Tracer &tracer, const Request &request)
        : tracer(tracer), sender(request.sender()), id(tracer.next_id_++), changed(tracer.loop_)
    {
        if (tracer.traces_.size() >= max_traces)
            throw Error(EBUSY, "{} traces are under way on this broker, more are not possible", max_traces);
        const Json &args = request.json();
        Json names = args["peers"];
        if (names.size() > max_peers)
            throw Error(EINVAL, "peers: {} names, at most {} are possible", names.size(), max_peers);
        for (auto name : names.elements())
            peers.insert(name.as<std::string>());
        for (auto name : args["types"].elements())
            types |= type_bit(name);
        if (types == 0)
            types = 0xff;
        topic = request.find<std::string>("topic").value_or("");
        full = request.find<bool>("full").value_or(false);
        tracer.traces_.push_back(this);
    }
    Trace(const Trace &) = delete;
    ~Trace() { tracer.traces_.remove(this); }

    bool wants(std::string_view peer, const Message &message) const
    {
        return types & uint8_t(message.type) && (peers.empty() || peers.contains(peer)) &&
               (topic.empty() || fnmatch(topic.c_str(), message.topic.c_str(), 0) == 0);
    }
    void add(const Json &summary, const Json &payload, size_t bytes)
    {
        size_t kept = full && payload ? bytes : 0;
        if (waiting.size() >= max_waiting || waiting_bytes + kept > max_waiting_bytes) {
            dropped++;
            return;
        }
        Json entry = summary;
        if (kept > 0)
            entry = summary.shallow_copy().set("payload", payload);
        waiting.push_back({entry, kept});
        waiting_bytes += kept;
        changed.notify_all();
    }
    bool can_answer() const { return !waiting.empty() && under_way < max_answers; }
    Json next_answer()
    {
        Json messages = Json::array();
        size_t bytes = 0; // of payloads
        while (!waiting.empty() && messages.size() < max_in_answer && bytes < max_answer_bytes) {
            messages.append(waiting.front().entry);
            bytes += waiting.front().bytes;
            waiting_bytes -= waiting.front().bytes;
            waiting.pop_front();
        }
        Json out {{"id", id}, {"messages", messages}};
        if (size_t lost = std::exchange(dropped, 0))
            out.set("dropped", lost);
        under_way++;
        return out;
    }

    struct Waiting {
        Json entry;
        size_t bytes;
    };
    Tracer &tracer;
    RouteId sender;
    uint64_t id;
    std::set<std::string, std::less<>> peers; // empty: all
    uint8_t types = 0;
    std::string topic; // a glob; empty: any
    bool full = false;
    std::deque<Waiting> waiting;
    size_t waiting_bytes = 0;
    size_t dropped = 0;
    size_t under_way = 0; // answers
    Condition changed;
};

bool Tracer::is_of_a_trace(const Message &message)
{
    return message.topic.starts_with("module.trace") || message.topic.starts_with("overlay.trace");
}

void Tracer::note(std::string_view peer, Way way, const Message &message)
{
    if (is_of_a_trace(message))
        return;
    Json summary, payload;
    size_t bytes = 0;
    for (auto *trace : traces_) {
        if (!trace->wants(peer, message))
            continue;
        if (!summary) {
            bytes = message.payload.bytes().size();
            summary = Json {{"time", loop_.clock().wall_time()},
                            {"peer", peer},
                            {"way", way == Way::sent ? "tx" : "rx"},
                            {"type", type_name(message.type)},
                            {"topic", message.topic},
                            {"size", bytes}};
            if (message.is_response() && message.errnum != 0)
                summary.set("errnum", message.errnum);
            if (message.type == MessageType::control)
                summary.set("control", message.control_type).set("status", message.control_status);
        }
        if (trace->full && !payload && bytes > 0 && bytes <= max_payload) {
            try {
                payload = message.json();
            } catch (const Error &) {
                // no JSON: the size says that there is something
            }
        }
        trace->add(summary, payload, bytes);
    }
}

Task<> Tracer::trace(Request request)
{
    request.require_streaming();
    Trace trace(*this, request);
    Json first = trace.next_answer(); // says that it has begun, and its id
    request.respond(first);
    for (;;) {
        while (!trace.can_answer())
            co_await trace.changed.wait();
        Json answer = trace.next_answer();
        request.respond(answer);
    }
}

void Tracer::more(const Request &request)
{
    auto id = request.get<uint64_t>("id");
    for (auto *trace : traces_)
        if (trace->id == id && trace->sender == request.sender() && trace->under_way > 0) {
            trace->under_way--;
            trace->changed.notify_all();
        }
}

void Tracer::serve(Handle &handle)
{
    handle.serve(service_ + ".trace", role::none,
                 Handle::StreamHandler([this](Request request) { return trace(std::move(request)); }));
    handle.serve(service_ + ".trace-more", role::none, Handle::PlainHandler([this](Request &request) -> Json {
                     more(request);
                     return {};
                 }));
}

} // namespace flux
