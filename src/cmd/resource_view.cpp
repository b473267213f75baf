#include "cmd/resource_view.hpp"

#include <algorithm>

#include "cmd/terminal.hpp"

namespace flux::cmd {

namespace {

ResourceSet set_of(const Json &answer, std::string_view key)
{
    Json set = answer[key];
    if (!set || set.is_null() || set.at("execution", "R_lite").empty())
        return {};
    return value_or_throw(ResourceSet::from_json(set));
}

bool is_in(const std::vector<std::string> &list, std::string_view word)
{
    return std::find(list.begin(), list.end(), word) != list.end();
}

struct Answers {
    Json config; // an empty object where the broker has none to tell
    Json resources;
};

// Both are asked for at once: neither waits for the other.
Task<Answers> ask_instance(Handle &handle)
{
    Rpc config = handle.rpc("config.get");
    Rpc resources = handle.rpc("resource.sched-status", {}, {.nodeid = 0});
    Answers out {Json::object(), {}};
    try {
        auto answer = co_await config;
        out.config = answer.json();
    } catch (const Error &error) {
        if (error.errnum() != ENOSYS)
            throw;
    }
    auto answer = co_await resources;
    out.resources = answer.json();
    co_return out;
}

} // namespace

SchedulerView::SchedulerView(Session &flux)
{
    auto answers = flux.run(ask_instance(flux.handle()));
    config_ = answers.config;
    all_ = set_of(answers.resources, "all");
    allocated_ = set_of(answers.resources, "allocated");
    down_ = set_of(answers.resources, "down");
}

ResourceSet SchedulerView::state(std::string_view name) const
{
    auto common = [&](const ResourceSet &part) { // often a small one
        return all_.subset(part.ranks()).intersect(part);
    };
    if (name == "all")
        return all_;
    if (name == "up")
        return ResourceSet(all_).subtract(down_);
    if (name == "down")
        return common(down_);
    if (name == "allocated")
        return common(allocated_);
    if (name == "free")
        return ResourceSet(all_).subtract(allocated_).subtract(down_);
    std::vector<std::string> names {"all", "up", "down", "allocated", "free"};
    throw UsageError(fmt::format("--states: '{}' is none of {}{}", name, fmt::join(names, ", "),
                                 did_you_mean(name, names)));
}

std::vector<std::string> SchedulerView::queues_of(uint32_t rank) const
{
    std::vector<std::string> out;
    for (auto [name, queue] : config_["queues"].members()) {
        bool all = !queue.contains("parent");
        for (auto property : queue["requires"].elements())
            all &= all_.has_property(rank, property.string_view());
        if (queue.contains("hosts"))
            all &= all_.has_property(rank, fmt::format("+{}", name));
        if (all)
            out.emplace_back(name);
    }
    return out;
}

void SchedulerView::keep_queues(const std::vector<std::string> &names)
{
    for (const auto &name : names)
        if (!has_queue(name))
            throw UsageError(fmt::format("--queue: there is no queue {}; flux queue list shows them", name));
    Idset ranks;
    for (const auto &node : all_.nodes())
        for (const auto &queue : queues_of(node.rank))
            if (is_in(names, queue))
                ranks.add(node.rank);
    all_ = all_.subset(ranks);
}

void SchedulerView::keep_targets(const std::string &text)
{
    if (auto ranks = Idset::parse(text))
        all_ = all_.subset(*ranks);
    else
        all_ = all_.subset(all_.ranks_of(option_value("include", Hostlist::parse(text))));
}

bool ResourceRow::same_line(const ResourceRow &other) const
{
    return state == other.state && online == other.online && timestamp == other.timestamp &&
           reason == other.reason && queue == other.queue && properties == other.properties &&
           propertiesx == other.propertiesx;
}

const FormatFields resource_list_fields {
    .thing = "resources",
    .headers = {{"state", "STATE"},
                {"queue", "QUEUE"},
                {"properties", "PROPERTIES"},
                {"propertiesx", "PROPERTIES"},
                {"nnodes", "NNODES"},
                {"ncores", "NCORES"},
                {"ngpus", "NGPUS"},
                {"ranks", "RANKS"},
                {"nodelist", "NODELIST"},
                {"rlist", "LIST"}},
};

const FormatFields resource_status_fields {
    .thing = "nodes",
    .headers = {{"state", "STATE"},
                {"statex", "STATE"},
                {"status", "STATUS"},
                {"up", "UP"},
                {"up.ascii", "UP"},
                {"color_up", ""},
                {"color_off", ""},
                {"nnodes", "NNODES"},
                {"ranks", "RANKS"},
                {"nodelist", "NODELIST"},
                {"timestamp", "TIMESTAMP"},
                {"reason", "REASON"}},
};

FieldValue resource_field(const ResourceRow &row, std::string_view field, bool color)
{
    if (field == "state")
        return row.state;
    if (field == "statex")
        return std::string_view(row.state).substr(0, row.state.size() - row.state.ends_with('*'));
    if (field == "status")
        return row.online ? "online" : "offline";
    if (field == "up")
        return row.online ? "✔" : "✗";
    if (field == "up.ascii")
        return row.online ? "y" : "n";
    if (field == "color_up")
        return color ? (row.online ? color::bold_green : color::bold_red) : "";
    if (field == "color_off")
        return color ? color::plain : "";
    if (field == "timestamp")
        return row.timestamp;
    if (field == "reason")
        return row.reason;
    if (field == "queue")
        return row.queue;
    if (field == "properties")
        return row.properties;
    if (field == "propertiesx")
        return row.propertiesx;
    if (field == "nnodes")
        return int64_t(row.set.nnodes());
    if (field == "ncores")
        return int64_t(row.set.ncores());
    if (field == "ngpus")
        return int64_t(row.set.ngpus());
    if (field == "ranks")
        return row.set.ranks().format();
    if (field == "nodelist")
        return row.set.nodelist().encode();
    return row.set.summary();
}

void merge_rows(std::vector<ResourceRow> &rows, const OutputFormat &format)
{
    auto shown = format.fields();
    std::vector<ResourceRow> out;
    for (auto &row : rows) {
        if (!is_in(shown, "state")) {
            row.state = is_in(shown, "statex") ? resource_field(row, "statex", false).text() : std::string();
            if (!is_in(shown, "up") && !is_in(shown, "up.ascii") && !is_in(shown, "status"))
                row.online = true;
        }
        if (!is_in(shown, "timestamp"))
            row.timestamp = 0;
        if (!is_in(shown, "reason"))
            row.reason.clear();
        if (!is_in(shown, "queue"))
            row.queue.clear();
        if (!is_in(shown, "properties"))
            row.properties.clear();
        if (!is_in(shown, "propertiesx"))
            row.propertiesx.clear();
        auto same = std::find_if(out.begin(), out.end(),
                                 [&](const ResourceRow &other) { return other.same_line(row); });
        if (same == out.end())
            out.push_back(std::move(row));
        else
            same->set.unite(row.set);
    }
    rows = std::move(out);
}

} // namespace flux::cmd
