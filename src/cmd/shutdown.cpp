// flux shutdown: the end of an instance.
#include "cmd/commands.hpp"
#include "cmd/instance_uri.hpp"
#include "cmd/log_entry.hpp"
#include "cmd/print.hpp"

namespace flux::cmd {

namespace {

constexpr int warning = 4; // syslog severities
constexpr int info = 6;
constexpr int debug = 7;

Task<> follow_shutdown(Handle &handle, int loglevel)
{
    Json request {{"loglevel", loglevel}};
    auto stream = handle.stream("shutdown.start", request, {.nodeid = 0});
    while (auto answer = co_await stream.next()) {
        auto text = answer->json() ? answer->json().find<std::string>("log") : std::nullopt;
        if (!text)
            continue;
        LogEntry entry = LogEntry::parse(*text);
        if (entry.severity <= loglevel)
            warn("{}", entry.line());
    }
}

int run_shutdown(const Args &args, Session &here)
{
    std::string uri = args.size() ? target_uri(args[0]) : std::string();
    Session other(uri);
    Session &flux = args.size() ? other : here;
    int loglevel = args.has("quiet") ? warning : args.has("verbose") ? debug : info;
    if (args.has("background")) {
        flux.handle().notify("shutdown.start", Json {{"loglevel", loglevel}}, {.nodeid = 0});
        return 0;
    }
    try {
        flux.run(follow_shutdown(flux.handle(), loglevel));
    } catch (const Error &error) {
        if (error.errnum() != ECONNRESET) // the broker is gone: that is what was asked for
            throw;
    }
    return 0;
}

} // namespace

const Command shutdown {
    .name = "shutdown",
    .args = "[TARGET]",
    .summary = "End this instance, or TARGET: a URI, or a job that is an instance",
    .options = {{"--background", "do not wait until it has ended"},
                {"--quiet", "show only warnings and errors of its log"},
                {"--verbose[=LEVEL]", "show all of its log"}},
    .max_args = 1,
    .run = run_shutdown,
};

} // namespace flux::cmd
