// How commands show events of an event log.
#pragma once
#include "cmd/command.hpp"
#include "common/job/eventlog.hpp"

namespace flux::cmd {

class EventView {
public:
    enum class Form { text, json, human };
    enum class Time { raw, offset, iso };
    explicit EventView(Form form, Time time = Time::raw, bool color = false)
        : form_(form), time_(time), color_(color)
    {
    }

    // "1700000000.123456 submit userid=0 urgency=16", the JSON, or with the time since the event before.
    std::string line(const Event &event);

private:
    std::string time_text(const Event &event);
    Form form_;
    Time time_;
    bool color_;
    double first_ = 0;
    double previous_ = 0;
};

// As --format, --time-format, --human, --unformatted and --color say, those of them that the command has.
EventView event_view(const Args &args);

// An event's context as "key=value key=value".
std::string context_text(const Event &event);
std::string local_time(double seconds, const char *strftime_format);

// Times of a log as people read them: date and minute where a new one begins, "[Nov26 21:30]", else the
// seconds since an earlier time, "[  +0.123456]".
constexpr double same_minute = 60; // seconds: what is nearer needs no date
std::string human_time(double seconds, double since, bool with_date);

} // namespace flux::cmd
