// The rows of a benchmark: printed as they come, beside the limit of the same machine and the rung that is
// due, and written as JSON at the end.
#pragma once
#include <string>
#include <vector>

namespace flux::bench {

struct Limit {
    std::string name; // empty: there is none
    double value = 0;
};

struct Row {
    std::string name;
    double value = 0;
    std::string unit; // "/s", "ms", "MB", "B", ""
    Limit limit {};
    double rung = 0;   // the first rung that is due, in the row's unit; 0: none
    double record = 0; // where we go
    double cpu_us =
        0; // of the broker of rank 0 for each operation: tells more than a rate where others use the machine
    double p99 = 0, worst = 0; // where value is a median
    bool more_is_better() const { return unit == "/s"; }
};

double now(); // seconds, monotonic
double median(std::vector<double> values);

class Report {
public:
    // json: the file to write, empty for none; only: rows whose name has this, empty for all.
    Report(std::string json, std::string only);
    bool wants(const std::string &name) const { return name.find(only_) != name.npos; }
    void heading() const;
    void add(const Row &row);
    // Adds the rows to those that the file has already, so that several programs can share it.
    void write() const;

private:
    std::string json_;
    std::string only_;
    std::vector<Row> rows_;
};

} // namespace flux::bench
