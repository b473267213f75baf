// Trace: what happened in a run, as one number. Two runs of one seed must have the same; whatever differs was
// decided by something else than the seed.
#pragma once
#include <cstdint>
#include <functional>
#include <string_view>

#include "common/message/message.hpp"
#include "common/runtime/loop.hpp"

namespace flux::sim {

class Trace {
public:
    // Called with every message, for --trace.
    using Printer = std::function<void(Duration when, uint64_t where, const Message &message)>;
    void set_printer(Printer printer) { printer_ = std::move(printer); }

    void note(Duration when, uint64_t where, std::string_view bytes, const Message &message)
    {
        if (printer_)
            printer_(when, where, message);
        add(&when, sizeof when);
        add(&where, sizeof where);
        add(bytes.data(), bytes.size());
        count_++;
    }
    uint64_t hash() const { return hash_; }
    uint64_t count() const { return count_; }

private:
    void add(const void *data, size_t size)
    {
        constexpr uint64_t prime = 0x100000001b3; // FNV-1a
        for (auto *at = static_cast<const unsigned char *>(data); size-- > 0; at++)
            hash_ = (hash_ ^ *at) * prime;
    }
    uint64_t hash_ = 0xcbf29ce484222325;
    uint64_t count_ = 0;
    Printer printer_;
};

} // namespace flux::sim
