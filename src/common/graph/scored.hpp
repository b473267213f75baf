// Scored: what a policy puts in order.
#pragma once
#include <algorithm>
#include <cstdint>
#include <iterator>
#include <utility>
#include <vector>

namespace flux::graph {

template <class What>
using Scored = std::vector<std::pair<int64_t, What>>;

// The least score first. Equal ones come as std::sort leaves them, which keeps their order where there are
// few.
template <class What>
void sort_by_score(Scored<What> &scored)
{
    std::sort(scored.begin(), scored.end(), [](const auto &a, const auto &b) { return a.first < b.first; });
}

// Instead of ids: the last run of consecutive ones gets the least score.
template <class What>
void score_by_runs(Scored<What> &scored)
{
    std::vector<int64_t> ids;
    for (const auto &[id, unused] : scored)
        ids.push_back(id);
    std::ranges::sort(ids);
    std::vector<int64_t> first_of_runs;
    for (size_t i = 0; i < ids.size(); i++)
        if (i == 0 || ids[i] > ids[i - 1] + 1)
            first_of_runs.push_back(ids[i]);
    for (auto &[score, unused] : scored)
        score = -*std::prev(std::ranges::upper_bound(first_of_runs, score));
}

} // namespace flux::graph
