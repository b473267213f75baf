#include "sim/workload.hpp"

#include <algorithm>

namespace flux::sim {

namespace {

std::vector<Workload> &registry()
{
    static std::vector<Workload> all;
    return all;
}

} // namespace

bool register_workload(Workload workload)
{
    registry().push_back(workload);
    return true;
}

std::vector<Workload> workloads()
{
    auto all = registry();
    std::ranges::sort(all, {}, [](const Workload &workload) { return std::string_view(workload.name); });
    return all;
}

} // namespace flux::sim
