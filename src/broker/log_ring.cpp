#include "broker/log_ring.hpp"

#include <charconv>
#include <cmath>
#include <ctime>

#include "common/base/log_priority.hpp"

namespace flux {

void LogRing::append(std::string line)
{
    lines_.push_back(std::move(line));
    if (lines_.size() > capacity_)
        lines_.pop_front();
    for (auto *follower : followers_)
        follower->lines_.push(lines_.back());
}

size_t LogRing::close()
{
    for (auto *follower : followers_)
        follower->lines_.close();
    return followers_.size();
}

std::string LogRing::format(LogLevel level, double wall_time, uint32_t rank, std::string_view application,
                            int pid, std::string_view text)
{
    time_t whole = time_t(std::floor(wall_time));
    tm utc;
    gmtime_r(&whole, &utc);
    char stamp[32];
    strftime(stamp, sizeof stamp, "%FT%T", &utc);
    return fmt::format("<{}>1 {}.{:06d}Z {} {} {} - - {}", log_priority(int(level)), stamp,
                       int((wall_time - double(whole)) * 1e6), rank, application, pid, text);
}

std::optional<LogRing::Parts> LogRing::parse(std::string_view line)
{
    auto close = line.find('>');
    int priority = 0;
    if (!line.starts_with('<') || close == line.npos ||
        std::from_chars(line.data() + 1, line.data() + close, priority).ptr != line.data() + close || priority < 0)
        return std::nullopt;
    std::array<std::string_view, 7> words; // version, timestamp, host, application, pid, message id, data
    auto rest = line.substr(close + 1);
    for (auto &word : words) {
        auto blank = rest.find(' ');
        if (blank == rest.npos)
            return std::nullopt;
        word = rest.substr(0, blank);
        rest.remove_prefix(blank + 1);
    }
    return Parts {severity_of_priority(priority), words[1], words[2], words[3], rest};
}

} // namespace flux
