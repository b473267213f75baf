// flux-sim: runs workloads with seeds. A seed that fails is printed with what was violated and the command
// that replays it exactly; the last line is "N seeds passed, M failed".
#include <csignal>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>
#include <unistd.h>

#include "sim/workload.hpp"

namespace flux::sim {

namespace {

constexpr const char *usage = R"(Usage: flux-sim [OPTIONS]
Run simulated Flux instances: real brokers and modules, virtual time, one seed.

  --list             list the workloads
  --workload=NAME    only this workload (may be repeated)
  --brokers=N        instances of N brokers (default: the seed chooses)
  --seed=N           one seed
  --seeds=A-B        these seeds, for each workload (default: 1-20)
  --cases=FILE       the cases of a file: WORKLOAD SEED [BROKERS] a line
  --twice            run each seed twice and compare what happened
  --trace            print every message that crosses a link or a socket
  -v, --verbose      one line for each seed
  --help             show this help
)";

struct Options {
    std::vector<std::string> workloads;
    std::optional<uint32_t> brokers;
    uint64_t first_seed = 1;
    uint64_t last_seed = 20;
    std::string cases;
    bool list = false;
    bool twice = false;
    bool trace = false;
    bool verbose = false;
    bool help = false;
};

uint64_t number(std::string_view option, std::string_view text)
{
    uint64_t value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size())
        throw Error(EINVAL, "{}={}: a number was expected", option, text);
    return value;
}

Options parse_options(std::vector<std::string> args)
{
    Options options;
    for (size_t at = 0; at < args.size(); at++) {
        std::string_view arg = args[at];
        auto is = [&](std::string_view name, std::string_view &value) {
            if (arg == name && at + 1 < args.size())
                return value = args[++at], true;
            if (arg.starts_with(name) && arg.substr(name.size()).starts_with('='))
                return value = arg.substr(name.size() + 1), true;
            return false;
        };
        std::string_view value;
        if (is("--workload", value)) {
            options.workloads.emplace_back(value);
        } else if (is("--brokers", value)) {
            options.brokers = uint32_t(number("--brokers", value));
        } else if (is("--seed", value)) {
            options.first_seed = options.last_seed = number("--seed", value);
        } else if (is("--seeds", value)) {
            auto dash = std::min(value.find('-'), value.size());
            options.first_seed = number("--seeds", value.substr(0, dash));
            options.last_seed =
                dash == value.size() ? options.first_seed : number("--seeds", value.substr(dash + 1));
        } else if (is("--cases", value)) {
            options.cases = value;
        } else if (arg == "--list") {
            options.list = true;
        } else if (arg == "--twice") {
            options.twice = true;
        } else if (arg == "--trace") {
            options.trace = true;
        } else if (arg == "-v" || arg == "--verbose") {
            options.verbose = true;
        } else if (arg == "--help" || arg == "-h") {
            options.help = true;
        } else {
            throw Error(EINVAL, "unknown option {}: see flux-sim --help", arg);
        }
    }
    return options;
}

const Workload &find_workload(const std::vector<Workload> &all, std::string_view name)
{
    for (auto &workload : all)
        if (workload.name == name)
            return workload;
    throw Error(EINVAL, "there is no workload {}: flux-sim --list names them", name);
}

struct Case {
    Workload workload;
    uint64_t seed;
    std::optional<uint32_t> brokers;

    std::string command() const
    {
        auto out = fmt::format("flux-sim --workload {} --seed {}", workload.name, seed);
        return brokers ? fmt::format("{} --brokers {}", out, *brokers) : out;
    }
};

// What a crash prints: written before each run, because a signal handler formats nothing.
char current[256];

void died(int signum)
{
    [[maybe_unused]] ssize_t n = write(STDERR_FILENO, current, strlen(current));
    signal(signum, SIG_DFL);
    raise(signum);
}

Run run_once(const Case &item, const Options &options)
{
    Run run;
    run.print_messages = options.trace;
    run.workload = item.workload.name;
    run.seed = item.seed;
    // The size comes from the seed, not from the stream of choices that the workload draws from.
    Random sizes(item.seed ^ 0x73697a65);
    run.size =
        item.brokers.value_or(item.workload.least_size +
                              uint32_t(sizes.below(item.workload.most_size - item.workload.least_size + 1)));
    snprintf(current, sizeof current, "\nflux-sim died in: %s\n", item.command().c_str());
    try {
        item.workload.body(run);
    } catch (const Stuck &) {
    } catch (const Error &error) {
        run.violations.push_back(fmt::format("the workload ended with: {}", error.text()));
    }
    return run;
}

bool run_case(const Case &item, const Options &options)
{
    auto run = run_once(item, options);
    if (options.twice && run.violations.empty()) {
        auto again = run_once(item, options);
        if (again.trace_hash != run.trace_hash)
            run.violations.push_back(fmt::format(
                "the second run of the seed differs from the first: {} messages in {} steps, then {} in {}",
                run.messages, run.steps, again.messages, again.steps));
    }
    if (options.verbose)
        fmt::print("{} seed {}: {} brokers, {:.3f} s, {} messages, {} steps, trace {:016x}\n", run.workload,
                   run.seed, run.size, to_seconds(run.virtual_time), run.messages, run.steps, run.trace_hash);
    if (run.violations.empty())
        return true;
    fmt::print("FAILED: {} ({} brokers)\n", item.command(), run.size);
    for (auto &what : run.violations)
        fmt::print("    {}\n", what);
    std::fflush(stdout);
    return false;
}

std::vector<Case> cases_of_file(const std::string &path, const std::vector<Workload> &all)
{
    std::ifstream in(path);
    if (!in)
        throw Error(ENOENT, "{} cannot be read", path);
    std::vector<Case> cases;
    int line_number = 0;
    for (std::string line; std::getline(in, line);) {
        line_number++;
        std::istringstream words(line.substr(0, line.find('#')));
        std::string name;
        if (!(words >> name))
            continue;
        Case item {find_workload(all, name), 0, {}};
        uint32_t brokers = 0;
        if (!(words >> item.seed))
            throw Error(EINVAL, "{}:{}: expected WORKLOAD SEED [BROKERS]", path, line_number);
        if (words >> brokers)
            item.brokers = brokers;
        cases.push_back(item);
    }
    return cases;
}

int run(const Options &options)
{
    auto all = workloads();
    if (options.list) {
        for (auto &workload : all)
            fmt::print("{}\n", workload.name);
        return 0;
    }
    std::vector<Case> cases;
    if (!options.cases.empty()) {
        cases = cases_of_file(options.cases, all);
    } else {
        std::vector<Workload> chosen;
        for (auto &name : options.workloads)
            chosen.push_back(find_workload(all, name));
        if (chosen.empty())
            chosen = all;
        for (auto &workload : chosen)
            for (auto seed = options.first_seed; seed <= options.last_seed; seed++)
                cases.push_back({workload, seed, options.brokers});
    }
    if (cases.empty())
        throw Error(EINVAL,
                    "there is nothing to run: the range of --seeds, or the file of --cases, is empty");
    for (int signum : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL})
        signal(signum, died);
    size_t passed = 0, failed = 0;
    for (auto &item : cases)
        run_case(item, options) ? passed++ : failed++;
    fmt::print("{} seeds passed, {} failed\n", passed, failed);
    return failed ? 1 : 0;
}

} // namespace

} // namespace flux::sim

int main(int argc, char **argv)
{
    try {
        auto options = flux::sim::parse_options({argv + 1, argv + argc});
        if (options.help) {
            std::fputs(flux::sim::usage, stdout);
            return 0;
        }
        return flux::sim::run(options);
    } catch (const flux::Error &error) {
        fmt::print(stderr, "flux-sim: {}\n", error.text());
        return 2;
    }
}
