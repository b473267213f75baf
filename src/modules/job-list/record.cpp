#include "modules/job-list/record.hpp"

#include <algorithm>
#include <array>

#include "common/job/jobspec.hpp"

namespace flux::job_list {

namespace {

constexpr std::array<std::string_view, 32> attribute_names {
    "userid",     "urgency",    "priority",           "t_submit",           "t_depend",
    "t_priority", "t_sched",    "t_run",              "t_cleanup",          "t_inactive",
    "state",      "name",       "cwd",                "queue",              "project",
    "bank",       "ntasks",     "ncores",             "duration",           "nnodes",
    "ranks",      "nodelist",   "success",            "exception_occurred", "exception_type",
    "exception_severity", "exception_note", "result", "expiration",         "annotations",
    "dependencies", "waitstatus"};

Json text_or_absent(const Pooled &text)
{
    return text.empty() ? Json() : Json(text.text());
}

Json time_or_absent(double time)
{
    return time > 0 ? Json(time) : Json();
}

Json count_or_absent(uint32_t count)
{
    return count ? Json(count) : Json();
}

Json json_or_absent(const Pooled &text)
{
    return text.empty() ? Json() : Json::parse(text.text()).value_or(Json());
}

double *time_of(Record &record, JobState state)
{
    switch (state) {
    case JobState::depend:
        return &record.t_depend;
    case JobState::priority:
        return &record.t_priority;
    case JobState::sched:
        return &record.t_sched;
    case JobState::run:
        return &record.t_run;
    case JobState::cleanup:
        return &record.t_cleanup;
    case JobState::inactive:
        return &record.t_inactive;
    case JobState::new_:
        break;
    }
    return nullptr;
}

double time_named(const Record &record, std::string_view name)
{
    return name == "t_submit"    ? record.t_submit
           : name == "t_depend"  ? record.t_depend
           : name == "t_run"     ? record.t_run
           : name == "t_cleanup" ? record.t_cleanup
                                 : record.t_inactive;
}

using Test = Expected<ConstraintTest<Record>>;

// ">=1700000000.5"
Test compare_time(std::string name, const Json &values)
{
    std::string text(values[size_t(0)].string_view());
    size_t width = text.starts_with(">=") || text.starts_with("<=") ? 2 : 1;
    char *end = nullptr;
    double limit = text.size() > width ? strtod(text.c_str() + width, &end) : 0;
    if (text.empty() || (text[0] != '<' && text[0] != '>') || !end || *end)
        return fail(EINVAL, "{}: a comparison such as \">=1700000000\" is expected, not \"{}\"", name, text);
    bool less = text[0] == '<', equal = width == 2;
    return [name, limit, less, equal](const Record &record) {
        double time = time_named(record, name);
        return time > 0 && ((equal && time == limit) || (less ? time < limit : time > limit));
    };
}

template <class Parse>
Expected<uint32_t> mask_of(const Json &values, Parse parse)
{
    uint32_t mask = 0;
    for (auto value : values.elements()) {
        auto bits = value.is_integer() ? Expected<uint32_t>(value.as<uint32_t>()) : parse(value.string_view());
        if (!bits)
            return bits;
        mask |= *bits;
    }
    return mask;
}

Test match_hosts(const Json &values)
{
    Hostlist hosts;
    for (const auto &text : values.as<std::vector<std::string>>())
        if (auto ok = hosts.append(text); !ok)
            return std::unexpected(ok.error());
    return [hosts](const Record &record) {
        auto list = Hostlist::parse(record.nodelist.text());
        return list && !list->empty() && !list->find_all(hosts).empty();
    };
}

Test match_ranks(const Json &values)
{
    Idset wanted;
    for (const auto &text : values.as<std::vector<std::string>>()) {
        auto ranks = Idset::parse(text);
        if (!ranks)
            return std::unexpected(ranks.error());
        wanted |= *ranks;
    }
    return [wanted](const Record &record) {
        auto ranks = Idset::parse(record.ranks.text());
        return ranks && ranks->intersects(wanted);
    };
}

} // namespace

void Record::take_jobspec(Pool &pool, const Json &json)
{
    auto jobspec = Jobspec::parse(json);
    if (!jobspec)
        return;
    name = pool.get(jobspec->name());
    cwd = pool.get(jobspec->cwd());
    queue = pool.get(jobspec->queue());
    project = pool.get(jobspec->project());
    bank = pool.get(jobspec->bank());
    duration = jobspec->duration();
    if (auto count = jobspec->ntasks())
        ntasks = uint32_t(*count);
    auto each = jobspec->tasks_of_each();
    tasks_of_each = each ? uint32_t(each->count) : 0;
    tasks_by_node = each && each->node;
    if (nodelist.empty()) // what it asks for, until it has something
        if (auto shape = jobspec->shape()) {
            ncores = uint32_t(shape->ncores());
            nnodes = uint32_t(shape->nnodes);
        }
}

void Record::take_R(Pool &pool, const Json &json)
{
    auto R = ResourceSet::from_json(json);
    if (!R)
        return;
    nnodes = uint32_t(R->nnodes());
    ncores = uint32_t(R->ncores());
    if (tasks_of_each)
        ntasks = tasks_of_each * (tasks_by_node ? nnodes : ncores);
    ranks = pool.get(R->ranks().format());
    nodelist = pool.get(R->nodelist().encode());
    expiration = R->expiration();
}

// The scheduler's annotations replace each other; what memos have said of the job stays until they say
// otherwise.
void Record::set_annotations(Pool &pool, Json fresh)
{
    Json user = annotations.empty() ? Json() : Json::parse_or_throw(annotations.text())["user"];
    if (user || fresh["user"]) {
        fresh = fresh ? fresh.shallow_copy() : Json::object();
        if (Json merged = merge_annotations(user, fresh["user"]))
            fresh.set("user", merged);
        else
            fresh.erase("user");
    }
    annotations = fresh && !fresh.empty() ? pool.get(fresh.dump()) : Pooled();
}

void Record::take_memo(Pool &pool, const Json &memo)
{
    Json all = annotations.empty() ? Json::object() : Json::parse_or_throw(annotations.text());
    Json user = all["user"] ? all["user"] : Json::object();
    for (auto [key, value] : memo.members())
        if (value.is_null())
            user.erase(key);
        else
            user.set(key, value);
    all.set("user", user);
    annotations = pool.get(all.dump());
}

Expected<void> Record::take_event(Pool &pool, const Event &event)
{
    if (event.name == "annotations") {
        set_annotations(pool, event.context["annotations"]);
        return {};
    }
    if (event.name == "memo")
        take_memo(pool, event.context);
    if (!job) {
        if (inactive())
            return {}; // a memo: nothing else comes after the end
        job = std::make_unique<Job>();
        job->id = id;
    }
    if (auto applied = job->apply(event); !applied)
        return applied;
    auto before = std::exchange(state, job->state);
    userid = job->userid;
    urgency = uint8_t(job->urgency);
    priority = job->priority;
    if (event.name == "submit")
        t_submit = event.timestamp;
    else if (event.name == "alloc")
        set_annotations(pool, job->annotations);
    else if (event.name == "finish")
        waitstatus = job->status;
    else if (event.name == "dependency-add" || event.name == "dependency-remove")
        dependencies = job->dependencies.empty() ? Pooled() : pool.get(Json::array_of(job->dependencies).dump());
    else if (event.name == "resource-update")
        expiration = event.context.value<double>("expiration", expiration);
    else if (event.name == "exception") {
        auto severity = event.context.value<int>("severity", 0);
        if (exception_severity < 0 || severity < exception_severity) { // the worst, of those the first
            exception_severity = int8_t(severity);
            exception_type = pool.get(event.context["type"].string_view());
            exception_note = pool.get(event.context["note"].string_view());
        }
    } else if (event.name == "jobspec-update") {
        if (Json value = event.context["attributes.system.duration"]; value.is_number())
            duration = value.as<double>();
        if (Json value = event.context["attributes.system.queue"])
            queue = pool.get(value.string_view());
        if (Json value = event.context["attributes.system.job.name"])
            name = pool.get(value.string_view());
        if (Json value = event.context["attributes.system.bank"])
            bank = pool.get(value.string_view());
        if (Json value = event.context["attributes.system.project"])
            project = pool.get(value.string_view());
    }
    if (state == before)
        return {};
    if (auto *time = time_of(*this, state); time && *time == 0)
        *time = event.timestamp;
    if (inactive()) {
        result = job->result();
        job.reset();
    }
    return {};
}

Json Record::attribute(std::string_view attribute) const
{
    if (attribute == "userid")
        return userid;
    if (attribute == "urgency")
        return urgency;
    if (attribute == "priority")
        return priority >= 0 ? Json(priority) : Json();
    if (attribute == "t_submit")
        return time_or_absent(t_submit);
    if (attribute == "t_depend")
        return time_or_absent(t_depend);
    if (attribute == "t_priority")
        return time_or_absent(t_priority);
    if (attribute == "t_sched")
        return time_or_absent(t_sched);
    if (attribute == "t_run")
        return time_or_absent(t_run);
    if (attribute == "t_cleanup")
        return time_or_absent(t_cleanup);
    if (attribute == "t_inactive")
        return time_or_absent(t_inactive);
    if (attribute == "state")
        return bit(state);
    if (attribute == "name")
        return text_or_absent(name);
    if (attribute == "cwd")
        return text_or_absent(cwd);
    if (attribute == "queue")
        return text_or_absent(queue);
    if (attribute == "project")
        return text_or_absent(project);
    if (attribute == "bank")
        return text_or_absent(bank);
    if (attribute == "ntasks")
        return count_or_absent(ntasks);
    if (attribute == "ncores")
        return count_or_absent(ncores);
    if (attribute == "duration")
        return duration;
    if (attribute == "nnodes")
        return count_or_absent(nnodes);
    if (attribute == "ranks") // as a hostlist would say it: brackets around more than one
        return ranks.text().find_first_of(",-") == std::string_view::npos
                   ? text_or_absent(ranks)
                   : Json(fmt::format("[{}]", ranks.text()));
    if (attribute == "nodelist")
        return text_or_absent(nodelist);
    if (attribute == "success")
        return inactive() ? Json(result == JobResult::completed) : Json();
    if (attribute == "exception_occurred")
        return inactive() ? Json(exception_severity >= 0) : Json();
    if (attribute == "exception_type")
        return text_or_absent(exception_type);
    if (attribute == "exception_severity")
        return exception_severity >= 0 ? Json(exception_severity) : Json();
    if (attribute == "exception_note")
        return exception_severity >= 0 ? Json(exception_note.text()) : Json();
    if (attribute == "result")
        return inactive() ? Json(bit(result)) : Json();
    if (attribute == "expiration")
        return nodelist.empty() ? Json() : Json(expiration);
    if (attribute == "annotations")
        return json_or_absent(annotations);
    if (attribute == "dependencies")
        return json_or_absent(dependencies);
    if (attribute == "waitstatus")
        return waitstatus >= 0 ? Json(waitstatus) : Json();
    return {};
}

std::span<const std::string_view> all_attributes()
{
    return attribute_names;
}

Json row(const Record &record, const std::vector<std::string> &attributes)
{
    Json out {{"id", record.id.value()}};
    for (const auto &name : attributes) {
        if (name == "id")
            continue;
        if (name == "all") {
            for (auto each : attribute_names)
                if (Json value = record.attribute(each))
                    out.set(each, value);
        } else if (std::ranges::find(attribute_names, name) == attribute_names.end())
            throw Error(EINVAL, "{} is not a valid attribute", name);
        else if (Json value = record.attribute(name))
            out.set(name, value);
    }
    return out;
}

ConstraintOperators<Record> constraint_operators(std::map<std::string, std::string, std::less<>> virtual_queues)
{
    using Values = const Json &;
    ConstraintOperators<Record> out;
    out["userid"] = [](std::string_view, Values values) -> Test {
        auto ids = values.as<std::vector<int64_t>>();
        return [ids](const Record &record) {
            return std::ranges::any_of(ids, [&](auto id) { return id == -1 || id == record.userid; });
        };
    };
    out["states"] = [](std::string_view, Values values) -> Test {
        auto mask = mask_of(values, parse_states);
        if (!mask)
            return std::unexpected(mask.error());
        return [mask = *mask](const Record &record) { return (bit(record.state) & mask) != 0; };
    };
    out["results"] = [](std::string_view, Values values) -> Test {
        auto mask = mask_of(values, parse_results);
        if (!mask)
            return std::unexpected(mask.error());
        return [mask = *mask](const Record &record) { return record.inactive() && (bit(record.result) & mask); };
    };
    out["name"] = [](std::string_view, Values values) -> Test {
        auto names = values.as<std::vector<std::string>>();
        return [names](const Record &record) {
            return std::ranges::find(names, record.name.text()) != names.end();
        };
    };
    out["queue"] = [virtual_queues](std::string_view, Values values) -> Test {
        auto names = values.as<std::vector<std::string>>();
        return [names, virtual_queues](const Record &record) {
            auto parent = virtual_queues.find(record.queue.text());
            return std::ranges::any_of(names, [&](const std::string &name) {
                return name == record.queue.text() || (parent != virtual_queues.end() && parent->second == name);
            });
        };
    };
    out["hostlist"] = [](std::string_view, Values values) { return match_hosts(values); };
    out["ranks"] = [](std::string_view, Values values) { return match_ranks(values); };
    for (const char *name : {"t_submit", "t_depend", "t_run", "t_cleanup", "t_inactive"})
        out[name] = [name](std::string_view, Values values) { return compare_time(name, values); };
    return out;
}

} // namespace flux::job_list
