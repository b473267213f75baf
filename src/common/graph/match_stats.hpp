// MatchStats: how many searches for resources there were and how long they took, without keeping each.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace flux::graph {

class MatchTimes {
public:
    void add(int64_t id, size_t iterations, double seconds)
    {
        total_++;
        count_++;
        least_ = count_ == 1 ? seconds : std::min(least_, seconds);
        most_ = std::max(most_, seconds);
        // Welford: the sum of squares itself would lose what differs little
        double before = seconds - mean_;
        mean_ += before / double(count_);
        squares_ += before * (seconds - mean_);
        if (iterations > most_iterations_ || count_ == 1) {
            most_iterations_ = iterations;
            job_with_most_ = id;
        }
    }
    // All but the total begins anew.
    void reset()
    {
        uint64_t total = total_;
        *this = {};
        total_ = total;
    }

    uint64_t total() const { return total_; }
    uint64_t count() const { return count_; } // since the last reset, as all that follows
    double least() const { return least_; }   // seconds; 0 when there was none
    double most() const { return most_; }
    double mean() const { return mean_; }
    double variance() const { return count_ > 1 ? squares_ / double(count_ - 1) : 0; }
    size_t most_iterations() const { return most_iterations_; }
    int64_t job_with_most() const { return job_with_most_; }

private:
    uint64_t total_ = 0, count_ = 0;
    double least_ = 0, most_ = 0, mean_ = 0, squares_ = 0;
    size_t most_iterations_ = 0;
    int64_t job_with_most_ = -1;
};

struct MatchStats { // of the operations that allocate
    MatchTimes succeeded;
    MatchTimes failed;
};

} // namespace flux::graph
