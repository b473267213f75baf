#include "modules/job-exec/output_log.hpp"

#include "common/job/eventlog.hpp"

namespace flux::job_exec {

std::string OutputLog::begin(double now, uint32_t ntasks)
{
    open_["stdout"] = open_["stderr"] = Idset::iota(ntasks);
    Json header {{"version", 1},
                 {"encoding", Json {{"stdout", "UTF-8"}, {"stderr", "UTF-8"}}},
                 {"count", Json {{"stdout", ntasks}, {"stderr", ntasks}}},
                 {"options", Json::object()}};
    return Event {now, "header", header}.encode();
}

std::string OutputLog::add(double now, const Json &message)
{
    auto type = message.get<std::string>("type");
    if (type == "redirect")
        return Event {now,
                      "redirect",
                      Json {{"stream", message.get<std::string>("stream")},
                            {"rank", message.get<std::string>("ranks")},
                            {"path", message["path"]}}}
            .encode();
    if (type == "log")
        return Event {now,
                      "log",
                      Json {{"level", message.get<int>("level")},
                            {"message", message.get<std::string>("text")},
                            {"rank", message["nodeid"]}}}
            .encode();
    auto stream = message.get<std::string>("stream");
    auto rank = message.get<uint32_t>("rank");
    Json context {{"stream", stream}, {"rank", fmt::format("{}", rank)}};
    if (message["data"] && !message["data"].string_view().empty())
        context.set("data", message["data"]);
    if (message["encoding"])
        context.set("encoding", message["encoding"]);
    if (message.value("eof", false)) {
        context.set("eof", true);
        open_[stream].remove(rank);
    }
    return Event {now, "data", context}.encode();
}

void OutputLog::resume(const Event &event)
{
    if (event.name == "header") {
        for (auto [stream, count] : event.context["count"].members())
            open_[std::string(stream)] = Idset::iota(count.as<uint32_t>());
    } else if (event.name == "data" && event.context.value("eof", false)) {
        auto &open = open_[event.context.get<std::string>("stream")];
        open = open - value_or_throw(Idset::parse(event.context.get<std::string>("rank")));
    }
}

std::string OutputLog::end(double now)
{
    std::string out;
    for (const auto &[stream, tasks] : std::exchange(open_, {}))
        if (!tasks.empty())
            Event {now, "data", Json {{"stream", stream}, {"rank", tasks.format()}, {"eof", true}}}.encode_to(
                out);
    return out;
}

} // namespace flux::job_exec
