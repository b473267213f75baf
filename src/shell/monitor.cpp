#include "shell/monitor.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <unordered_map>
#include <vector>

#include "common/base/format.hpp"

namespace flux::shell {

namespace {

constexpr const char *cgroup_mount = "/sys/fs/cgroup";

std::optional<std::string> read_line(const std::string &path)
{
    std::ifstream file(path);
    std::string line;
    return std::getline(file, line) ? std::optional(line) : std::nullopt;
}

std::optional<uint64_t> read_number(const std::string &path)
{
    auto line = read_line(path);
    uint64_t number = 0;
    if (!line || std::from_chars(line->data(), line->data() + line->size(), number).ec != std::errc())
        return std::nullopt;
    return number;
}

// Of this process, when no broker shares it: what is counted is the job's then.
std::optional<std::string> own_cgroup()
{
    auto line = read_line("/proc/self/cgroup");
    if (!line || !line->starts_with("0::/"))
        return std::nullopt;
    std::string directory = cgroup_mount + line->substr(3);
    std::ifstream members(directory + "/cgroup.procs");
    bool here = false;
    for (int pid = 0; members >> pid;) {
        if (pid == ::getppid())
            return std::nullopt;
        here = here || pid == ::getpid();
    }
    if (!here || !read_number(directory + "/memory.current"))
        return std::nullopt;
    return directory;
}

double processor_of_cgroup(const std::string &directory)
{
    std::ifstream file(directory + "/cpu.stat");
    std::string key;
    for (uint64_t value = 0; file >> key >> value;)
        if (key == "usage_usec")
            return double(value) * 1e-6;
    return 0;
}

struct Stat {
    int pid, parent;
    uint64_t ticks; // of it, and of its children that it has waited for
    uint64_t pages;
};

// proc(5), /proc/PID/stat. The name in it is in parentheses, and may have any of them.
std::optional<Stat> read_stat(int pid)
{
    auto line = read_line(fmt::format("/proc/{}/stat", pid));
    auto close = line ? line->rfind(')') : std::string::npos;
    if (close == std::string::npos)
        return std::nullopt;
    std::istringstream rest(line->substr(close + 1));
    std::string state, skipped;
    Stat out {pid, 0, 0, 0};
    rest >> state >> out.parent;
    for (int field = 5; field < 14; field++)
        rest >> skipped;
    for (int field = 14; field < 18; field++) { // utime, stime, cutime, cstime
        uint64_t ticks = 0;
        rest >> ticks;
        out.ticks += ticks;
    }
    for (int field = 18; field < 24; field++)
        rest >> skipped;
    rest >> out.pages;
    return rest ? std::optional(out) : std::nullopt;
}

double in_seconds(const timeval &time)
{
    return double(time.tv_sec) + double(time.tv_usec) * 1e-6;
}

} // namespace

std::string format_memory(uint64_t bytes)
{
    constexpr const char *units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = double(bytes);
    size_t unit = 0;
    while (value >= 1024 && unit + 1 < std::size(units))
        value /= 1024, unit++;
    return unit == 0 ? fmt::format("{}B", bytes) : fmt::format("{:.1f}{}", value, units[unit]);
}

Monitor::Monitor(Loop &loop, double period, bool trace, std::function<void(std::string)> say)
    : loop_(loop), period_(period), trace_(trace), say_(std::move(say)), cgroup_(own_cgroup()),
      begin_(loop.now()), at_begin_(use())
{
    sample_later(std::min(first_sample, period));
}

Monitor::Use Monitor::use() const
{
    if (cgroup_)
        return {read_number(*cgroup_ + "/memory.current").value_or(0), processor_of_cgroup(*cgroup_)};
    std::unordered_map<int, std::vector<Stat>> children; // by parent
    std::error_code failed;
    for (const auto &entry : std::filesystem::directory_iterator("/proc", failed)) {
        auto name = entry.path().filename().string();
        int pid = 0;
        auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
        if (error != std::errc() || end != name.data() + name.size())
            continue;
        if (auto stat = read_stat(pid))
            children[stat->parent].push_back(*stat);
    }
    rusage ended {};
    ::getrusage(RUSAGE_CHILDREN, &ended);
    Use out {0, in_seconds(ended.ru_utime) + in_seconds(ended.ru_stime)};
    std::vector<int> parents {::getpid()};
    while (!parents.empty()) {
        int parent = parents.back();
        parents.pop_back();
        for (const auto &stat : children[parent]) {
            out.memory += stat.pages * uint64_t(::sysconf(_SC_PAGESIZE));
            out.processor += double(stat.ticks) / double(::sysconf(_SC_CLK_TCK));
            parents.push_back(stat.pid);
        }
    }
    return out;
}

double Monitor::load(const Use &now) const
{
    double time = std::chrono::duration<double>(loop_.now() - begin_).count();
    return time > 0 ? std::max(0.0, now.processor - at_begin_.processor) / time : 0;
}

void Monitor::sample_later(double delay)
{
    timer_ = Timer(loop_, seconds(delay), [this, delay] {
        sample();
        sample_later(std::min(delay * 2, period_));
    });
}

void Monitor::sample()
{
    auto now = use();
    peak_ = std::max(peak_, now.memory);
    if (trace_)
        say_(fmt::format("memory.current={} loadavg={:.2f}", format_memory(now.memory), load(now)));
}

std::string Monitor::summary()
{
    auto now = use();
    peak_ = std::max(peak_, now.memory);
    if (cgroup_)
        peak_ = std::max(peak_, read_number(*cgroup_ + "/memory.peak").value_or(0));
    return fmt::format("memory.peak={} loadavg={:.2f}", format_memory(peak_), load(now));
}

} // namespace flux::shell
