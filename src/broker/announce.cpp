#include "broker/announce.hpp"

#include "common/base/encoding.hpp"
#include "common/client/local_connector.hpp"
#include "common/job/eventlog.hpp"
#include "common/types/job_id.hpp"

namespace flux {

namespace {

constexpr Duration parent_patience = std::chrono::seconds(30); // for its answer to one request
constexpr int event_version = 1;
constexpr int append_flag = 32; // of an operation of kvs.commit

Task<> append_event(Broker &broker, Event event)
{
    Json value {{"ver", 1}, {"type", "val"}, {"data", base64_encode(event.encode())}};
    Json operation {{"key", "admin.eventlog"}, {"flags", append_flag}, {"dirent", value}};
    Json operations = Json::array();
    operations.append(operation);
    Json commit {{"namespace", "primary"}, {"flags", 0}, {"ops", operations}};
    co_await broker.handle().rpc("kvs.commit", commit);
}

// ssh://HOST/PATH for others; who is on this host reads the path of it.
std::string remote_uri(const Attributes &attributes)
{
    constexpr std::string_view local = "local://";
    auto uri = attributes.get("local-uri").value_or("");
    if (!uri.starts_with(local))
        return uri;
    return fmt::format("ssh://{}{}", attributes.get("hostname").value_or("localhost"),
                       uri.substr(local.size()));
}

Task<> tell_parent(Broker &broker, std::string parent_uri, JobId id)
{
    LocalConnector connector(*broker.platform().loop, parent_uri);
    Handle handle(*broker.platform().loop, [&](Message message) { connector.send(message); });
    connector.start([&](Message message) { handle.receive(std::move(message)); },
                    [&](const Error &error) { handle.fail_all(error); });
    Json memo {{"uri", remote_uri(broker.attributes())}};
    Json request {{"id", id.value()}, {"volatile", false}, {"memo", memo}};
    RpcOptions options {.timeout = parent_patience};
    co_await handle.rpc("job-manager.memo", request, options);
}

// Runs the task; an instance lives without being announced.
Task<> attempt(Broker &broker, const char *what, Task<> task)
{
    std::optional<Error> failure;
    try {
        co_await task;
    } catch (const Error &error) {
        failure = error;
    }
    if (failure)
        broker.log(LogLevel::warning, "broker", fmt::format("cannot {}: {}", what, failure->text()));
}

double now(Broker &broker)
{
    return broker.platform().loop->clock().wall_time();
}

} // namespace

Task<> announce(Broker &broker)
{
    while (broker.state() != "run")
        co_await broker.state_changed().wait();
    Json context {{"version", event_version},
                  {"core_version", broker.attributes().get("version").value_or("")}};
    Event started {.timestamp = now(broker), .name = "start", .context = context};
    co_await attempt(broker, "note the start in admin.eventlog", append_event(broker, started));
    auto parent = broker.attributes().get("parent-uri");
    auto job = broker.attributes().get("jobid");
    auto id = job ? JobId::parse(*job) : Expected<JobId>(std::unexpected(Error(ENOENT)));
    if (parent && id)
        co_await attempt(broker, "tell the parent instance where this one is",
                         tell_parent(broker, *parent, *id));
    while (broker.state() == "run")
        co_await broker.state_changed().wait();
    Event finished {.timestamp = now(broker), .name = "finish"};
    co_await attempt(broker, "note the end in admin.eventlog", append_event(broker, finished));
}

} // namespace flux
