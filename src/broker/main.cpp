// flux-broker: the program. Reads options and configuration, makes the real outside world, runs the life
// cycle.
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/broker.hpp"
#include "broker/config.hpp"
#include "broker/life_cycle.hpp"
#include "broker/local_server.hpp"
#include "common/runtime/ev_loop.hpp"
#include "common/store/sqlite_store.hpp"
#include "common/subprocess/posix_spawner.hpp"

extern char **environ;

namespace flux {

namespace {

constexpr const char *usage = R"(Usage: flux broker [OPTIONS] [INITIAL-PROGRAM [ARGS...]]
Run one broker of a Flux instance.

  -S, --setattr=ATTR=VAL     set a broker attribute
  -c, --config-path=PATH     read the configuration from a directory of *.toml files, or from one file
  -h, --help                 show this help
)";

struct Options {
    Attributes attributes;
    std::string config_path;
    std::vector<std::string> initial_program;
    bool help = false;
};

void set_attribute(Attributes &attributes, std::string_view text)
{
    auto equals = text.find('=');
    if (equals == 0 || equals == text.npos)
        throw Error(EINVAL, "--setattr={}: expected ATTR=VALUE", text);
    attributes.set(std::string(text.substr(0, equals)), std::string(text.substr(equals + 1)));
}

Options parse_options(const std::vector<std::string> &args)
{
    Options options;
    size_t at = 0;
    // The value of an option in any of its spellings: -Svalue, -S value, --long=value, --long value.
    auto value = [&](std::string_view short_name, std::string_view long_name) -> std::optional<std::string> {
        std::string_view arg = args[at];
        if (arg == short_name || arg == long_name) {
            if (at + 1 == args.size())
                throw Error(EINVAL, "option {} needs a value", arg);
            return args[++at];
        }
        if (arg.starts_with(long_name) && arg.substr(long_name.size()).starts_with('='))
            return std::string(arg.substr(long_name.size() + 1));
        if (arg.starts_with(short_name) && !arg.starts_with("--"))
            return std::string(arg.substr(short_name.size()));
        return std::nullopt;
    };
    for (; at < args.size(); at++) {
        if (args[at] == "--") {
            at++;
            break;
        }
        if (!args[at].starts_with('-'))
            break;
        if (auto attribute = value("-S", "--setattr"))
            set_attribute(options.attributes, *attribute);
        else if (auto path = value("-c", "--config-path"))
            options.config_path = *path;
        else if (args[at] == "-h" || args[at] == "--help")
            options.help = true;
        else
            throw Error(EINVAL, "unknown option {}: see flux broker --help", args[at]);
    }
    options.initial_program.assign(args.begin() + long(std::min(at, args.size())), args.end());
    return options;
}

// The instance's run directory: the one asked for, else a new one that goes away with the broker.
class RunDirectory {
public:
    explicit RunDirectory(Attributes &attributes)
    {
        if (auto asked = attributes.get("rundir")) {
            path_ = *asked;
            if (mkdir(path_.c_str(), 0700) < 0 && errno != EEXIST)
                throw Error(errno, "cannot make the run directory {}: {}", path_, errno_text(errno));
            remove_ = attributes.get("rundir-cleanup") == "1";
        } else {
            const char *tmp = getenv("TMPDIR");
            path_ = fmt::format("{}/flux-XXXXXX", tmp && *tmp ? tmp : "/tmp");
            if (!mkdtemp(path_.data()))
                throw Error(errno, "cannot make a run directory {}: {}", path_, errno_text(errno));
            remove_ = true;
            attributes.set("rundir", path_);
        }
    }
    ~RunDirectory()
    {
        std::error_code ignored;
        if (remove_)
            std::filesystem::remove_all(path_, ignored);
    }
    const std::string &path() const { return path_; }

private:
    std::string path_;
    bool remove_ = false;
};

// Where this build's or installation's files are, from the place of the running program.
struct Layout {
    std::string modules;     // directory of NAME.so
    std::string module_list; // the file of default modules
};

Layout find_layout()
{
    auto prefix = std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path(); // PREFIX/bin/flux-broker
    return {(prefix / "lib/flux/modules").string(), (prefix / "etc/flux/modules").string()};
}

std::string read_file(const std::string &path)
{
    std::ifstream in(path);
    if (!in)
        throw Error(ENOENT, "{} cannot be read: is the installation complete?", path);
    return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<std::string> program_environment(const std::string &uri)
{
    std::vector<std::string> out {"FLUX_URI=" + uri};
    // What belongs to an enclosing job or launcher is not the initial program's.
    for (char **entry = environ; *entry; entry++) {
        std::string_view text = *entry;
        constexpr std::string_view dropped[] = {"FLUX_URI=", "FLUX_JOB_", "FLUX_TASK_", "SLURM_",
                                                "PMI_",      "PMIX_",     "PALS_"};
        if (std::none_of(std::begin(dropped), std::end(dropped),
                         [&](auto prefix) { return text.starts_with(prefix); }))
            out.emplace_back(text);
    }
    return out;
}

Task<> live(LifeCycle &life, EvLoop &loop, int &status)
{
    status = co_await life.run();
    loop.stop();
}

int run(Options options)
{
    EvLoop loop;
    Random random = Random::from_system();
    PosixSpawner spawner(loop);
    SqliteStoreFactory stores(loop);
    auto layout = find_layout();
    RunDirectory rundir(options.attributes);

    BrokerSetup setup;
    setup.platform = {&loop, &random, &spawner, &stores};
    setup.attributes = options.attributes;
    if (!options.config_path.empty())
        setup.config = load_config(options.config_path);
    const char *module_path = getenv("FLUX_MODULE_PATH");
    setup.module_path = module_path ? fmt::format("{}:{}", layout.modules, module_path) : layout.modules;
    setup.owner = getuid();

    auto socket = rundir.path() + "/local";
    auto uri = setup.attributes.get_or_set("local-uri", "local://" + socket);
    char hostname[256] = "localhost";
    gethostname(hostname, sizeof hostname - 1);
    setup.attributes.set("hostlist", hostname, Attributes::immutable);
    setup.attributes.set("hostname", hostname, Attributes::immutable);
    setup.attributes.set("instance-level", "0", Attributes::immutable);
    setup.attributes.set("broker.boot-method", "single", Attributes::immutable);
    setup.attributes.set("version", FLUX_VERSION, Attributes::immutable);
    setup.attributes.get_or_set("content.hash", "sha1");
    setup.attributes.get_or_set("tbon.topo", "kary:32");

    Broker broker(std::move(setup));
    constexpr std::string_view scheme = "local://";
    if (!uri.starts_with(scheme))
        throw Error(EINVAL, "attribute local-uri is \"{}\": expected local://PATH", uri);
    LocalServer server(broker, uri.substr(scheme.size()));

    LifeCycle::Plan plan;
    plan.modules = parse_module_list(read_file(layout.module_list), layout.module_list);
    plan.initial_program = options.initial_program;
    plan.environment = program_environment(uri);
    LifeCycle life(broker, std::move(plan));

    std::vector<std::shared_ptr<EvLoop::SignalWatch>> signals;
    for (int signum : {SIGINT, SIGTERM, SIGHUP})
        signals.push_back(loop.watch_signal(signum, [&life](int number) { life.stop(number); }));
    signal(SIGPIPE, SIG_IGN);

    int status = 1;
    Gate gate(loop);
    gate.spawn(live(life, loop, status));
    loop.run();
    return status;
}

} // namespace

} // namespace flux

int main(int argc, char **argv)
{
    try {
        auto options = flux::parse_options({argv + 1, argv + argc});
        if (options.help) {
            std::fputs(flux::usage, stdout);
            return 0;
        }
        return flux::run(std::move(options));
    } catch (const flux::Error &error) {
        fmt::print(stderr, "flux-broker: ERROR: {}\n", error.text());
        return 1;
    }
}
