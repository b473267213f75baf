// flux uptime: the instance at a glance.
#include "cmd/commands.hpp"
#include "cmd/eventlog_view.hpp"
#include "cmd/job_fields.hpp"
#include "cmd/print.hpp"
#include "cmd/queue_list.hpp"
#include "common/types/duration.hpp"
#include "common/types/idset.hpp"

namespace flux::cmd {

namespace {

size_t count_drained(const Json &status)
{
    Idset drained;
    for (auto [ranks, entry] : status["drain"].members())
        drained |= value_or_throw(Idset::parse(ranks));
    return drained.count();
}

// "submit disabled", "scheduling stopped": only when that is so of all queues.
std::vector<std::string> notices(Session &flux)
{
    auto names = queue_names(flux);
    if (names.empty())
        names.emplace_back();
    size_t disabled = 0;
    size_t stopped = 0;
    for (const auto &name : names) {
        Json status = status_of_queue(flux, name);
        disabled += !status.get<bool>("enable");
        stopped += !status.get<bool>("start");
    }
    std::vector<std::string> out;
    if (disabled == names.size())
        out.emplace_back("submit disabled");
    if (stopped == names.size())
        out.emplace_back("scheduler stopped");
    return out;
}

int run_uptime(const Args &, Session &flux)
{
    auto owner = uint32_t(std::strtoul(flux.attribute("security.owner").c_str(), nullptr, 10));
    uint32_t size = flux.size();
    std::string level = flux.attribute("instance-level");
    Json state = flux.rpc("state-machine.get");
    double now = flux.loop().clock().wall_time();
    std::string line =
        fmt::format(" {} {} {},  owner {},  depth {},  size {}", local_time(now, "%H:%M:%S"),
                    state.get<std::string>("state"), format_duration(state.get<double>("duration"), 3),
                    user_name(owner), level, size);
    std::vector<std::string> more;
    if (state.get<std::string>("state") == "run") {
        Json status = flux.rpc("resource.status", {}, {.nodeid = 0});
        Json online = flux.rpc("groups.get", Json {{"name", "broker.online"}}, {.nodeid = 0});
        size_t present = value_or_throw(Idset::parse(online.get<std::string>("members"))).count();
        if (size_t drained = count_drained(status))
            line += fmt::format(",  {} drained", drained);
        if (present < size)
            line += fmt::format(",  {} offline", size - present);
        more = notices(flux);
    }
    print("{}\n", line);
    if (!more.empty())
        cmd::print("  {}\n", fmt::join(more, ", "));
    return 0;
}

} // namespace

const Command uptime {.name = "uptime",
                      .summary = "Show how long the instance runs, its size, and what is out of order",
                      .max_args = 0,
                      .run = run_uptime};

} // namespace flux::cmd
