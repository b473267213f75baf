// flux-broker: the program. Reads options and configuration, makes the real outside world, boots, runs the life cycle.
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <unistd.h>

#include "broker/boot/boot.hpp"
#include "broker/announce.hpp"
#include "broker/broker.hpp"
#include "broker/directories.hpp"
#include "broker/life_cycle.hpp"
#include "broker/local_server.hpp"
#include "broker/options.hpp"
#include "broker/overlay.hpp"
#include "common/base/text.hpp"
#include "common/config/config.hpp"
#include "common/runtime/ev_loop.hpp"
#include "common/store/sqlite_store.hpp"
#include "common/subprocess/posix_spawner.hpp"
#include "common/types/duration.hpp"

extern char **environ;

namespace flux {

namespace {

const std::string local_scheme = "local://";

// Where this build's or installation's files are, from the place of the running program.
struct Layout {
    std::filesystem::path prefix; // PREFIX/bin/flux-broker
    std::string modules() const { return prefix / "lib/flux/modules"; }
    std::string etc() const { return prefix / "etc/flux"; }
};

Layout find_layout()
{
    return {std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path()};
}

std::string read_file(const std::string &path)
{
    std::ifstream in(path);
    if (!in)
        throw Error(ENOENT, "{} cannot be read: is the installation complete?", path);
    return {std::istreambuf_iterator<char>(in), {}};
}

// Of a path (empty: none), and over it what --conf says.
Json read_config(const std::string &path, const std::vector<std::string> &more)
{
    Json config = path.empty() ? Json::object() : load_config(path);
    for (auto &text : more)
        merge_config(config, text);
    return config;
}

std::string own_hostname(const Attributes &attributes)
{
    if (auto given = attributes.get("hostname"))
        return *given;
    char name[256] = "localhost";
    gethostname(name, sizeof name - 1);
    return name;
}

// What belongs to an enclosing job or launcher is not the initial program's.
std::vector<std::string> program_environment(const std::string &uri, const std::string &bin)
{
    constexpr std::string_view dropped[] = {"FLUX_URI=", "FLUX_JOB_", "FLUX_TASK_", "FLUX_KVS_NAMESPACE=", "SLURM_",
                                            "PMI_",      "PMIX_",     "PALS_",      "I_MPI_PMI_LIBRARY="};
    std::vector<std::string> out {"FLUX_URI=" + uri};
    if (const char *job = std::getenv("FLUX_JOB_ID"))
        out.push_back(fmt::format("FLUX_ENCLOSING_ID={}", job));
    bool has_path = false;
    for (char **entry = environ; *entry; entry++) {
        std::string_view text = *entry;
        if (std::ranges::any_of(dropped, [&](auto prefix) { return text.starts_with(prefix); }))
            continue;
        has_path |= text.starts_with("PATH=");
        // Programs of this instance find its flux first.
        if (text.starts_with("PATH=") && !text.substr(5).starts_with(bin + ":"))
            out.push_back(fmt::format("PATH={}:{}", bin, text.substr(5)));
        else
            out.emplace_back(text);
    }
    if (!has_path)
        out.push_back(fmt::format("PATH={}:/usr/bin:/bin", bin));
    return out;
}

LifeCycle::CommandLine initial_program(const Options &options, const Attributes &attributes)
{
    if (attributes.get("rank") != "0" || attributes.get("broker.rc2_none"))
        return {};
    const char *shell = std::getenv("SHELL");
    if (!shell || !*shell)
        shell = "/bin/sh";
    auto &words = options.initial_program;
    if (words.empty())
        return {shell};
    if (words.size() == 1 && words[0].find_first_of(" \t\n;|&<>$`\"'*?(){}") != std::string::npos)
        return {shell, "-c", words[0]}; // one argument may be a whole line
    return words;
}

// The programs of PREFIX/etc/flux/NAME and of the directories in FLUX_RC_EXTRA, by name.
std::vector<LifeCycle::CommandLine> rc_scripts(const Layout &layout, const std::string &name)
{
    namespace fs = std::filesystem;
    std::vector<fs::path> directories {layout.etc()};
    if (const char *extra = std::getenv("FLUX_RC_EXTRA"))
        for (std::string_view directory : split_words(extra, ":"))
            directories.emplace_back(directory);
    std::vector<LifeCycle::CommandLine> scripts;
    for (auto &directory : directories) {
        std::error_code missing;
        std::vector<std::string> found;
        for (auto &entry : fs::directory_iterator(directory / name, missing))
            if (access(entry.path().c_str(), X_OK) == 0)
                found.push_back(entry.path());
        std::ranges::sort(found);
        for (auto &path : found)
            scripts.push_back({path});
    }
    return scripts;
}

std::string now_as_name()
{
    auto now = std::time(nullptr);
    tm parts {};
    ::localtime_r(&now, &parts);
    char text[32];
    std::strftime(text, sizeof text, "%Y%m%d_%H%M%S", &parts);
    return text;
}

// content.dump: a file, or auto: STATEDIR/dump/DATE.tgz with a link RESTORE to it, or DATE.tgz here.
LifeCycle::CommandLine dump_command(const Attributes &attributes, const std::string &flux)
{
    auto path = attributes.get("content.dump").value_or("");
    if (path.empty())
        return {};
    auto statedir = attributes.get("statedir").value_or("");
    if (path != "auto" || statedir.empty())
        return {flux, "dump", "--quiet", "--checkpoint", path == "auto" ? now_as_name() + ".tgz" : path};
    std::filesystem::create_directories(statedir + "/dump");
    return {"/bin/sh", "-c", R"("$0" dump --quiet --checkpoint "$1/$2" && ln -sfn "$2" "$1/RESTORE")", flux,
            statedir + "/dump", now_as_name() + ".tgz"};
}

// content.restore, or the link that a dump has left in the statedir: then all that was stored before makes room for it.
void plan_restore(LifeCycle::Plan &plan, const Attributes &attributes, const std::string &flux)
{
    namespace fs = std::filesystem;
    auto path = attributes.get("content.restore").value_or("");
    auto statedir = attributes.get("statedir").value_or("");
    fs::path link = statedir + "/dump/RESTORE";
    bool linked = !statedir.empty() && fs::is_symlink(link);
    if (path == "auto" && !linked)
        throw Error(ENOENT, "content.restore=auto: there is no {}", link.string());
    if ((path.empty() || path == "auto") && linked) {
        if (!fs::exists(link))
            throw Error(ENOENT, "{} points to {}, which is not there: put it back or remove the link", link.string(),
                        fs::read_symlink(link).string());
        path = link;
        for (auto suffix : {"", "-wal", "-shm"})
            fs::remove(statedir + "/content.sqlite" + suffix);
        plan.restored = [link] { fs::remove(link); };
    }
    if (!path.empty())
        plan.restore = {flux, "restore", "--quiet", "--checkpoint", path};
}

LifeCycle::Plan make_plan(const Options &options, const Attributes &attributes, const Layout &layout,
                          const std::string &uri)
{
    LifeCycle::Plan plan;
    auto rc1 = attributes.get("broker.rc1_path"), rc3 = attributes.get("broker.rc3_path");
    if (!rc1) {
        auto list = layout.etc() + "/modules";
        plan.modules = parse_module_list(read_file(list), list);
        plan.rc1 = rc_scripts(layout, "rc1.d");
    } else if (!rc1->empty())
        plan.rc1 = {{"/bin/sh", "-c", *rc1}};
    if (!rc3)
        plan.rc3 = rc_scripts(layout, "rc3.d");
    else if (!rc3->empty())
        plan.rc3 = {{"/bin/sh", "-c", *rc3}};
    plan.initial_program = initial_program(options, attributes);
    plan.environment = program_environment(uri, layout.prefix / "bin");
    plan.recovery = attributes.get("broker.recovery-mode").has_value();
    if (attributes.get("rank") == "0") {
        auto flux = (layout.prefix / "bin/flux").string();
        plan.dump = [&attributes, flux] { return dump_command(attributes, flux); };
        plan_restore(plan, attributes, flux);
    }
    return plan;
}

// Where modules are looked for, each directory once: the flux command has put this build's into the variable too.
std::string module_path(const Layout &layout)
{
    std::vector<std::string> directories {layout.modules()};
    const char *more = std::getenv("FLUX_MODULE_PATH");
    for (std::string_view directory : split_words(more ? more : "", ":"))
        if (std::ranges::find(directories, directory) == directories.end())
            directories.emplace_back(directory);
    return fmt::format("{}", fmt::join(directories, ":"));
}

void set_outlets(Broker &broker)
{
    Logger::Outlets outlets;
    outlets.to_stderr = [](std::string_view line) { fmt::print(stderr, "{}\n", line); };
    if (broker.rank() != 0)
        outlets.to_leader = [&broker](std::string line) {
            broker.handle().notify("log.append", Payload::raw(std::move(line)), {.nodeid = 0});
        };
    else if (auto path = broker.attributes().get("log-filename")) {
        std::shared_ptr<FILE> file(std::fopen(path->c_str(), "ae"), [](FILE *f) { f ? std::fclose(f) : 0; });
        if (!file)
            throw Error(errno, "log-filename {} cannot be written: {}", *path, errno_text(errno));
        outlets.to_file = [file](std::string_view line) {
            fmt::print(file.get(), "{}\n", line);
            std::fflush(file.get());
        };
    }
    broker.logger().set_outlets(std::move(outlets));
}

Task<> live(LifeCycle &life, EvLoop &loop, int &status)
{
    status = co_await life.run();
    loop.stop();
}

// One thread's outside world: the broker's own, and that of each module that has a thread to itself.
class RealWorld : public ThreadWorld {
public:
    const Platform &platform() override { return platform_; }
    EvLoop loop;
    Random random = Random::from_system();
    PosixSpawner spawner {loop};
    SqliteStoreFactory stores {loop};

private:
    Platform platform_ {&loop, &random, &spawner, &stores};
};

// What this broker is, whatever instance it becomes a part of.
void set_own_attributes(Attributes &attributes, const Options &options, const Layout &layout,
                        RealWorld &world)
{
    if (!options.config_path.empty())
        attributes.set("config.path", options.config_path, Attributes::immutable);
    attributes.set("hostname", own_hostname(attributes), Attributes::immutable);
    attributes.set("broker.uuid", world.random.uuid(), Attributes::immutable);
    attributes.set("version", FLUX_VERSION, Attributes::immutable);
    attributes.set("broker.starttime", fmt::format("{}", world.loop.clock().wall_time()),
                   Attributes::immutable);
    attributes.get_or_set("content.hash", "sha1");
    attributes.get_or_set("conf.shell_path", layout.prefix / "bin/flux-shell");
}

// Where programs of this node find the broker: in a rundir that brokers share, each has a socket of its own.
std::string choose_uri(Attributes &attributes, const std::string &rundir, bool shared_rundir, uint32_t rank)
{
    auto socket = rundir + (shared_rundir ? fmt::format("/local-{}", rank) : "/local");
    auto uri = attributes.get_or_set("local-uri", local_scheme + socket);
    if (!uri.starts_with(local_scheme))
        throw Error(EINVAL, "attribute local-uri is \"{}\": expected local://PATH", uri);
    return uri;
}

BrokerSetup make_setup(const Options &options, const Json &config, const Layout &layout,
                       const Topology &topology, const OverlayLimits &limits, RealWorld &world)
{
    BrokerSetup setup;
    setup.platform = world.platform();
    setup.new_thread_world = [] { return std::make_unique<RealWorld>(); };
    setup.topology = topology;
    setup.attributes = options.attributes;
    setup.config = config;
    if (!options.config_path.empty())
        setup.reload_config = [path = options.config_path, more = options.conf] { return read_config(path, more); };
    setup.module_path = module_path(layout);
    setup.owner = getuid();
    setup.attributes.get_or_set("tbon.torpid_min", format_duration(to_seconds(limits.torpid_min)));
    setup.attributes.get_or_set("tbon.torpid_max", format_duration(to_seconds(limits.torpid_max)));
    for (auto name : {"content.hash", "local-uri"})
        setup.attributes.set(name, *setup.attributes.get(name), Attributes::immutable);
    return setup;
}

// Until the life cycle is over; the value is the exit status.
int run_to_the_end(LifeCycle &life, Broker &broker, EvLoop &loop)
{
    std::vector<std::shared_ptr<EvLoop::SignalWatch>> signals;
    for (int signum : {SIGINT, SIGTERM, SIGHUP})
        signals.push_back(loop.watch_signal(signum, [&life](int number) { life.stop(number); }));
    signal(SIGPIPE, SIG_IGN);

    int status = 1;
    Gate gate(loop);
    if (broker.rank() == 0)
        gate.spawn(announce(broker));
    gate.spawn(live(life, loop, status));
    loop.run();
    return status;
}

int run(Options options)
{
    RealWorld world;
    auto layout = find_layout();
    auto &attributes = options.attributes;
    bool shared_rundir = attributes.get("rundir").has_value();
    OwnDirectory rundir(attributes, "rundir", attributes.get("rundir"));
    Json config = read_config(options.config_path, options.conf);
    set_own_attributes(attributes, options, layout, world);

    auto booted = boot({world.loop, attributes, config, rundir.path(), *attributes.get("hostname"),
                        *attributes.get("broker.uuid")});
    auto rank = booted.topology.rank(), size = booted.topology.size();
    if (rank == 0)
        adopt_parent(attributes, size);
    std::unique_ptr<OwnDirectory> statedir;
    if (auto path = attributes.get("statedir"); path && rank == 0)
        statedir = std::make_unique<OwnDirectory>(attributes, "statedir", *path);
    auto uri = choose_uri(attributes, rundir.path(), shared_rundir, rank);
    if (options.verbose)
        fmt::print(stderr, "flux-broker: rank {} of {}, boot {}, {}, {}\n", rank, size,
                   *attributes.get("broker.boot-method"), uri,
                   attributes.get("tbon.endpoint").value_or("no children"));

    auto limits = OverlayLimits::from(attributes, config);
    Broker broker(make_setup(options, config, layout, booted.topology, limits, world));
    set_outlets(broker);
    Overlay overlay(broker, std::move(booted.links), limits);
    LocalServer server(broker, uri.substr(local_scheme.size()));
    LifeCycle life(broker, overlay, make_plan(options, broker.attributes(), layout, uri));
    return run_to_the_end(life, broker, world.loop);
}

} // namespace

} // namespace flux

int main(int argc, char **argv)
{
    try {
        auto options = flux::parse_options({argv + 1, argv + argc});
        if (options.help) {
            std::fputs(flux::broker_usage, stdout);
            return 0;
        }
        return flux::run(std::move(options));
    } catch (const flux::Error &error) {
        fmt::print(stderr, "flux-broker: ERROR: {}\n", error.text());
        return 1;
    }
}
