// job-info (every rank): what the KVS knows of a job, for its owner: keys (RFC 41 lookup) and event logs as
// they grow.
#include "common/job/eventlog.hpp"
#include "common/kvs/flags.hpp"
#include "common/kvs/treeobj.hpp"
#include "common/module/module.hpp"
#include "common/types/idset.hpp"
#include "common/types/job_id.hpp"

namespace flux {

namespace {
constexpr int json_decode = 1; // flags of lookup
constexpr int current = 2;
constexpr int waitcreate = 1; // flag of eventlog-watch

std::string_view last_event(std::string_view path)
{
    return path == "eventlog" ? "clean" : path == "guest.exec.eventlog" ? "done" : "";
}
} // namespace

class JobInfo : public Module {
public:
    explicit JobInfo(Context &context) : Module(context)
    {
        serve("lookup", role::any, &JobInfo::lookup);
        serve("eventlog-watch", role::any, &JobInfo::eventlog_watch);
        serve("update-lookup", role::any, &JobInfo::update_lookup);
        serve("update-watch", role::any, &JobInfo::update_watch);
    }
    Json stats() const override { return Json {{"lookups", lookups_}, {"watchers", watchers_}}; }

private:
    Task<std::string> read(std::string key)
    {
        Json args {{"key", key}, {"namespace", "primary"}, {"flags", 0}};
        auto answer = co_await rpc("kvs.lookup", args);
        co_return value_or_throw(treeobj::decode_val(answer.json()["val"]));
    }
    // The same of a job; ENOENT says whether the job is missing or only this.
    Task<std::string> read(JobId id, std::string path)
    {
        std::optional<Error> failed;
        try {
            co_return co_await read(id.kvs_path(path));
        } catch (const Error &error) {
            failed = error;
        }
        if (failed->errnum() != ENOENT)
            throw *failed;
        co_return co_await fail_missing(id, std::move(path));
    }
    Task<std::string> fail_missing(JobId id, std::string path)
    {
        bool there = path != "eventlog" && co_await exists(id.kvs_path("eventlog"));
        if (there)
            throw Error(ENOENT, "job {} has no {}", id, path);
        throw Error(ENOENT, "there is no job {}; flux jobs -a lists them", id);
    }
    // The next part of what is watched at this path.
    Task<std::optional<Message>> next_of(Stream &stream, JobId id, std::string path)
    {
        std::optional<Error> failed;
        try {
            co_return co_await stream.next();
        } catch (const Error &error) {
            failed = error;
        }
        if (failed->errnum() == ENOENT)
            co_await fail_missing(id, std::move(path));
        throw *failed;
    }
    // EPERM unless the sender owns the instance or the job.
    Task<> check_owner(Credentials who, JobId id)
    {
        if (who.is_owner())
            co_return;
        auto text = co_await read(id, "eventlog");
        auto first = value_or_throw(Event::parse(std::string_view(text).substr(0, text.find('\n'))));
        if (first.context.get<uint32_t>("userid") != who.userid)
            throw Error(EPERM, "job {} belongs to another user", id);
    }
    Task<Json> lookup(Request request)
    {
        ++lookups_;
        JobId id(request.get<uint64_t>("id"));
        auto keys = request.get<std::vector<std::string>>("keys");
        auto flags = request.find<int>("flags").value_or(0);
        co_await check_owner(request.credentials(), id);
        Json out {{"id", id.value()}};
        for (const auto &key : keys) {
            auto text = co_await read(id, key);
            bool document = key == "R" || key == "jobspec";
            if (document && (flags & (current | json_decode))) {
                Json value = Json::parse_or_throw(text);
                if (flags & current) {
                    auto eventlog = co_await read(id, "eventlog");
                    update(key, value, eventlog);
                }
                out.set(key, flags & json_decode ? value : Json(value.dump()));
            } else
                out.set(key, text);
        }
        co_return out;
    }
    static void update(const std::string &key, Json &value, const std::string &eventlog)
    {
        for (const auto &event : value_or_throw(parse_eventlog(eventlog)))
            apply_update(key, value, event);
    }
    // Whether the event changed the document.
    static bool apply_update(const std::string &key, Json &value, const Event &event)
    {
        if (key == "jobspec" && event.name == "jobspec-update") {
            for (auto [path, change] : event.context.members())
                value.set_path(path, change);
            return true;
        }
        if (key == "R" && event.name == "resource-update" && event.context["expiration"]) {
            value.set_path("execution.expiration", event.context["expiration"]);
            return true;
        }
        return false;
    }
    static std::string update_key(const Request &request)
    {
        auto key = request.get<std::string>("key");
        if (key != "R" && key != "jobspec")
            throw Error(EINVAL, "{} is never updated: only R and jobspec are", key);
        return key;
    }
    // {"id","key"} -> {"KEY": object}: as it is now.
    Task<Json> update_lookup(Request request)
    {
        ++lookups_;
        JobId id(request.get<uint64_t>("id"));
        auto key = update_key(request);
        co_await check_owner(request.credentials(), id);
        Json value = Json::parse_or_throw(co_await read(id, key));
        auto eventlog = co_await read(id, "eventlog");
        update(key, value, eventlog);
        co_return Json::make(key, value);
    }
    // The same, and again after each update, until the job has ended.
    Task<> update_watch(Request request)
    {
        request.require_streaming();
        JobId id(request.get<uint64_t>("id"));
        auto key = update_key(request);
        co_await check_owner(request.credentials(), id);
        Json value = Json::parse_or_throw(co_await read(id, key));
        Counted watching(watchers_);
        Json args {{"key", id.kvs_path("eventlog")},
                   {"namespace", "primary"},
                   {"flags", kvs::flag::watch | kvs::flag::watch_append}};
        auto stream = handle().stream("kvs-watch.lookup", args, {}, "kvs-watch.cancel");
        bool first = true;
        while (auto message = co_await stream.next()) { // whole lines: events are appended as such
            auto text = value_or_throw(treeobj::decode_val(message->json()["val"]));
            bool changed = std::exchange(first, false), over = false;
            for (const auto &event : value_or_throw(parse_eventlog(text))) {
                changed |= apply_update(key, value, event);
                over |= event.name == "clean";
            }
            if (changed) {
                Json out = Json::make(key, value.copy());
                request.respond(out);
            }
            if (over)
                co_return;
        }
    }
    Task<> eventlog_watch(Request request)
    {
        request.require_streaming();
        JobId id(request.get<uint64_t>("id"));
        auto path = request.get<std::string>("path");
        auto flags = request.find<int>("flags").value_or(0);
        co_await check_owner(request.credentials(), id);
        // What comes into being while the job runs may be waited for, as long as there is such a job.
        bool guest = path.starts_with("guest.");
        if (guest)
            co_await read(id, "eventlog");
        bool create = guest || (flags & waitcreate);
        int kvs_flags = kvs::flag::watch | kvs::flag::watch_append | (create ? kvs::flag::waitcreate : 0);
        Counted watching(watchers_);
        Json args {{"key", id.kvs_path(path)}, {"namespace", "primary"}, {"flags", kvs_flags}};
        auto stream =
            std::make_shared<Stream>(handle().stream("kvs-watch.lookup", args, {}, "kvs-watch.cancel"));
        if (create && !co_await exists(id.kvs_path(path)))
            spawn(give_up_when_inactive(id, path, stream));
        std::string partial;
        int64_t open_streams =
            INT64_MAX; // of guest.output: how many have not ended; unknown before its header
        while (auto message = co_await next_of(*stream, id, path)) {
            partial += value_or_throw(treeobj::decode_val(message->json()["val"]));
            size_t begin = 0;
            for (size_t end; (end = partial.find('\n', begin)) != std::string::npos; begin = end + 1) {
                std::string line = partial.substr(begin, end + 1 - begin);
                request.respond(Json {{"event", line}});
                if (ends(line, path, open_streams))
                    co_return;
            }
            partial.erase(0, begin);
        }
    }
    Task<bool> exists(std::string key)
    {
        try {
            co_await read(std::move(key));
        } catch (const Error &error) {
            if (error.errnum() != ENOENT)
                throw;
            co_return false;
        }
        co_return true;
    }
    // A log that an ended job does not have will never be.
    Task<> give_up_when_inactive(JobId id, std::string path, std::weak_ptr<Stream> watch)
    {
        Json args {{"key", id.kvs_path("eventlog")},
                   {"namespace", "primary"},
                   {"flags", kvs::flag::watch | kvs::flag::watch_append}};
        auto stream = handle().stream("kvs-watch.lookup", args, {}, "kvs-watch.cancel");
        bool over = false;
        while (!over && !watch.expired()) {
            auto message = co_await stream.next();
            if (!message)
                co_return;
            auto text = value_or_throw(treeobj::decode_val(message->json()["val"]));
            for (const auto &event : value_or_throw(parse_eventlog(text)))
                over |= event.name == "clean";
        }
        bool there = co_await exists(id.kvs_path(path));
        if (auto waiting = watch.lock(); waiting && !there)
            waiting->cancel();
    }
    static bool ends(const std::string &line, const std::string &path, int64_t &open_streams)
    {
        auto event = value_or_throw(Event::parse(line));
        if (path == "guest.input")
            return event.name == "data" && event.context.value("eof", false);
        if (path != "guest.output")
            return !last_event(path).empty() && event.name == last_event(path);
        if (event.name == "header")
            open_streams = event.context["count"].value<int64_t>("stdout", 0) +
                           event.context["count"].value<int64_t>("stderr", 0);
        else if (event.name == "data" && event.context.value("eof", false)) {
            auto ranks =
                Idset::parse(event.context["rank"].string_view()); // "0-3" of many that ended together
            open_streams -= ranks ? int64_t(ranks->count()) : open_streams;
        }
        return open_streams <= 0;
    }

    struct Counted { // however the watching ends
        explicit Counted(uint64_t &count) : count(count) { ++count; }
        ~Counted() { --count; }
        uint64_t &count;
    };

    uint64_t lookups_ = 0;
    uint64_t watchers_ = 0;
};

FLUX_MODULE(job_info, "job-info", JobInfo)

} // namespace flux
