// LogRing: the broker's last log lines (RFC 5424 form), read by `flux dmesg`.
#pragma once
#include <deque>
#include <optional>
#include <set>
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
    // Hears every new line from when it is made until it is destroyed.
    class Follower {
    public:
        Follower(LogRing &ring, Loop &loop) : ring_(ring), lines_(loop) { ring_.followers_.insert(this); }
        ~Follower() { ring_.followers_.erase(this); }
        Follower(const Follower &) = delete;
        auto next() { return lines_.next(); } // co_await -> std::optional<std::string>

    private:
        friend class LogRing;
        LogRing &ring_;
        Channel<std::string> lines_;
    };

    // Who follows hears what there is, and then the end. How many do.
    size_t close();

    // <PRI>1 TIMESTAMP HOST(rank) APP PID - - TEXT
    static std::string format(LogLevel level, double wall_time, uint32_t rank, std::string_view application,
                              int pid, std::string_view text);
    // Of such a line; nullopt when it is none.
    struct Parts {
        int severity; // 0 (emerg) .. 7 (debug)
        std::string_view timestamp, rank, application, text;
    };
    static std::optional<Parts> parse(std::string_view line);

private:
    size_t capacity_;
    std::deque<std::string> lines_;
    std::set<Follower *> followers_;
};

} // namespace flux
