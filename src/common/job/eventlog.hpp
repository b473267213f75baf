// Event logs (RFC 18): one JSON object per line, {"timestamp":...,"name":"submit","context":{...}}.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "common/base/error.hpp"
#include "common/json/json.hpp"

namespace flux {

struct Event {
    double timestamp = 0; // seconds since the Unix epoch
    std::string name;
    Json context; // absent or an object

    // One line, with or without its newline. EPROTO says what is wrong.
    static Expected<Event> parse(std::string_view line);
    static Expected<Event> from_json(const Json &json);
    Json to_json() const;
    // The line with its newline. The timestamp reads back as the same double.
    std::string encode() const;
    void encode_to(std::string &out) const;
    // For hot paths: context_json is an object already dumped, or empty.
    static void encode_to(std::string &out, double timestamp, std::string_view name,
                          std::string_view context_json);

    friend bool operator==(const Event &, const Event &) = default;
};

// A whole log: every line must end with a newline. EPROTO names the line number.
Expected<std::vector<Event>> parse_eventlog(std::string_view text);
std::string encode_eventlog(const std::vector<Event> &events);

} // namespace flux
