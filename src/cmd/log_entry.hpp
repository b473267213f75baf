// One entry of a broker's log, as it is on the wire (RFC 5424), and as people read it.
#pragma once
#include <string>
#include <string_view>

namespace flux::cmd {

struct LogEntry {
    int severity = 6; // 0 (emergency) to 7 (debug)
    std::string time, rank, application, text;

    // "<PRI>1 TIMESTAMP RANK APP PID - - TEXT" in parts; an entry of another form is all text.
    static LogEntry parse(std::string_view line);
    std::string_view severity_name() const;
    double seconds() const;   // since the epoch; 0 when the time is not understood
    std::string line() const; // "2026-11-26T01:02:03.456789Z broker.info[0]: text"
};

// 0 to 7 for a name or a number; -1 when it is none.
int parse_severity(std::string_view text);
std::string severity_names(); // for messages

} // namespace flux::cmd
