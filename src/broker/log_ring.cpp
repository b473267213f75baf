#include "broker/log_ring.hpp"

#include <cmath>
#include <ctime>

namespace flux {

namespace {

constexpr int facility_user = 1; // RFC 5424: PRI = facility * 8 + severity

} // namespace

void LogRing::append(std::string line)
{
    lines_.push_back(std::move(line));
    if (lines_.size() > capacity_)
        lines_.pop_front();
    auto followers = followers_;
    for (auto &[id, fn] : followers)
        fn(lines_.back());
}

LogRing::FollowerId LogRing::follow(std::function<void(const std::string &)> fn)
{
    followers_[next_] = std::move(fn);
    return next_++;
}

std::string LogRing::format(LogLevel level, double wall_time, uint32_t rank, std::string_view application,
                            int pid, std::string_view text)
{
    time_t whole = time_t(std::floor(wall_time));
    tm utc;
    gmtime_r(&whole, &utc);
    char stamp[32];
    strftime(stamp, sizeof stamp, "%FT%T", &utc);
    return fmt::format("<{}>1 {}.{:06d}Z {} {} {} - - {}", facility_user * 8 + int(level), stamp,
                       int((wall_time - double(whole)) * 1e6), rank, application, pid, text);
}

} // namespace flux
