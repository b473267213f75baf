// job-list (rank 0): what people want to see of jobs, kept up to date from the job manager's journal (RFC 43).
#include <algorithm>
#include <deque>
#include <unordered_map>
#include <unordered_set>

#include "common/client/follow_service.hpp"
#include "common/job/queue_config.hpp"
#include "common/module/module.hpp"
#include "modules/job-list/record.hpp"

namespace flux::job_list {

namespace {

constexpr size_t chunk = 100; // jobs of one response
constexpr Duration stats_interval =
    std::chrono::milliseconds(200); // at least, between two answers of one stream
constexpr const char *purge_event = "job-purge-inactive";

struct Counts {
    std::map<JobState, size_t> states;
    std::map<JobResult, size_t> results; // of inactive jobs
    size_t total = 0;
    size_t purged = 0;

    void count(const Record &record, int delta)
    {
        states[record.state] += size_t(delta);
        if (record.inactive())
            results[record.result] += size_t(delta);
        total += size_t(delta);
    }
    Json to_json() const
    {
        Json shown = Json::object();
        for (auto state : {JobState::depend, JobState::priority, JobState::sched, JobState::run,
                           JobState::cleanup, JobState::inactive}) {
            auto found = states.find(state);
            shown.set(state_name_lower(state), found == states.end() ? 0 : found->second);
        }
        shown.set("total", total);
        Json out {{"job_states", shown}};
        for (auto [name, result] : {std::pair {"successful", JobResult::completed},
                                    {"failed", JobResult::failed},
                                    {"canceled", JobResult::canceled},
                                    {"timeout", JobResult::timeout}}) {
            auto found = results.find(result);
            out.set(name, found == results.end() ? 0 : found->second);
        }
        return out.set("inactive_purged", purged);
    }
};

} // namespace

class JobList : public Module {
public:
    explicit JobList(Context &context) : Module(context), changed_(loop()), counted_(loop())
    {
        serve("list", role::any, &JobList::list);
        serve("list-id", role::any, &JobList::list_id);
        serve("list-attrs", role::any, &JobList::list_attrs);
        serve("job-stats", role::any, &JobList::job_stats);
        JobList::config_changed();
    }
    Task<> start() override
    {
        handle().on_event(purge_event, [this](const Message &event) {
            if (!event.credentials.is_owner() || event.topic != purge_event) // anybody may publish
                return;
            for (auto id : event.json()["jobs"].elements())
                purge(JobId(id.as<uint64_t>()));
        });
        spawn(follow());
        while (journal_ == Journal::unknown || journal_ == Journal::past)
            co_await changed_.wait();
    }
    void config_changed() override
    {
        std::map<std::string, std::string, std::less<>> virtual_queues;
        if (auto queues = QueueConfig::from(context().config()))
            for (const auto &[name, queue] : queues->queues()) {
                if (!name.empty())
                    queues_[name];
                if (!queue.parent.empty())
                    virtual_queues[name] = queue.parent;
            }
        operators_ = constraint_operators(std::move(virtual_queues));
        private_mode_ = context().config()["access"].value("private-mode", false);
    }
    Json stats() const override
    {
        return Json {{"jobs", jobs_.size()}, {"texts", pool_.size()}, {"record", sizeof(Record)}};
    }

private:
    // --- upkeep
    Task<> follow()
    {
        std::function<Task<>()> read = [this] { return read_journal(); };
        std::function<void()> gone = [this] { enter(Journal::none); };
        co_await follow_service(handle(), "job-manager", read, gone);
    }
    // Until the job manager goes. One that was loaded again tells the past anew: each job takes the place of what was
    // known of it, and those that are not told of any more were purged.
    Task<> read_journal()
    {
        enter(Journal::past);
        told_anew_.clear();
        Json args {{"full", true}};
        auto journal =
            handle().stream("job-manager.events-journal", args, {}, "job-manager.events-journal-cancel");
        while (auto message = co_await journal.next()) {
            if (message->json().get<int64_t>("id") == -1)
                caught_up();
            else
                take(message->json());
        }
    }
    enum class Journal { unknown, none, past, present };
    void enter(Journal journal)
    {
        journal_ = journal;
        changed_.notify_all();
    }
    void caught_up()
    {
        std::vector<JobId> purged;
        for (const auto &[id, record] : jobs_)
            if (!told_anew_.contains(id))
                purged.push_back(id);
        for (auto id : purged)
            purge(id);
        told_anew_.clear();
        enter(Journal::present);
    }
    // What was known of the job goes when its past is told anew.
    void begin_anew(Record &record)
    {
        if (journal_ == Journal::past && told_anew_.insert(record.id).second)
            record = Record {.id = record.id};
    }
    void take(const Json &message)
    {
        JobId id(message.get<uint64_t>("id"));
        auto &record = jobs_[id];
        record.id = id;
        leave_order(record);
        count(record, -1);
        begin_anew(record);
        if (Json jobspec = message["jobspec"])
            record.take_jobspec(pool_, jobspec);
        if (Json R = message["R"])
            record.take_R(pool_, R);
        for (auto json : message["events"].elements()) {
            auto event = Event::from_json(json);
            auto taken = event ? record.take_event(pool_, *event) : Expected<void>(std::unexpected(event.error()));
            if (!taken)
                log(LogLevel::err, "{}: {}", id, taken.error().text());
        }
        count(record, 1);
        join_order(record);
        if (auto waiting = waiting_.find(id); waiting != waiting_.end())
            waiting->second->notify_all();
    }
    void count(const Record &record, int delta)
    {
        if (record.state == JobState::new_)
            return;
        counts_.count(record, delta);
        counted_.notify_all();
        if (!record.queue.empty())
            queues_[std::string(record.queue.text())].count(record, delta);
    }
    // Pending jobs by priority, running ones by start, inactive ones by end (RFC 43); all read backwards.
    static bool pending(const Record &record) { return bit(record.state) & job_states::pending; }
    static double running_key(const Record &record)
    {
        return record.t_run > 0 ? record.t_run : record.t_cleanup; // cancelled before it ran
    }
    void join_order(const Record &record)
    {
        if (pending(record))
            pending_.emplace(record.priority, ~record.id.value());
        else if (record.inactive()) {
            std::pair key {record.t_inactive, record.id};
            if (inactive_.empty() || inactive_.back() < key)
                inactive_.push_back(key);
            else
                inactive_.insert(std::ranges::lower_bound(inactive_, key), key);
        } else if (record.state != JobState::new_)
            running_.emplace(running_key(record), record.id);
    }
    void leave_order(const Record &record)
    {
        if (pending(record))
            pending_.erase({record.priority, ~record.id.value()});
        else if (record.inactive()) {
            std::pair key {record.t_inactive, record.id};
            auto at = std::ranges::lower_bound(inactive_, key);
            if (at != inactive_.end() && *at == key)
                inactive_.erase(at);
        } else if (record.state != JobState::new_)
            running_.erase({running_key(record), record.id});
    }
    void purge(JobId id)
    {
        auto found = jobs_.find(id);
        if (found == jobs_.end())
            return;
        const auto &record = found->second;
        count(record, -1);
        ++counts_.purged;
        if (!record.queue.empty())
            ++queues_[std::string(record.queue.text())].purged;
        leave_order(record);
        jobs_.erase(found);
    }

    // --- requests
    bool visible(const Record &record, const Credentials &who) const
    {
        return !private_mode_ || who.is_owner() || record.userid == who.userid;
    }
    std::vector<JobId> matching(const Request &request, const Constraint<Record> &wanted)
    {
        auto limit = request.find<size_t>("max_entries").value_or(0);
        auto since = request.find<double>("since").value_or(0);
        std::vector<JobId> out;
        auto consider = [&](JobId id) { // false: enough
            const auto &record = jobs_.at(id);
            if (visible(record, request.credentials()) && wanted.match(record))
                out.push_back(id);
            return !limit || out.size() < limit;
        };
        for (auto at = pending_.rbegin(); at != pending_.rend(); ++at)
            if (!consider(JobId(~at->second)))
                return out;
        for (auto at = running_.rbegin(); at != running_.rend(); ++at)
            if (!consider(at->second))
                return out;
        for (auto at = inactive_.rbegin(); at != inactive_.rend() && (since <= 0 || at->first > since); ++at)
            if (!consider(at->second))
                return out;
        return out;
    }
    Task<> list(Request request)
    {
        auto attributes = request.get<std::vector<std::string>>("attrs");
        row(Record(), attributes); // names that there are not
        Json constraint = request.json()["constraint"];
        auto wanted =
            constraint ? value_or_throw(Constraint<Record>::compile(constraint, operators_)) : Constraint<Record>();
        auto ids = matching(request, wanted);
        bool streaming = request.is_streaming();
        Json jobs = Json::array();
        bool first = true;
        for (auto id : ids) {
            if (auto found = jobs_.find(id); found != jobs_.end())
                jobs.append(row(found->second, attributes));
            if (!streaming || jobs.size() < chunk)
                continue;
            respond(request, std::exchange(jobs, Json::array()), std::exchange(first, false));
            co_await sleep_for(loop(), Duration::zero()); // others want to be served too
        }
        if (!streaming || !jobs.empty())
            respond(request, jobs, first);
    }
    static void respond(Request &request, Json jobs, bool first)
    {
        Json out {{"jobs", std::move(jobs)}};
        if (first && request.is_streaming())
            out.set("version", 1);
        request.respond(out);
    }
    Task<Json> list_id(Request request)
    {
        JobId id(request.get<uint64_t>("id"));
        auto attributes = request.get<std::vector<std::string>>("attrs");
        auto wanted = request.find<uint32_t>("state").value_or(0);
        row(Record(), attributes);
        if (!jobs_.contains(id))
            co_await hear_of_new_jobs();
        for (;;) {
            auto found = jobs_.find(id);
            if (found == jobs_.end() || !visible(found->second, request.credentials()))
                throw Error(ENOENT, "{}: no such job", id);
            if (bit(found->second.state) >= wanted)
                co_return Json::make("job", row(found->second, attributes));
            auto &waiting = waiting_[id];
            if (!waiting)
                waiting = std::make_shared<Condition>(loop());
            auto keep = waiting;
            co_await keep->wait();
            if (keep.use_count() == 2)
                waiting_.erase(id);
        }
    }
    // The first event of a job that was submitted may be on its way.
    Task<> hear_of_new_jobs()
    {
        std::optional<Error> failed;
        try {
            co_await rpc("job-manager.getinfo");
        } catch (const Error &error) {
            failed = error;
        }
        if (failed && failed->errnum() == ENOSYS)
            throw Error(ENOSYS, "the job manager is not loaded: it is not known whether there is such a job");
        if (failed)
            throw *failed;
        while (journal_ == Journal::past)
            co_await changed_.wait();
    }
    Json list_attrs(Request &)
    {
        auto attrs = Json::array_of(all_attributes());
        attrs.append("all");
        return Json {{"attrs", attrs}};
    }
    // To a streaming request now and whenever they have changed (flux top).
    Task<> job_stats(Request request)
    {
        if (private_mode_ && !request.credentials().is_owner())
            throw Error(EPERM, "this instance is in private mode: statistics are for its owner");
        request.respond(all_counts());
        while (request.is_streaming()) {
            co_await counted_.wait();
            co_await sleep_for(loop(), stats_interval);
            request.respond(all_counts());
        }
    }
    Json all_counts() const
    {
        Json queues = Json::array();
        for (const auto &[name, counts] : queues_) {
            Json entry = counts.to_json();
            queues.append(entry.set("name", name));
        }
        return counts_.to_json().set("queues", queues);
    }

    Pool pool_; // outlives the records
    std::unordered_map<JobId, Record> jobs_;
    std::set<std::pair<int64_t, uint64_t>> pending_; // priority, ~id: an older one comes first
    std::set<std::pair<double, JobId>> running_;
    std::deque<std::pair<double, JobId>> inactive_;
    ConstraintOperators<Record> operators_;
    Counts counts_;
    std::map<std::string, Counts> queues_;
    std::unordered_map<JobId, std::shared_ptr<Condition>> waiting_; // for a state
    bool private_mode_ = false;
    Condition changed_; // journal_
    Condition counted_; // counts_
    Journal journal_ = Journal::unknown;
    std::unordered_set<JobId> told_anew_; // while the past is told
};

FLUX_MODULE(job_list, "job-list", JobList)

} // namespace flux::job_list
