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
  --json FILE  also write the rows as JSON, after those that are in the file
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
    Report report(options.json, options.only);
    report.heading();
    measure(options, report);
    report.write();
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
