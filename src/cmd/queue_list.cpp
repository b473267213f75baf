#include "cmd/queue_list.hpp"

#include "cmd/named_formats.hpp"
#include "cmd/print.hpp"
#include "cmd/resource_view.hpp"
#include "cmd/terminal.hpp"
#include "common/types/duration.hpp"

namespace flux::cmd {

namespace {

const FormatFamily queue_list_formats {
    .command = "queue",
    .table = "list",
    .variable = "FLUX_QUEUE_LIST_FORMAT_DEFAULT",
    .formats =
        {{"default", "what one may ask of each queue",
          "?:{queuem:<8.8} ?:{parent:<8.8} {color_enabled}{enabled:>2}{color_off} "
          "{color_started}{started:>2}{color_off} {defaults.timelimit!F:>8} {limits.timelimit!F:>8} "
          "{limits.range.nnodes:>10} {limits.range.ncores:>10} {limits.range.ngpus:>10}"},
         {"resources", "what each queue has, and what of it is free",
          "?:{queuem:<8.8} {color_enabled}{enabled:>2}{color_off} {color_started}{started:>2}{color_off} "
          "{resources.all.nnodes:>6} {resources.free.nnodes:>6} {resources.all.ncores:>7} "
          "{resources.free.ncores:>7} {resources.all.ngpus:>6} {resources.free.ngpus:>6}"}},
};

const FormatFields &fields()
{
    static const FormatFields out = [] {
        FormatFields table {.thing = "queues",
                            .headers = {{"queue", "QUEUE"},
                                        {"queuem", "QUEUE"},
                                        {"parent", "PARENT"},
                                        {"submission", "SUBMISSION"},
                                        {"scheduling", "SCHEDULING"},
                                        {"enabled", "EN"},
                                        {"started", "ST"},
                                        {"enabled.ascii", "EN"},
                                        {"started.ascii", "ST"},
                                        {"color_enabled", ""},
                                        {"color_started", ""},
                                        {"color_off", ""},
                                        {"defaults.timelimit", "TDEFAULT"},
                                        {"limits.timelimit", "TLIMIT"},
                                        {"limits.range.nnodes", "NNODES"},
                                        {"limits.range.ncores", "NCORES"},
                                        {"limits.range.ngpus", "NGPUS"},
                                        {"limits.range.effective.nnodes", "NNODES"},
                                        {"limits.range.effective.ncores", "NCORES"},
                                        {"limits.range.effective.ngpus", "NGPUS"},
                                        {"limits.min.nnodes", "MIN-NNODES"},
                                        {"limits.max.nnodes", "MAX-NNODES"},
                                        {"limits.min.ncores", "MIN-NCORES"},
                                        {"limits.max.ncores", "MAX-NCORES"},
                                        {"limits.min.ngpus", "MIN-NGPUS"},
                                        {"limits.max.ngpus", "MAX-NGPUS"}}};
        static const char *headers[][3] {
            {"resources.all.nnodes", "resources.all.ncores", "resources.all.ngpus"},
            {"resources.free.nnodes", "resources.free.ncores", "resources.free.ngpus"},
            {"resources.allocated.nnodes", "resources.allocated.ncores", "resources.allocated.ngpus"},
            {"resources.up.nnodes", "resources.up.ncores", "resources.up.ngpus"},
            {"resources.down.nnodes", "resources.down.ncores", "resources.down.ngpus"}};
        static const char *titles[][3] {{"NODES", "CORES", "GPUS"},
                                        {"FREE", "CFREE", "GFREE"},
                                        {"ALLOC", "CALLOC", "GALLOC"},
                                        {"UP", "CUP", "GUP"},
                                        {"DOWN", "CDOWN", "GDOWN"}};
        for (size_t state = 0; state < std::size(headers); state++)
            for (size_t kind = 0; kind < 3; kind++)
                table.headers.emplace_back(headers[state][kind], titles[state][kind]);
        return table;
    }();
    return out;
}

constexpr int64_t no_limit = -1;

class Queue {
public:
    Queue(Session &flux, std::string name, SchedulerView view)
        : name_(std::move(name)), status_(status_of_queue(flux, name_)), view_(std::move(view))
    {
        config_ = view_.config().at("queues", name_);
        general_ = view_.config()["policy"];
        if (!name_.empty() && config_.is_object() && !config_.contains("parent"))
            view_.keep_queues({name_});
    }

    FieldValue field(std::string_view field, bool color) const
    {
        if (field == "queue")
            return name_;
        if (field == "queuem")
            return name_.empty() ? name_ : (is_default() ? "*" : "") + name_;
        if (field == "parent")
            return config_.value<std::string>("parent", "");
        if (field == "submission")
            return enabled() ? "enabled" : "disabled";
        if (field == "scheduling")
            return started() ? "started" : "stopped";
        if (field == "enabled" || field == "started")
            return (field == "enabled" ? enabled() : started()) ? "✔" : "✗";
        if (field == "enabled.ascii" || field == "started.ascii")
            return (field == "enabled.ascii" ? enabled() : started()) ? "y" : "n";
        if (field == "color_enabled" || field == "color_started")
            return !color                                               ? ""
                   : (field == "color_enabled" ? enabled() : started()) ? color::bold_green
                                                                        : color::bold_red;
        if (field == "color_off")
            return color ? color::plain : "";
        if (field == "defaults.timelimit")
            return seconds_of(policy("jobspec", "defaults", "system", "duration"));
        if (field == "limits.timelimit")
            return seconds_of(policy("limits", "duration"));
        return counted(field);
    }

private:
    bool enabled() const { return status_.get<bool>("enable"); }
    bool started() const { return status_.get<bool>("start"); }
    bool is_default() const
    {
        return general_.at("jobspec", "defaults", "system", "queue").string_view() == name_;
    }

    // Of the queue's own policy, else of the instance's.
    template <class... Keys>
    Json policy(Keys... keys) const
    {
        Json own = config_["policy"].at(keys...);
        return own ? own : general_.at(keys...);
    }

    static FieldValue seconds_of(const Json &limit)
    {
        if (limit.is_string())
            if (auto value = parse_duration(limit.string_view()))
                return *value;
        return limit.is_number() ? FieldValue(limit.as<double>()) : FieldValue("inf");
    }

    static FieldValue shown(int64_t limit)
    {
        return limit == no_limit ? FieldValue("inf") : FieldValue(limit);
    }

    int64_t limit(const char *which, const std::string &what) const
    {
        Json found = policy("limits", "job-size", which, std::string_view(what));
        if (found.is_integer())
            return found.as<int64_t>();
        return std::string_view(which) == "min" ? 0 : no_limit;
    }

    int64_t count(std::string_view state, std::string_view what) const
    {
        ResourceSet set = view_.state(state);
        return int64_t(what == "nnodes" ? set.nnodes() : what == "ncores" ? set.ncores() : set.ngpus());
    }

    FieldValue counted(std::string_view field) const
    {
        std::string what(field.substr(field.rfind('.') + 1));
        if (field.starts_with("limits.min."))
            return limit("min", what);
        if (field.starts_with("limits.max."))
            return shown(limit("max", what));
        if (field.starts_with("resources.")) {
            std::string_view rest = field.substr(10);
            return count(rest.substr(0, rest.find('.')), what);
        }
        int64_t most = limit("max", what);
        if (field.starts_with("limits.range.effective.")) {
            int64_t all = count("all", what);
            most = most == no_limit ? all : std::min(most, all);
        }
        return fmt::format("{}-{}", limit("min", what), shown(most).text());
    }

    std::string name_;
    Json status_, config_, general_;
    SchedulerView view_;
};

} // namespace

std::vector<std::string> queue_names(Session &flux)
{
    return flux.rpc("job-manager.queue-list").value<std::vector<std::string>>("queues", {});
}

Json status_of_queue(Session &flux, const std::string &name)
{
    Json request = Json::object();
    if (!name.empty())
        request.set("name", name);
    return flux.rpc("job-manager.queue-status", request, {.nodeid = 0});
}

int list_queues(const Args &args, Session &flux, const std::vector<std::string> &names)
{
    auto text = choose_format(args, queue_list_formats);
    if (!text)
        return 0;
    auto format = OutputFormat::parse(*text, fields());
    SchedulerView view(flux);
    std::vector<Queue> queues;
    for (const auto &name : names)
        queues.emplace_back(flux, name, view);
    bool color = wants_color(args);
    write_out(format.render(
        queues.size(), [&](size_t row, std::string_view field) { return queues[row].field(field, color); },
        {.header = !args.has("no-header")}));
    return 0;
}

} // namespace flux::cmd
