#include "cmd/trace.hpp"

#include <algorithm>

#include "cmd/eventlog_view.hpp"
#include "cmd/job_select.hpp"
#include "cmd/print.hpp"
#include "cmd/terminal.hpp"

namespace flux::cmd {

namespace {

constexpr std::string_view message_types[] = {"request", "response", "event", "control"};

Json wanted_types(const Args &args)
{
    Json out = Json::array();
    for (const auto &type : comma_list(args.all("type"))) {
        if (std::ranges::find(message_types, type) == std::end(message_types))
            throw UsageError(fmt::format("--type: '{}' is none of {}", type, fmt::join(message_types, ", ")));
        out.append(type);
    }
    return out;
}

class TraceView {
public:
    explicit TraceView(const Args &args)
        : human_(args.has("human")), delta_(args.has("delta")), color_(human_ && wants_color(args))
    {
        if (delta_ && !human_)
            throw UsageError("--delta goes with --human");
    }
    std::string line(const Json &message)
    {
        auto type = message.get<std::string>("type");
        auto topic = message.get<std::string>("topic");
        if (type == "control")
            topic = fmt::format("{}:{}", message.get<uint32_t>("control"), message.get<uint32_t>("status"));
        std::string more;
        if (Json errnum = message["errnum"])
            more += fmt::format(" errno={} ({})", errnum.as<int>(), errno_text(errnum.as<int>()));
        if (Json payload = message["payload"])
            more += " " + payload.dump();
        return fmt::format("{} {} {} {} {} [{}]{}\n", paint(color::dim, time(message.get<double>("time"))),
                           paint(color::blue, message.get<std::string>("peer")),
                           message.get<std::string>("way"), paint(color_of(type), type), topic,
                           message.get<uint64_t>("size"), more);
    }

private:
    static std::string_view color_of(const std::string &type)
    {
        return type == "request" ? color::yellow : type == "event" ? color::bold_blue : color::plain;
    }
    std::string paint(std::string_view with, const std::string &text) const
    {
        return color_ ? fmt::format("{}{}{}", with, text, color::plain) : text;
    }
    std::string time(double now)
    {
        if (!human_)
            return fmt::format("{:.6f}", now);
        bool with_date = last_date_ == 0 || now - last_date_ >= same_minute;
        if (with_date)
            last_date_ = now;
        double since = now - (delta_ ? last_ : last_date_);
        last_ = now;
        return human_time(now, since, with_date);
    }

    bool human_, delta_, color_;
    double last_date_ = 0; // of the last line that has a date
    double last_ = 0;
};

Task<> follow(Handle &handle, std::string service, Json request, TraceView view)
{
    auto answers = handle.stream(service + ".trace", request, {}, service + ".trace-cancel");
    while (auto answer = co_await answers.next()) {
        const Json &json = answer->json();
        for (auto message : json["messages"].elements())
            write_out(view.line(message));
        if (Json dropped = json["dropped"])
            warn("{} messages came too fast and are not shown", dropped.as<uint64_t>());
        std::fflush(stdout);
        Json taken = Json::make("id", json["id"]);
        handle.notify(service + ".trace-more", taken);
    }
}

} // namespace

std::vector<Option> trace_options()
{
    return {{"-f,--full", "show payloads that are JSON"},
            {"-t,--type=TYPE,...", "only these: request, response, event, control"},
            {"-H,--human", "times as people read them"},
            {"-d,--delta", "with --human: the time since the message before"},
            {"-L,--color[=WHEN]", "always, never or auto"}};
}

int show_trace(const Args &args, Session &flux, const std::string &service,
               const std::vector<std::string> &peers, const std::string &topic)
{
    TraceView view(args);
    Json request {{"types", wanted_types(args)}, {"full", args.has("full")}};
    if (!peers.empty())
        request.set("peers", Json::array_of(peers));
    if (!topic.empty())
        request.set("topic", topic);
    flux.run(follow(flux.handle(), service, request, view));
    return 0;
}

} // namespace flux::cmd
