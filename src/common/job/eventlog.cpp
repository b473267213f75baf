#include "common/job/eventlog.hpp"

#include <cmath>

#include "common/base/quote.hpp"

namespace flux {

namespace {

// A name or key that needs no escape is copied, which is nearly always.
void append_json_string(std::string &out, std::string_view text)
{
    bool plain =
        std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~' && c != '"' && c != '\\'; });
    if (plain)
        out.append("\"").append(text).append("\"");
    else
        out += Json(text).dump();
}

void append_timestamp(std::string &out, double timestamp)
{
    size_t start = out.size();
    fmt::format_to(std::back_inserter(out), "{}", timestamp);
    if (out.find_first_of(".e", start) == std::string::npos)
        out += ".0"; // readers that want a real must get one
}

} // namespace

Expected<Event> Event::parse(std::string_view line)
{
    if (line.ends_with('\n'))
        line.remove_suffix(1);
    if (line.contains('\n'))
        return fail(EPROTO, "event: more than one line");
    auto json = Json::parse(line);
    if (!json)
        return fail(EPROTO, "event: {}", json.error().text());
    return from_json(*json);
}

Expected<Event> Event::from_json(const Json &json)
{
    if (!json.is_object())
        return fail(EPROTO, "event: expected an object, found {}", json.type_name());
    Event event;
    Json timestamp = json["timestamp"], name = json["name"];
    if (!timestamp.is_number())
        return fail(EPROTO, "event: expected timestamp to be a number, found {}", timestamp.type_name());
    event.timestamp = json_number_value(timestamp.raw());
    if (!(event.timestamp > 0) || std::isinf(event.timestamp))
        return fail(EPROTO, "event: timestamp {} must be greater than zero", event.timestamp);
    if (!name.is_string() || name.string_view().empty())
        return fail(EPROTO, "event: expected name to be a string, found {}",
                    name.is_string() ? "an empty one" : name.type_name());
    event.name = name.string_view();
    event.context = json["context"];
    if (event.context && !event.context.is_object())
        return fail(EPROTO, "event {}: expected context to be an object, found {}", quoted(event.name, 60),
                    event.context.type_name());
    return event;
}

Json Event::to_json() const
{
    return Json {{"timestamp", timestamp}, {"name", name}, {"context", context}};
}

void Event::encode_to(std::string &out, double timestamp, std::string_view name,
                      std::string_view context_json)
{
    out += "{\"timestamp\":";
    append_timestamp(out, timestamp);
    out += ",\"name\":";
    append_json_string(out, name);
    if (!context_json.empty())
        out.append(",\"context\":").append(context_json);
    out += "}\n";
}

void Event::encode_to(std::string &out) const
{
    encode_to(out, timestamp, name, context ? context.dump() : std::string());
}

std::string Event::encode() const
{
    std::string out;
    encode_to(out);
    return out;
}

Expected<std::vector<Event>> parse_eventlog(std::string_view text)
{
    std::vector<Event> out;
    while (!text.empty()) {
        size_t end = text.find('\n');
        if (end == std::string_view::npos)
            return fail(EPROTO, "event log line {}: the newline at its end is missing", out.size() + 1);
        auto event = Event::parse(text.substr(0, end));
        if (!event)
            return fail(EPROTO, "event log line {}: {}", out.size() + 1, event.error().text());
        out.push_back(std::move(*event));
        text.remove_prefix(end + 1);
    }
    return out;
}

std::string encode_eventlog(const std::vector<Event> &events)
{
    std::string out;
    for (const auto &event : events)
        event.encode_to(out);
    return out;
}

} // namespace flux
