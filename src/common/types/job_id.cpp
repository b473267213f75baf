#include "common/types/job_id.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <strings.h>

#include "common/base/quote.hpp"
#include "common/base/text.hpp"
#include "common/types/job_id_tables.hpp"

namespace flux {

namespace {

constexpr std::string_view base58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
constexpr std::string_view f58_unicode = "\u0192";

std::unexpected<Error> bad(std::string_view text, std::string_view why)
{
    return fail(EINVAL, "\"{}\" is not a job id: {}", quoted(text, 60), why);
}

// value = value * base + digit, false on overflow of 64 bits.
bool push_digit(uint64_t &value, uint64_t base, uint64_t digit)
{
    return !__builtin_mul_overflow(value, base, &value) && !__builtin_add_overflow(value, digit, &value);
}

Expected<JobId> parse_f58(std::string_view digits, std::string_view text)
{
    uint64_t value = 0;
    if (digits.empty())
        return bad(text, "nothing follows the f");
    for (char c : digits) {
        size_t digit = base58.find(c);
        if (digit == std::string_view::npos)
            return bad(text, "a character is not of the base58 alphabet");
        if (!push_digit(value, base58.size(), digit))
            return bad(text, "it is over 64 bits");
    }
    return JobId(value);
}

Expected<JobId> parse_number(std::string_view digits, int base, std::string_view text)
{
    uint64_t value = 0;
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
    if (error == std::errc::result_out_of_range)
        return bad(text, "it is over 64 bits");
    if (error != std::errc() || end != digits.data() + digits.size())
        return bad(text, base == 16 ? "expected hexadecimal digits"
                                    : "expected f58, decimal, 0x hex, dothex or words");
    return JobId(value);
}

Expected<JobId> parse_dothex(std::string_view text)
{
    std::string_view rest = text;
    if (rest.starts_with("job."))
        rest.remove_prefix(4);
    std::string digits;
    for (int group = 0; group < 4; group++) {
        if (rest.size() < 4 || rest.substr(0, 4).contains('.') ||
            (group < 3 && (rest.size() < 5 || rest[4] != '.')))
            return bad(text, "expected four groups of four hexadecimal digits");
        digits += rest.substr(0, 4);
        rest.remove_prefix(group < 3 ? 5 : 4);
    }
    if (!rest.empty())
        return bad(text, "expected four groups of four hexadecimal digits");
    return parse_number(digits, 16, text);
}

Expected<JobId> parse_words(std::string_view text)
{
    uint64_t halves[2] = {};
    uint64_t scale = 1;
    int count = 0;
    std::string_view rest = text;
    while (true) {
        while (rest.starts_with('-'))
            rest.remove_prefix(1);
        if (rest.empty())
            break;
        std::string_view word = rest.substr(0, rest.find('-'));
        rest.remove_prefix(word.size());
        auto found = std::ranges::find_if(mnemonic_words, [&](std::string_view known) {
            return known.size() == word.size() && strncasecmp(known.data(), word.data(), word.size()) == 0;
        });
        if (found == mnemonic_words.end())
            return bad(text, "a word is not in the list");
        if (count == 6)
            return bad(text, "expected six words");
        if (count % 3 == 0)
            scale = 1;
        halves[count++ / 3] += (found - mnemonic_words.begin()) * scale;
        scale *= mnemonic_base;
    }
    if (count != 6)
        return bad(text, "expected six words");
    if (halves[0] > UINT32_MAX || halves[1] > UINT32_MAX)
        return bad(text, "these words do not make a number");
    return JobId(halves[1] << 32 | halves[0]);
}

Expected<JobId> parse_emoji(std::string_view text)
{
    uint64_t value = 0;
    for (std::string_view rest = text; !rest.empty(); rest.remove_prefix(emoji_bytes)) {
        size_t at = 0;
        while (at < emoji_digits.size() &&
               emoji_digits.substr(at, emoji_bytes) != rest.substr(0, emoji_bytes))
            at += emoji_bytes;
        if (at == emoji_digits.size())
            return bad("(emoji)", "an emoji is not in the list");
        if (!push_digit(value, emoji_base, at / emoji_bytes))
            return bad("(emoji)", "it is over 64 bits");
    }
    return JobId(value);
}

} // namespace

F58Prefix f58_prefix_from_environment()
{
    if (std::getenv("FLUX_F58_FORCE_ASCII"))
        return F58Prefix::ascii;
    for (const char *name : {"LC_ALL", "LC_CTYPE", "LANG"})
        if (const char *value = std::getenv(name); value && *value)
            return strcasestr(value, "utf-8") || strcasestr(value, "utf8") ? F58Prefix::unicode
                                                                           : F58Prefix::ascii;
    return F58Prefix::ascii;
}

Expected<JobId> JobId::parse(std::string_view text)
{
    if (trimmed(text).empty())
        return bad(text, "it is empty");
    text = trimmed(text);
    // The order of RFC 19.
    if (text.contains('.'))
        return parse_dothex(text);
    if (text.contains('-'))
        return parse_words(text);
    if (text.starts_with(f58_unicode))
        return parse_f58(text.substr(f58_unicode.size()), text);
    if (text.starts_with('f'))
        return parse_f58(text.substr(1), text);
    if (text.starts_with("\xf0\x9f"))
        return parse_emoji(text);
    if (text.starts_with("0x"))
        return parse_number(text.substr(2), 16, text);
    return parse_number(text, 10, text);
}

std::string JobId::f58(F58Prefix prefix) const
{
    char digits[16]; // 58^11 > 2^64
    char *at = std::end(digits);
    uint64_t rest = value_;
    do {
        *--at = base58[rest % base58.size()];
        rest /= base58.size();
    } while (rest > 0);
    std::string out(prefix == F58Prefix::unicode ? f58_unicode : "f");
    return out.append(at, std::end(digits));
}

std::string JobId::dothex() const
{
    return fmt::format("{:04x}.{:04x}.{:04x}.{:04x}", value_ >> 48, value_ >> 32 & 0xffff,
                       value_ >> 16 & 0xffff, value_ & 0xffff);
}

std::string JobId::kvs_path(std::string_view key) const
{
    return fmt::format("job.{}.{}", dothex(), key);
}

std::string JobId::words() const
{
    std::string out;
    for (uint64_t half : {value_ & 0xffffffff, value_ >> 32}) {
        if (!out.empty())
            out += "--";
        for (int i = 0; i < 3; i++, half /= mnemonic_base)
            out.append(i > 0 ? "-" : "").append(mnemonic_words[half % mnemonic_base]);
    }
    return out;
}

std::string JobId::emoji() const
{
    std::string out;
    uint64_t rest = value_;
    do {
        out.insert(0, emoji_digits.substr(rest % emoji_base * emoji_bytes, emoji_bytes));
        rest /= emoji_base;
    } while (rest > 0);
    return out;
}

Expected<std::string> JobId::encode(std::string_view encoding) const
{
    if (encoding == "f58")
        return f58(f58_prefix_from_environment());
    if (encoding == "f58plain")
        return f58(F58Prefix::ascii);
    if (encoding == "dec")
        return dec();
    if (encoding == "hex")
        return hex();
    if (encoding == "dothex")
        return dothex();
    if (encoding == "kvs")
        return kvs_path();
    if (encoding == "words")
        return words();
    if (encoding == "emoji")
        return emoji();
    return fail(EINVAL,
                "unknown job id encoding \"{}\" (use f58, f58plain, dec, hex, dothex, kvs, words or emoji)",
                quoted(encoding, 40));
}

FluidGenerator::FluidGenerator(uint32_t generator, int64_t epoch_ms)
    : generator_(generator), epoch_ms_(epoch_ms)
{
    if (generator > max_generator)
        throw Error(EINVAL, "job id generator {} is over the limit of {}", generator, max_generator);
}

JobId FluidGenerator::next(int64_t now_ms)
{
    uint64_t timestamp = now_ms > epoch_ms_ ? uint64_t(now_ms - epoch_ms_) : 0;
    if (timestamp > last_ms_) {
        last_ms_ = timestamp;
        sequence_ = 0;
    } else if (sequence_ == 1u << JobId::sequence_bits) {
        last_ms_++;
        sequence_ = 0;
    }
    if (last_ms_ >= 1ull << JobId::timestamp_bits)
        throw Error(EOVERFLOW, "job ids are used up: {} ms have passed since the instance's epoch", last_ms_);
    return JobId::compose(last_ms_, generator_, sequence_++);
}

void FluidGenerator::start_above(JobId id, int64_t now_ms)
{
    uint64_t timestamp = id.timestamp_ms() + 1;
    if (timestamp <= last_ms_)
        return;
    last_ms_ = timestamp;
    sequence_ = 0;
    epoch_ms_ = now_ms - int64_t(timestamp);
}

} // namespace flux
