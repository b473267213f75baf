#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "bench/bench.hpp"
#include "common/base/error.hpp"

namespace flux::bench {

namespace {

constexpr const char *usage = R"(Usage: flux-bench [--bin=DIR] [--json=FILE] [--only=TEXT] [--smoke]
Measures this build beside the limits of this machine. All in all it takes some minutes.

  --bin DIR    where flux and flux-broker are (default: ../bin of this program)
  --json FILE  also write the rows as JSON
  --only TEXT  only rows whose name has TEXT
  --smoke      tiny counts: only shows that everything runs
)";

struct WorkDirectory {
    WorkDirectory()
    {
        const char *tmp = getenv("TMPDIR");
        path = fmt::format("{}/flux-bench-XXXXXX", tmp && *tmp ? tmp : "/tmp");
        if (!mkdtemp(path.data()))
            throw Error(errno, "cannot make {}: {}", path, errno_text(errno));
    }
    ~WorkDirectory()
    {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
    }
    std::string path;
};

std::string number(double value)
{
    return value >= 100 || value == 0 ? fmt::format("{:.0f}", value) : fmt::format("{:.3g}", value);
}

// How near to the limit: 1.00 is as fast as the machine itself.
double ratio(const Row &row)
{
    if (row.limit.name.empty() || row.value <= 0 || row.limit.value <= 0)
        return 0;
    return row.more_is_better() ? row.value / row.limit.value : row.limit.value / row.value;
}

std::string rung_text(const Row &row)
{
    if (row.rung == 0)
        return "";
    auto reached = [&](double goal) {
        return row.value > 0 && (row.more_is_better() ? row.value >= goal : row.value <= goal);
    };
    if (row.record > 0 && reached(row.record))
        return "record";
    return reached(row.rung) ? "rung" : fmt::format("below {}", number(row.rung));
}

void print_row(const Row &row)
{
    fmt::print("{:<42} {:>10} {:<3} {:>6} {:>8} {:<12} {}\n", row.name, number(row.value), row.unit,
               ratio(row) > 0 ? fmt::format("{:.2f}", ratio(row)) : "",
               row.cpu_us > 0 ? fmt::format("{:.1f} us", row.cpu_us) : "", rung_text(row),
               row.limit.name.empty() ? "" : fmt::format("{}: {}", row.limit.name, number(row.limit.value)));
    std::fflush(stdout);
}

Json to_json(const std::vector<Row> &rows)
{
    Json list = Json::array();
    for (const auto &row : rows) {
        Json item {{"name", row.name}, {"value", row.value}, {"unit", row.unit}};
        if (!row.limit.name.empty())
            item.set("limit",
                     Json {{"name", row.limit.name}, {"value", row.limit.value}, {"ratio", ratio(row)}});
        if (row.cpu_us > 0)
            item.set("broker_us", row.cpu_us);
        if (row.rung > 0)
            item.set("rung", row.rung);
        if (row.record > 0)
            item.set("record", row.record);
        list.append(item);
    }
    return Json {{"rows", list}, {"cores", int64_t(sysconf(_SC_NPROCESSORS_ONLN))}};
}

int run(int argc, char **argv)
{
    Options options;
    std::string inside;
    int count = 1;
    for (int i = 1; i < argc; i++) {
        std::string arg = argv[i], value;
        if (auto equals = arg.find('='); equals != arg.npos) {
            value = arg.substr(equals + 1);
            arg.resize(equals);
        } else if (arg != "--smoke" && arg != "--help" && i + 1 < argc) {
            value = argv[++i];
        }
        if (arg == "--bin")
            options.bin = value;
        else if (arg == "--json")
            options.json = value;
        else if (arg == "--only")
            options.only = value;
        else if (arg == "--smoke")
            options.smoke = true;
        else if (arg == "--inside")
            inside = value;
        else if (arg == "--count")
            count = std::stoi(value);
        else {
            std::fputs(usage, arg == "--help" ? stdout : stderr);
            return arg == "--help" ? 0 : 1;
        }
    }
    if (options.bin.empty())
        options.bin =
            (std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path() / "bin").string();
    if (!inside.empty()) {
        auto result = run_inside(inside, count, options.bin);
        std::ofstream(options.json) << result.dump() << "\n";
        return 0;
    }
    WorkDirectory work;
    options.work_dir = work.path;
    fmt::print("{:<42} {:>10} {:<3} {:>6} {:>8} {:<12} {}\n", "", "", "", "ratio", "broker", "", "limit");
    auto rows = measure(options, print_row);
    if (!options.json.empty())
        std::ofstream(options.json) << to_json(rows).dump_indented() << "\n";
    return 0;
}

} // namespace

} // namespace flux::bench

int main(int argc, char **argv)
{
    try {
        return flux::bench::run(argc, argv);
    } catch (const flux::Error &error) {
        fmt::print(stderr, "flux-bench: {}\n", error.text());
        return 1;
    }
}
