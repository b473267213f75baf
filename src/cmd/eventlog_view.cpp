#include "cmd/eventlog_view.hpp"

#include <cmath>
#include <ctime>

namespace flux::cmd {

namespace {

constexpr double minute = 60;

} // namespace

std::string local_time(double seconds, const char *strftime_format)
{
    time_t whole = time_t(seconds);
    tm parts {};
    ::localtime_r(&whole, &parts);
    char text[128];
    return std::string(text, ::strftime(text, sizeof(text), strftime_format, &parts));
}

std::string context_text(const Event &event)
{
    std::string out;
    for (auto [key, value] : event.context.members()) {
        bool bare = value.is_string() && value.string_view().find(' ') == std::string_view::npos &&
                    !value.string_view().empty();
        out += fmt::format("{}{}={}", out.empty() ? "" : " ", key,
                           bare ? std::string(value.string_view()) : value.dump());
    }
    return out;
}

std::string EventView::line(const Event &event)
{
    if (form_ == Form::json)
        return event.encode();
    if (first_ == 0)
        first_ = previous_ = event.timestamp;
    std::string time;
    double since = event.timestamp - previous_;
    if (form_ == Form::human)
        time = since >= minute || event.timestamp == first_
                   ? "[" + local_time(event.timestamp, "%b%d %H:%M") + "]"
                   : fmt::format("[{:>+11.6f}]", since);
    else if (time_ == Time::offset)
        time = fmt::format("{:.6f}", event.timestamp - first_);
    else if (time_ == Time::iso)
        time = local_time(event.timestamp, "%FT%T") +
               fmt::format("{:.6f}", event.timestamp - std::floor(event.timestamp)).substr(1) +
               local_time(event.timestamp, "%z");
    else
        time = fmt::format("{:.6f}", event.timestamp);
    previous_ = event.timestamp;
    std::string context = context_text(event);
    return fmt::format("{} {}{}{}\n", time, event.name, context.empty() ? "" : " ", context);
}

} // namespace flux::cmd
