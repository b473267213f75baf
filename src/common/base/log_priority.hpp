// The number in angle brackets at the start of a log line. RFC 5424 says facility * 8 + severity; the programs that
// speak to brokers write and read severity * 8 + facility, with facility 0, and so do we.
#pragma once

namespace flux {

constexpr int most_severe = 0, least_severe = 7; // syslog's emerg and debug

constexpr int log_priority(int severity)
{
    return severity * 8;
}

// 0-7, whatever the number is.
constexpr int severity_of_priority(int priority)
{
    int severity = priority / 8;
    return severity < most_severe ? most_severe : severity > least_severe ? least_severe : severity;
}

} // namespace flux
