// Logger: where a broker's log lines go: its ring (flux dmesg), the leader's, the leader's stderr and file. The levels
// are attributes (flux-broker-attributes(7), "Logging"), looked up at each line, because some change at run time.
#pragma once
#include <functional>
#include <string>

#include "broker/attributes.hpp"
#include "broker/log_ring.hpp"

namespace flux {

class Logger {
public:
    static constexpr size_t max_line = 4096; // bytes; longer ones are cut

    // What leaves the process or the broker.
    struct Outlets {
        std::function<void(std::string_view line)> to_stderr; // a line for a person, without newline
        std::function<void(std::string_view line)> to_file;   // log-filename
        std::function<void(std::string line)> to_leader;      // an RFC 5424 line; unset on the leader
    };
    // EINVAL for a level or a ring size that is no number.
    explicit Logger(Attributes &attributes);
    void set_outlets(Outlets outlets) { outlets_ = std::move(outlets); }

    // An RFC 5424 line, from here or (on the leader) forwarded by another broker.
    void append(std::string line);
    LogRing &ring() { return ring_; }

private:
    int level(std::string_view attribute, int fallback) const;
    const Attributes &attributes_;
    LogRing ring_;
    Outlets outlets_;
};

} // namespace flux
