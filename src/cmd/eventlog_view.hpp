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

} // namespace flux::cmd
