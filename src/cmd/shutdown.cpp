// flux shutdown: the end of an instance.
#include <filesystem>
#include <unistd.h>

#include "cmd/archive_suffix.hpp"
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

bool ask(const std::string &question)
{
    std::fputs((question + " [Y/n]? ").c_str(), stderr);
    char line[16] = "";
    return std::fgets(line, sizeof line, stdin) && (line[0] == '\n' || line[0] == 'y' || line[0] == 'Y');
}

// Whether the KVS has seen so many changes that an end is the time to collect what is no longer used
// (kvs.gc-threshold).
bool wants_collection(const Args &args, Session &flux)
{
    if (args.has("skip-gc") || args.has("no"))
        return false;
    auto threshold = flux.rpc("config.get", {}, {.nodeid = 0})["kvs"].value<int64_t>("gc-threshold", 0);
    if (threshold <= 0)
        return false;
    auto changes = flux.rpc("kvs.getroot", Json {{"namespace", "primary"}}).get<int64_t>("rootseq");
    if (changes <= threshold)
        return false;
    if (args.has("yes"))
        return true;
    auto question = fmt::format("the KVS is at version {}, beyond kvs.gc-threshold {}: collect garbage now",
                                changes, threshold);
    if (!::isatty(STDIN_FILENO))
        throw UsageError(question + "? say --yes or --no");
    return ask(question);
}

// What would end the instance without a dump is refused before. Of another machine's directories nothing is
// known here.
std::string dump_path(const std::string &given, Session &flux)
{
    auto path = std::filesystem::absolute(given);
    if (!names_archive(given))
        throw UsageError(fmt::format(unknown_suffix, given));
    bool here = flux.uri().starts_with("local://") && flux.rank() == 0;
    if (auto directory = path.parent_path().string(); here && ::access(directory.c_str(), W_OK) != 0)
        throw UsageError(
            fmt::format("--dump={}: {}: {}: choose another place", given, directory, errno_text(errno)));
    return path.string();
}

// The attribute by which the broker writes a dump at its end.
void set_dump(const Args &args, Session &flux)
{
    if (args.has("dump") + args.has("gc") + args.has("skip-gc") > 1)
        throw UsageError("--dump, --gc and --skip-gc exclude each other");
    if (args.has("yes") && args.has("no"))
        throw UsageError("--yes and --no exclude each other");
    std::optional<std::string> value;
    if (args.has("dump"))
        value = args.value("dump") == "auto" ? "auto" : dump_path(args.value("dump"), flux);
    else if (args.has("skip-gc"))
        value = "";
    else if (args.has("gc") || wants_collection(args, flux))
        value = "auto";
    if (value)
        flux.rpc("attr.set", Json {{"name", "content.dump"}, {"value", *value}}, {.nodeid = 0});
}

int run_shutdown(const Args &args, Session &here)
{
    std::string uri = args.size() ? target_uri(args[0]) : std::string();
    Session other(uri);
    Session &flux = args.size() ? other : here;
    set_dump(args, flux);
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
                {"--verbose[=LEVEL]", "show all of its log"},
                {"--dump=PATH", "write the KVS to an archive (flux dump); auto: as --gc"},
                {"--gc", "write it to statedir/dump, and start with that and nothing else next time"},
                {"--skip-gc", "do not, also if content.dump says so"},
                {"-y,--yes", "answer yes to all questions"},
                {"-n,--no", "answer no to all questions"}},
    .max_args = 1,
    .run = run_shutdown,
};

} // namespace flux::cmd
