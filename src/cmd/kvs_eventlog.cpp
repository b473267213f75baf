// flux kvs eventlog: event logs (RFC 18) under any key.
#include "cmd/eventlog_view.hpp"
#include "cmd/kvs_client.hpp"
#include "cmd/kvs_commands.hpp"
#include "cmd/print.hpp"
#include "common/kvs/treeobj.hpp"

namespace flux::cmd {

namespace {

using namespace kvs_client;

Json parse_context(const std::string &text)
{
    auto context = Json::parse(text);
    if (!context || !context->is_object())
        throw UsageError(fmt::format("the context '{}' is no JSON object such as {{\"rank\":1}}", text));
    return *context;
}

int run_kvs_eventlog_append(const Args &args, Session &flux)
{
    Event event {.timestamp = args.number("timestamp", flux.loop().clock().wall_time()), .name = args[1]};
    if (args.size() > 2)
        event.context = parse_context(args.joined(2));
    commit(flux, namespace_of(args), {{args[0], treeobj::make_val(event.encode()), flag::append}});
    return 0;
}

// Calls fn with each event, until it returns false or the log ends.
Task<> follow(Handle &handle, const Args &args, int flags, std::function<bool(const Event &)> fn)
{
    Json request = lookup_request(args[0], namespace_of(args), flags | flag::watch | flag::watch_append);
    auto stream = handle.stream("kvs-watch.lookup", request, {}, "kvs-watch.cancel");
    while (auto answer = co_await stream.next())
        for (const auto &event :
             value_or_throw(parse_eventlog(value_of(answer->json().get<Json>("val"), args[0]))))
            if (!fn(event))
                co_return;
}

// The log as it is once it exists, through the watcher: with --waitcreate, or in parts.
Task<std::string> fetch(Handle &handle, const Args &args, int flags)
{
    std::string text;
    auto stream = handle.stream("kvs-watch.lookup", lookup_request(args[0], namespace_of(args), flags), {},
                                "kvs-watch.cancel");
    while (auto answer = co_await stream.next()) {
        text += value_of(answer->json().get<Json>("val"), args[0]);
        if (!(flags & flag::stream))
            break;
    }
    co_return text;
}

int run_kvs_eventlog_get(const Args &args, Session &flux)
{
    EventView view = event_view(args);
    int64_t left = args.integer("count", -1);
    int flags = (args.has("waitcreate") ? flag::waitcreate : 0) | (args.has("stream") ? flag::stream : 0);
    if (args.has("watch")) {
        flux.run(follow(flux.handle(), args, flags, [&](const Event &event) {
            write_out(view.line(event));
            std::fflush(stdout);
            return --left != 0;
        }));
        return 0;
    }
    std::string text = flags ? flux.run(fetch(flux.handle(), args, flags))
                             : value_of(lookup(flux, args[0], namespace_of(args), 0), args[0]);
    for (const auto &event : value_or_throw(parse_eventlog(text)))
        write_out(view.line(event));
    return 0;
}

int run_kvs_eventlog_wait_event(const Args &args, Session &flux)
{
    EventView view = event_view(args);
    bool found = false;
    double timeout = args.number("timeout", -1);
    Timer alarm;
    if (timeout >= 0)
        alarm = Timer(flux.loop(), seconds(timeout), [&] {
            flux.handle().fail_all(Error(ETIMEDOUT, "no {} event within {} seconds", args[1], timeout));
        });
    flux.run(
        follow(flux.handle(), args, args.has("waitcreate") ? flag::waitcreate : 0, [&](const Event &event) {
            found = event.name == args[1];
            if ((found && !args.has("quiet")) || args.has("verbose"))
                write_out(view.line(event));
            std::fflush(stdout);
            return !found;
        }));
    if (!found)
        throw Error(ENOENT, "{}: the log ended without a {} event", args[0], args[1]);
    return 0;
}

const Command kvs_eventlog_append {
    .name = "append",
    .args = "KEY NAME [CONTEXT]",
    .summary = "Append an event, CONTEXT being a JSON object",
    .options = {{"-N,--namespace=NAME", "the namespace"}, {"-t,--timestamp=SECONDS", "instead of now"}},
    .min_args = 2,
    .run = run_kvs_eventlog_append,
};

const Command kvs_eventlog_get {
    .name = "get",
    .args = "KEY",
    .summary = "Show an event log",
    .options = {{"-N,--namespace=NAME", "the namespace"},
                {"-W,--waitcreate", "wait until the log exists"},
                {"-w,--watch", "show each new event"},
                {"-c,--count=N", "with --watch, stop after N events"},
                {"-u,--unformatted", "as JSON"},
                {"-H,--human", "times as differences"},
                {"-L,--color[=WHEN]", "always, never or auto"},
                {"-S,--stream", "fetch a large log in parts"}},
    .min_args = 1,
    .max_args = 1,
    .run = run_kvs_eventlog_get,
};

const Command kvs_eventlog_wait_event {
    .name = "wait-event",
    .args = "KEY NAME",
    .summary = "Wait until an event of this name is there",
    .options = {{"-N,--namespace=NAME", "the namespace"},
                {"-W,--waitcreate", "wait until the log exists"},
                {"-t,--timeout=SECONDS", "give up after this time"},
                {"-u,--unformatted", "show the event as JSON"},
                {"-q,--quiet", "do not show the event"},
                {"-v,--verbose", "show the events before it too"},
                {"-H,--human", "times as differences"},
                {"-L,--color[=WHEN]", "always, never or auto"}},
    .min_args = 2,
    .max_args = 2,
    .run = run_kvs_eventlog_wait_event,
};

} // namespace

const Command kvs_eventlog {
    .name = "eventlog",
    .summary = "Append to, show and wait for events",
    .subcommands = {&kvs_eventlog_append, &kvs_eventlog_get, &kvs_eventlog_wait_event},
};

} // namespace flux::cmd
