#include "bench/report.hpp"

#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <fstream>
#include <sstream>

#include "common/base/error.hpp"
#include "common/json/json.hpp"

namespace flux::bench {

namespace {

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

Json to_json(const Row &row)
{
    Json item {{"name", row.name}, {"value", row.value}, {"unit", row.unit}};
    if (!row.limit.name.empty())
        item.set("limit", Json {{"name", row.limit.name}, {"value", row.limit.value}, {"ratio", ratio(row)}});
    if (row.cpu_us > 0)
        item.set("broker_us", row.cpu_us);
    if (row.worst > 0) {
        item.set("p99", row.p99);
        item.set("worst", row.worst);
    }
    if (row.rung > 0)
        item.set("rung", row.rung);
    if (row.record > 0)
        item.set("record", row.record);
    return item;
}

} // namespace

double now()
{
    timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return double(ts.tv_sec) + double(ts.tv_nsec) * 1e-9;
}

double median(std::vector<double> values)
{
    if (values.empty())
        return 0;
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

Report::Report(std::string json, std::string only) : json_(std::move(json)), only_(std::move(only)) {}

void Report::heading() const
{
    fmt::print("{:<42} {:>10} {:<3} {:>6} {:>8} {:<12} {}\n", "", "", "", "ratio", "broker", "", "limit");
}

void Report::add(const Row &row)
{
    std::string last;
    if (!row.limit.name.empty())
        last = fmt::format("{}: {}", row.limit.name, number(row.limit.value));
    else if (row.worst > 0)
        last = fmt::format("p99 {}, worst {}", number(row.p99), number(row.worst));
    fmt::print("{:<42} {:>10} {:<3} {:>6} {:>8} {:<12} {}\n", row.name, number(row.value), row.unit,
               ratio(row) > 0 ? fmt::format("{:.2f}", ratio(row)) : "",
               row.cpu_us > 0 ? fmt::format("{:.1f} us", row.cpu_us) : "", rung_text(row), last);
    std::fflush(stdout);
    rows_.push_back(row);
}

void Report::write() const
{
    if (json_.empty())
        return;
    Json list = Json::array();
    std::stringstream text;
    if (std::ifstream file(json_); file && text << file.rdbuf())
        if (auto before = Json::parse(text.str()); before && (*before)["rows"].is_array())
            list = (*before)["rows"];
    for (const auto &row : rows_)
        list.append(to_json(row));
    std::ofstream file(json_);
    file << Json {{"rows", list}, {"cores", int64_t(sysconf(_SC_NPROCESSORS_ONLN))}}.dump_indented() << "\n";
    if (!file.flush())
        throw Error(EIO, "cannot write {}", json_);
}

} // namespace flux::bench
