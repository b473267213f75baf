#include <filesystem>
#include <fstream>
#include <sstream>

#include "bench/bench.hpp"
#include "common/base/error.hpp"

namespace flux::bench {

namespace {

constexpr double scenario_timeout_s = 120;

class Bench {
public:
    Bench(const Options &options, Report &report) : options_(options), report_(report) {}

    void run()
    {
        commands();
        starts();
        rpcs();
        kvs();
        jobs();
        memory();
        programs();
    }

private:
    bool wanted(const std::string &name) const { return report_.wants(name); }
    int scaled(int count, int smoke_count) const { return bench::scaled(options_, count, smoke_count); }
    std::string flux() const { return options_.bin + "/flux"; }

    void add(const Row &row) { report_.add(row); }
    // A scenario as the initial program of an instance; its result, or absent with the reason on stderr.
    Json inside(const std::string &scenario, int count, int brokers, std::vector<std::string> options = {})
    {
        auto result = options_.work_dir + "/result.json";
        std::filesystem::remove(result);
        std::vector<std::string> argv {flux(), "start"};
        if (brokers > 1)
            argv.push_back("-s" + std::to_string(brokers));
        for (auto &option : options)
            argv.push_back(std::move(option));
        argv.insert(argv.end(),
                    {std::filesystem::read_symlink("/proc/self/exe").string(), "--inside", scenario,
                     "--count", std::to_string(count), "--bin", options_.bin, "--json", result});
        auto done = run_program(argv, scenario_timeout_s);
        std::ifstream in(result);
        std::string text {std::istreambuf_iterator<char>(in), {}};
        auto json = Json::parse(text);
        if (done.status == 0 && json)
            return *json;
        fmt::print(stderr, "flux-bench: {}: {}\n", scenario,
                   done.timed_out ? fmt::format("not done in {} s", scenario_timeout_s)
                                  : fmt::format("failed with status {:#x}", done.status));
        failed_ = true;
        return {};
    }
    void scenario_row(Row row, const std::string &scenario, int count, int brokers,
                      std::vector<std::string> options, const std::function<Limit()> &limit)
    {
        if (!wanted(row.name))
            return;
        row.limit = limit();
        Json result = inside(scenario, count, brokers, std::move(options));
        row.value = result ? result.get<double>("value") : 0;
        if (result && row.unit == "/s")
            row.cpu_us = result.value<double>("cpu_us", 0);
        add(std::move(row));
    }
    std::vector<std::string> fake_resources()
    {
        auto path = options_.work_dir + "/fake.toml";
        std::ofstream(path) << "[fake-resources]\nnnodes = 16\ncores-per-node = 64\n";
        return {"-c" + path};
    }
    std::vector<std::string> statedir()
    {
        auto path = fmt::format("{}/state{}", options_.work_dir, states_++);
        std::filesystem::create_directory(path);
        return {"-Sstatedir=" + path};
    }
    Limit serial_spawn() { return {"posix_spawn of true", spawn_serial_ms(scaled(200, 5))}; }

    void commands()
    {
        auto limit = [&] {
            return serial_spawn();
        };
        scenario_row({"flux submit true, as a command", 0, "ms", {}, 10, 3}, "flux-submit", scaled(40, 2), 1,
                     fake_resources(), limit);
        scenario_row({"flux submit true, while the jobs before run", 0, "ms", {}}, "flux-submit-row", scaled(40, 2), 1,
                     fake_resources(), limit);
        scenario_row({"flux jobs, as a command", 0, "ms", {}, 10, 3}, "flux-jobs", scaled(40, 2), 1,
                     fake_resources(), limit);
    }
    void starts()
    {
        struct Start {
            int brokers;
            double reference_s, record_s;
        };
        for (auto [brokers, reference_s, record_s] :
             {Start {1, 0.8, 0}, {4, 1.2, 0}, {16, 3.0, 0}, {64, 11, 1}}) {
            Row row {fmt::format("flux start -s{} true", brokers),
                     0,
                     "ms",
                     {},
                     reference_s / 4 * 1e3,
                     record_s * 1e3};
            if (!wanted(row.name) || (options_.smoke && brokers > 4))
                continue;
            row.limit = {fmt::format("{} x posix_spawn of true", brokers),
                         brokers * spawn_serial_ms(scaled(100, 5))};
            std::vector<double> times;
            for (int i = 0; i < scaled(brokers > 16 ? 3 : 5, 1); i++) {
                std::vector<std::string> argv {flux(), "start", "true"};
                if (brokers > 1)
                    argv.insert(argv.begin() + 2, "-s" + std::to_string(brokers));
                auto done = run_program(argv, scenario_timeout_s);
                failed_ |= done.status != 0;
                times.push_back(done.seconds * 1e3);
            }
            row.value = median(times);
            add(std::move(row));
        }
    }
    void rpcs()
    {
        int count = scaled(50000, 100);
        auto local = [&] {
            return Limit {"AF_UNIX round trip", unix_round_trips(count)};
        };
        scenario_row({"RPC, serial, local", 0, "/s", {}, 15000, 30000}, "rpc-serial", count, 1,
                     fake_resources(), local);
        scenario_row({"RPC, serial, one hop", 0, "/s", {}, 5000, 8000}, "rpc-hop", scaled(20000, 100), 2,
                     fake_resources(), [&] {
                         return Limit {"ZeroMQ ipc round trip", zmq_round_trips(scaled(20000, 100))};
                     });
        scenario_row({"RPC, pipelined, local", 0, "/s", {}, 150000, 500000}, "rpc-pipelined",
                     scaled(1000000, 1000), 1, fake_resources(), [&] {
                         return Limit {"AF_UNIX messages, one way", unix_messages(scaled(4000000, 1000))};
                     });
    }
    void kvs()
    {
        auto synced = [&] {
            return Limit {"write 256 B + fdatasync", fdatasyncs(options_.work_dir, scaled(3000, 10))};
        };
        auto local = [&] {
            return Limit {"AF_UNIX round trip", unix_round_trips(scaled(50000, 100))};
        };
        scenario_row({"KVS put+commit, serial", 0, "/s", {}, 3000, 8000}, "kvs-serial", scaled(20000, 50), 1,
                     fake_resources(), local);
        scenario_row({"KVS put+commit, pipelined", 0, "/s", {}, 40000, 100000}, "kvs-pipelined",
                     scaled(200000, 200), 1, fake_resources(), local);
        scenario_row({"KVS put+commit, serial, durable", 0, "/s", {}, 0, 0}, "kvs-serial", scaled(5000, 50),
                     1, statedir(), synced);
        scenario_row({"KVS put+commit, pipelined, durable", 0, "/s", {}, 0, 0}, "kvs-pipelined",
                     scaled(100000, 200), 1, statedir(), synced);
    }
    void jobs()
    {
        auto none = [] {
            return Limit {};
        };
        auto limit = [&] {
            return Limit {"AF_UNIX round trip", unix_round_trips(scaled(50000, 100))};
        };
        scenario_row({"submit RPCs, pipelined", 0, "/s", {}, 8000, 20000}, "submit", scaled(20000, 20), 1,
                     fake_resources(), limit);
        for (int count : {2000, 8000, 64000}) {
            if (options_.smoke && count > 2000)
                break;
            scenario_row({fmt::format("jobs, mock execution, {} at once", count), 0, "/s", {}, 2000, 10000},
                         "jobs-mock", scaled(count, 20), 1, fake_resources(), none);
        }
        scenario_row(
            {"jobs, mock execution, 8000, durable", 0, "/s", {}, 0, 0}, "jobs-mock", scaled(8000, 20), 1,
            [&] {
                auto both = fake_resources();
                auto state = statedir();
                both.insert(both.end(), state.begin(), state.end());
                return both;
            }(),
            none);
        scenario_row({"jobs, real /bin/true", 0, "/s", {}, 400, 1100}, "jobs-real", scaled(1000, 3), 1, {},
                     [&] {
                         return Limit {"xargs -P2 /bin/true", xargs_rate(scaled(2000, 20))};
                     });
    }
    void memory()
    {
        int count = scaled(20000, 40);
        if (std::string name = fmt::format("rank 0 after {} jobs, resident", count); wanted(name)) {
            Json result = inside("memory-per-job", count, 1, fake_resources());
            add({name, result ? result.get<double>("value") : 0, "MB"});
            add({"each inactive job", result ? result.get<double>("per_job") : 0, "B", {}, 4096, 1024});
        }
        if (!options_.smoke)
            scenario_row({"64 brokers, memory in all (PSS)", 0, "MB"}, "memory-of-all", 1, 64, {},
                         [] { return Limit {}; });
    }
    void programs()
    {
        struct Program {
            std::string name;
            std::vector<std::string> argv;
        };
        std::vector<Program> all {{"flux", {flux(), "version"}},
                                  {"flux-shell", {options_.bin + "/flux-shell", "--help"}}};
        for (auto &program : all) {
            if (!wanted(program.name))
                continue;
            std::vector<double> times;
            for (int i = 0; i < scaled(100, 3); i++)
                times.push_back(run_program(program.argv, 10, Quiet::all).seconds * 1e3);
            add({program.name + ", start to end", median(times), "ms", serial_spawn(), 10, 0});
            auto list = options_.work_dir + "/ldd";
            auto ldd = run_program({"/bin/sh", "-c", "ldd '" + program.argv[0] + "' > '" + list + "'"}, 10);
            std::ifstream in(list);
            int lines = 0;
            for (std::string line; std::getline(in, line);)
                lines++;
            add({program.name + ", lines of ldd", ldd.status == 0 ? double(lines) : 0, "", {}, 6, 0});
        }
    }

public:
    bool failed() const { return failed_; }

private:
    const Options &options_;
    Report &report_;
    int states_ = 0;
    bool failed_ = false;
};

} // namespace

void measure(const Options &options, Report &report)
{
    Bench bench(options, report);
    bench.run();
    if (bench.failed())
        throw Error(EIO, "some rows could not be measured");
}

} // namespace flux::bench
