// job-list (rank 0): what people want to see of jobs, kept up to date from the job manager's journal. Jobs
// are replayed with the same state machine that the job manager uses.
#include <algorithm>
#include <array>
#include <unordered_map>

#include "common/job/jobspec.hpp"
#include "common/module/module.hpp"
#include "common/types/constraint.hpp"
#include "modules/job-manager/job.hpp"

namespace flux {

namespace {

constexpr std::array all_attributes {"userid",
                                     "urgency",
                                     "priority",
                                     "t_submit",
                                     "t_depend",
                                     "t_run",
                                     "t_cleanup",
                                     "t_inactive",
                                     "state",
                                     "name",
                                     "cwd",
                                     "queue",
                                     "project",
                                     "bank",
                                     "ntasks",
                                     "ncores",
                                     "duration",
                                     "nnodes",
                                     "ranks",
                                     "nodelist",
                                     "success",
                                     "exception_occurred",
                                     "exception_type",
                                     "exception_severity",
                                     "exception_note",
                                     "result",
                                     "expiration",
                                     "annotations",
                                     "dependencies",
                                     "waitstatus"};

struct Listed {
    Job job;
    Json shown = Json::object(); // by attribute name, what does not come from job
};

ConstraintOperators<Listed> operators()
{
    using Values = const Json &;
    using Test = Expected<ConstraintTest<Listed>>;
    ConstraintOperators<Listed> out;
    out["userid"] = [](std::string_view, Values values) -> Test {
        auto ids = values.as<std::vector<int64_t>>();
        return [ids](const Listed &entry) {
            return std::ranges::any_of(ids, [&](auto id) { return id == -1 || id == entry.job.userid; });
        };
    };
    out["states"] = [](std::string_view, Values values) -> Test {
        uint32_t mask = 0;
        for (auto value : values.elements())
            mask |=
                value.is_integer() ? value.as<uint32_t>() : value_or_throw(parse_states(value.string_view()));
        return [mask](const Listed &entry) {
            return (bit(entry.job.state) & mask) != 0;
        };
    };
    out["results"] = [](std::string_view, Values values) -> Test {
        uint32_t mask = 0;
        for (auto value : values.elements())
            mask |= value.is_integer() ? value.as<uint32_t>()
                                       : value_or_throw(parse_results(value.string_view()));
        return [mask](const Listed &entry) {
            return entry.job.state == JobState::inactive && (bit(entry.job.result()) & mask);
        };
    };
    for (const char *name : {"name", "queue"})
        out[name] = [name](std::string_view, Values values) -> Test {
            auto names = values.as<std::vector<std::string>>();
            return [name, names](const Listed &entry) {
                return std::ranges::find(names, entry.shown[name].string_view()) != names.end();
            };
        };
    out["hostlist"] = [](std::string_view, Values values) -> Test {
        Hostlist hosts;
        for (const auto &text : values.as<std::vector<std::string>>())
            if (auto ok = hosts.append(text); !ok)
                return std::unexpected(ok.error());
        return [hosts](const Listed &entry) {
            auto list = Hostlist::parse(entry.shown["nodelist"].string_view());
            return list && !list->find_all(hosts).empty();
        };
    };
    for (const char *name : {"t_submit", "t_depend", "t_run", "t_cleanup", "t_inactive"})
        out[name] = [name](std::string_view, Values values) -> Test {
            std::string text(values[size_t(0)].string_view());
            size_t width = text.starts_with(">=") || text.starts_with("<=") ? 2 : 1;
            if (text.empty() || (text[0] != '<' && text[0] != '>'))
                return fail(EINVAL, "{}: a comparison such as \">=1700000000\" is expected", name);
            std::string op = text.substr(0, width);
            double limit = std::strtod(text.c_str() + width, nullptr);
            return [name, op, limit](const Listed &entry) {
                double value = entry.shown.value<double>(name, 0);
                if (value == 0)
                    return false;
                return op == ">="   ? value >= limit
                       : op == "<=" ? value <= limit
                       : op == ">"  ? value > limit
                                    : value < limit;
            };
        };
    return out;
}

} // namespace

class JobList : public Module {
public:
    explicit JobList(Context &context) : Module(context), changed_(loop())
    {
        serve("list", role::any, &JobList::list);
        serve("list-id", role::any, &JobList::list_id);
        serve("list-attrs", role::any, &JobList::list_attrs);
        serve("job-stats", role::any, &JobList::job_stats);
    }
    Task<> start() override
    {
        handle().on_event("job-purge-inactive", [this](const Message &event) {
            for (auto id : event.json()["jobs"].elements())
                purged_ += jobs_.erase(JobId(id.as<uint64_t>()));
        });
        spawn(follow());
        while (!caught_up_)
            co_await changed_.wait();
    }
    Json stats() const override { return Json {{"jobs", jobs_.size()}}; }

private:
    Task<> follow()
    {
        Json args {{"full", true}};
        auto journal =
            handle().stream("job-manager.events-journal", args, {}, "job-manager.events-journal-cancel");
        while (auto message = co_await journal.next()) {
            if (message->json().get<int64_t>("id") == -1)
                caught_up_ = true;
            else
                take(message->json());
            changed_.notify_all();
        }
    }
    void take(const Json &message)
    {
        JobId id(message.get<uint64_t>("id"));
        auto &entry = jobs_[id];
        entry.job.id = id;
        if (message["jobspec"])
            take_jobspec(entry, message["jobspec"]);
        if (message["R"])
            if (auto R = ResourceSet::from_json(message["R"])) {
                entry.shown.set("nnodes", R->nnodes())
                    .set("ncores", R->ncores())
                    .set("ranks", R->ranks().format());
                entry.shown.set("nodelist", R->nodelist().encode()).set("expiration", R->expiration());
            }
        for (auto json : message["events"].elements()) {
            auto event = value_or_throw(Event::from_json(json));
            if (event.name == "annotations") {
                entry.job.annotations = event.context["annotations"];
                continue;
            }
            auto before = entry.job.state;
            if (auto applied = entry.job.apply(event); !applied) {
                log(LogLevel::err, "{}: {}", id, applied.error().text());
                continue;
            }
            note_event(entry, event, before);
        }
        order_[{entry.job.t_submit, id}] = true;
    }
    static void take_jobspec(Listed &entry, const Json &json)
    {
        auto jobspec = Jobspec::parse(json);
        if (!jobspec)
            return;
        auto &shown = entry.shown;
        shown.set("name", jobspec->name()).set("duration", jobspec->duration());
        for (auto [key, value] : {std::pair {"cwd", jobspec->cwd()},
                                  {"queue", jobspec->queue()},
                                  {"project", jobspec->project()},
                                  {"bank", jobspec->bank()}})
            if (!value.empty())
                shown.set(key, value);
        if (auto ntasks = jobspec->ntasks())
            shown.set("ntasks", *ntasks);
        if (auto shape = jobspec->shape()) {
            shown.set("ncores", shape->ncores());
            if (shape->nnodes)
                shown.set("nnodes", shape->nnodes);
        }
    }
    static void note_event(Listed &entry, const Event &event, JobState before)
    {
        auto &shown = entry.shown;
        if (event.name == "submit")
            shown.set("t_submit", event.timestamp);
        if (event.name == "finish")
            shown.set("waitstatus", entry.job.status);
        if (event.name == "exception" && !shown["exception_type"])
            shown.set("exception_type", event.context["type"])
                .set("exception_severity", event.context["severity"])
                .set("exception_note", event.context["note"]);
        if (entry.job.state == before)
            return;
        switch (entry.job.state) {
        case JobState::depend:
            shown.set("t_depend", event.timestamp);
            break;
        case JobState::run:
            shown.set("t_run", event.timestamp);
            break;
        case JobState::cleanup:
            shown.set("t_cleanup", event.timestamp);
            break;
        case JobState::inactive:
            shown.set("t_inactive", event.timestamp);
            break;
        default:
            break;
        }
    }
    static Json attribute(const Listed &entry, std::string_view name)
    {
        const Job &job = entry.job;
        bool inactive = job.state == JobState::inactive;
        if (name == "userid")
            return job.userid;
        if (name == "urgency")
            return job.urgency;
        if (name == "priority")
            return job.priority >= 0 ? Json(job.priority) : Json();
        if (name == "state")
            return bit(job.state);
        if (name == "annotations")
            return job.annotations;
        if (name == "dependencies")
            return job.dependencies.empty() ? Json() : Json::array_of(job.dependencies);
        if (name == "result")
            return inactive ? Json(bit(job.result())) : Json();
        if (name == "success")
            return inactive ? Json(job.result() == JobResult::completed) : Json();
        if (name == "exception_occurred")
            return inactive ? Json(bool(entry.shown["exception_type"])) : Json();
        return entry.shown[name];
    }
    static Json row(const Listed &entry, const std::vector<std::string> &attributes)
    {
        Json out {{"id", entry.job.id.value()}};
        for (const auto &name : attributes) {
            if (name == "all") {
                for (std::string_view each : all_attributes)
                    if (Json value = attribute(entry, each))
                        out.set(each, value);
            } else if (std::ranges::find(all_attributes, name) == all_attributes.end())
                throw Error(EINVAL, "{} is not a valid attribute", name);
            else if (Json value = attribute(entry, name))
                out.set(name, value);
        }
        return out;
    }
    Task<> list(Request request)
    {
        static const auto known = operators();
        request.require_streaming();
        auto attributes = request.get<std::vector<std::string>>("attrs");
        auto limit = request.find<size_t>("max_entries").value_or(0);
        auto since = request.find<double>("since").value_or(0);
        auto wanted = request.json()["constraint"]
                          ? value_or_throw(Constraint<Listed>::compile(request.json()["constraint"], known))
                          : Constraint<Listed>();
        size_t sent = 0;
        for (auto at = order_.rbegin(); at != order_.rend(); ++at) { // the newest first
            auto found = jobs_.find(at->first.second);
            if (found == jobs_.end() || found->second.job.state == JobState::new_)
                continue;
            const auto &entry = found->second;
            if ((since > 0 && entry.shown.value<double>("t_inactive", since + 1) <= since) ||
                !wanted.match(entry))
                continue;
            request.respond(Json {{"jobs", Json::array().append(row(entry, attributes))}});
            if (++sent == limit)
                break;
        }
        co_return;
    }
    Task<Json> list_id(Request request)
    {
        JobId id(request.get<uint64_t>("id"));
        auto attributes = request.get<std::vector<std::string>>("attrs");
        if (!jobs_.contains(id)) { // its first event may be on the way
            co_await rpc("job-manager.getinfo");
            if (!jobs_.contains(id))
                throw Error(ENOENT, "{}: no such job", id);
        }
        co_return Json {{"job", row(jobs_.at(id), attributes)}};
    }
    Json list_attrs(Request &) { return Json {{"attrs", Json::array_of(all_attributes)}}; }
    Json job_stats(Request &)
    {
        std::map<JobState, size_t> states;
        std::map<JobResult, size_t> results;
        for (const auto &[id, entry] : jobs_) {
            ++states[entry.job.state];
            if (entry.job.state == JobState::inactive)
                ++results[entry.job.result()];
        }
        Json counts = Json::object();
        for (auto state : {JobState::depend, JobState::priority, JobState::sched, JobState::run,
                           JobState::cleanup, JobState::inactive})
            counts.set(state_name_lower(state), states[state]);
        counts.set("total", jobs_.size());
        return Json {{"job_states", counts},
                     {"successful", results[JobResult::completed]},
                     {"failed", results[JobResult::failed]},
                     {"canceled", results[JobResult::canceled]},
                     {"timeout", results[JobResult::timeout]},
                     {"inactive_purged", purged_},
                     {"queues", Json::array()}};
    }

    std::unordered_map<JobId, Listed> jobs_;
    std::map<std::pair<double, JobId>, bool> order_; // by submission
    Condition changed_;
    bool caught_up_ = false;
    uint64_t purged_ = 0;
};

FLUX_MODULE(job_list, "job-list", JobList)

} // namespace flux
