// JobId: a job's number, a FLUID (RFC 19), in all its spellings; and the generator of them.
#pragma once
#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "common/base/error.hpp"
#include "common/base/format.hpp"

namespace flux {

// How F58 is written. "ƒ" unless the terminal cannot show it.
enum class F58Prefix { unicode, ascii };
// ascii when FLUX_F58_FORCE_ASCII is set or the locale's character set (LC_ALL, LC_CTYPE, LANG) is not UTF-8.
F58Prefix f58_prefix_from_environment();

class JobId {
public:
    static constexpr int timestamp_bits = 40;
    static constexpr int generator_bits = 14;
    static constexpr int sequence_bits = 10;

    constexpr JobId() = default;
    constexpr explicit JobId(uint64_t value) : value_(value) {}
    static constexpr JobId compose(uint64_t timestamp_ms, uint32_t generator, uint32_t sequence)
    {
        return JobId(timestamp_ms << (generator_bits + sequence_bits) | uint64_t(generator) << sequence_bits |
                     sequence);
    }
    // Any encoding: F58 with ƒ or f, decimal, 0x hex, dothex (also as "job.dothex"), words, emoji.
    // Surrounding blanks are ignored. EINVAL says what is wrong.
    static Expected<JobId> parse(std::string_view text);

    constexpr uint64_t value() const { return value_; }
    constexpr uint64_t timestamp_ms() const { return value_ >> (generator_bits + sequence_bits); }
    constexpr uint32_t generator() const { return value_ >> sequence_bits & ((1u << generator_bits) - 1); }
    constexpr uint32_t sequence() const { return value_ & ((1u << sequence_bits) - 1); }

    std::string f58(F58Prefix prefix = F58Prefix::unicode) const;
    std::string dec() const { return fmt::format("{}", value_); }
    std::string hex() const { return fmt::format("{:#x}", value_); }
    std::string dothex() const;                                // "0017.e9fb.8df1.6c2e"
    std::string kvs_path() const { return "job." + dothex(); } // the job's KVS directory (RFC 16)
    std::string kvs_path(std::string_view key) const;          // "job.<dothex>.<key>"
    std::string words() const; // "reform-remote-galileo--heart-package-academy"
    std::string emoji() const;
    // By the name used in commands: dec, hex, dothex, kvs, words, emoji, f58, f58plain. EINVAL names these.
    Expected<std::string> encode(std::string_view encoding) const;

    friend constexpr auto operator<=>(const JobId &, const JobId &) = default;

private:
    uint64_t value_ = 0;
};

// Makes job ids without coordination: 1024 per millisecond and generator. Ids of one generator only grow,
// whatever the clock does: when it goes backwards or a millisecond is used up, the generator runs ahead of
// it.
class FluidGenerator {
public:
    static constexpr uint32_t max_generator = (1u << JobId::generator_bits) - 1;

    // epoch_ms is on the same clock as the now_ms given to next(): what timestamps count from.
    FluidGenerator(uint32_t generator, int64_t epoch_ms); // throws Error(EINVAL) over max_generator

    // Throws Error(EOVERFLOW) when 40 bits of milliseconds are used up (34 years after the epoch).
    JobId next(int64_t now_ms);

    // From now on every id is greater than id, whoever made that; timestamps go on from its own (after a
    // restart, when the epoch is new but the ids of earlier runs are there).
    void start_above(JobId id, int64_t now_ms);

private:
    uint32_t generator_;
    int64_t epoch_ms_;
    uint64_t last_ms_ = 1; // not 0: no job has id 0
    uint32_t sequence_ = 0;
};

} // namespace flux

template <>
struct std::hash<flux::JobId> {
    // The low bits are a sequence number, mostly 0: mix, or every id of a slow instance lands in one bucket.
    size_t operator()(flux::JobId id) const noexcept { return (id.value() * 0x9e3779b97f4a7c15ull) >> 16; }
};

template <>
struct fmt::formatter<flux::JobId> : fmt::formatter<std::string> {
    auto format(flux::JobId id, fmt::format_context &context) const
    {
        return fmt::formatter<std::string>::format(id.f58(), context);
    }
};
