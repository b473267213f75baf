// LogRing: the broker's last log lines (RFC 5424 form), read by `flux dmesg`.
#pragma once
#include <deque>
#include <functional>
#include <map>
#include <string>

#include "common/module/module.hpp"

namespace flux {

class LogRing {
public:
    // capacity: lines (attribute log-ring-size)
    explicit LogRing(size_t capacity) : capacity_(capacity) {}

    void append(std::string line);
    void clear() { lines_.clear(); }
    const std::deque<std::string> &lines() const { return lines_; }
    // Told of each new line until removed.
    using FollowerId = uint64_t;
    FollowerId follow(std::function<void(const std::string &)> fn);
    void unfollow(FollowerId id) { followers_.erase(id); }

    // <PRI>1 TIMESTAMP HOST(rank) APP PID - - TEXT
    static std::string format(LogLevel level, double wall_time, uint32_t rank, std::string_view application,
                              int pid, std::string_view text);

private:
    size_t capacity_;
    std::deque<std::string> lines_;
    std::map<FollowerId, std::function<void(const std::string &)>> followers_;
    FollowerId next_ = 1;
};

} // namespace flux
