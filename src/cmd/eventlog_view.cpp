#include "cmd/eventlog_view.hpp"

#include <cmath>
#include <ctime>

#include "cmd/print.hpp"
#include "cmd/terminal.hpp"

namespace flux::cmd {

namespace {

std::string value_text(const Json &value)
{
    bool bare = value.is_string() && value.string_view().find(' ') == std::string_view::npos &&
                !value.string_view().empty();
    return bare ? std::string(value.string_view()) : value.dump();
}

} // namespace

std::string local_time(double seconds, const char *strftime_format)
{
    time_t whole = time_t(seconds);
    tm parts {};
    ::localtime_r(&whole, &parts);
    char text[128];
    return std::string(text, ::strftime(text, sizeof(text), strftime_format, &parts));
}

std::string human_time(double seconds, double since, bool with_date)
{
    return with_date ? "[" + local_time(seconds, "%b%d %H:%M") + "]" : fmt::format("[{:>+11.6f}]", since);
}

std::string context_text(const Event &event)
{
    std::string out;
    for (auto [key, value] : event.context.members())
        out += fmt::format("{}{}={}", out.empty() ? "" : " ", key, value_text(value));
    return out;
}

std::string EventView::time_text(const Event &event)
{
    double since = event.timestamp - previous_;
    if (form_ == Form::human)
        return human_time(event.timestamp, since, since >= same_minute || event.timestamp == first_);
    if (time_ == Time::offset)
        return fmt::format("{:.6f}", event.timestamp - first_);
    if (time_ == Time::iso)
        return local_time(event.timestamp, "%FT%T") +
               fmt::format("{:.6f}", event.timestamp - std::floor(event.timestamp)).substr(1) +
               local_time(event.timestamp, "%z");
    return fmt::format("{:.6f}", event.timestamp);
}

std::string EventView::line(const Event &event)
{
    if (form_ == Form::json)
        return event.encode();
    if (first_ == 0)
        first_ = previous_ = event.timestamp;
    std::string time = time_text(event);
    previous_ = event.timestamp;
    if (!color_) {
        std::string context = context_text(event);
        return fmt::format("{} {}{}{}\n", time, event.name, context.empty() ? "" : " ", context);
    }
    std::string out =
        fmt::format("{}{}{} {}{}{}", color::dim, time, color::plain,
                    event.name == "exception" ? color::bold_red : color::yellow, event.name, color::plain);
    for (auto [key, value] : event.context.members())
        out += fmt::format(" {}{}={}{}", color::blue, key, color::plain, value_text(value));
    return out + "\n";
}

EventView event_view(const Args &args)
{
    bool color = args.knows("color") && wants_color(args);
    if (args.knows("unformatted") && args.has("unformatted"))
        return EventView(EventView::Form::json);
    std::string format = args.knows("format") ? args.value("format", "text") : "text";
    if (format != "text" && format != "json")
        throw UsageError(fmt::format("--format: '{}' is neither text nor json", format));
    if (format == "json")
        return EventView(EventView::Form::json);
    std::string time = args.knows("time-format") ? args.value("time-format", "raw") : "raw";
    if (time == "human" || (args.knows("human") && args.has("human")))
        return EventView(EventView::Form::human, EventView::Time::raw, color);
    if (time == "offset")
        return EventView(EventView::Form::text, EventView::Time::offset, color);
    if (time == "iso")
        return EventView(EventView::Form::text, EventView::Time::iso, color);
    if (time != "raw")
        throw UsageError(fmt::format("--time-format: '{}' is none of raw, iso, offset, human", time));
    return EventView(EventView::Form::text, EventView::Time::raw, color);
}

} // namespace flux::cmd
