#include "common/base/sha1_blocks.hpp"

#ifdef __x86_64__

#include <cpuid.h>
#include <immintrin.h>

namespace flux {

namespace {

struct State {
    __m128i abcd;
    __m128i previous; // abcd four rounds ago: its a becomes this step's e
    __m128i words[4]; // the last 16 words of the message schedule
};

// Rounds 4*first to 4*first+19, which share one function of RFC 3174 (number Function).
template <int Function>
__attribute__((target("sha,ssse3,sse4.1"), always_inline)) inline void five_steps(State &s)
{
    for (int i = Function * 5; i < Function * 5 + 5; i++) {
        __m128i &word = s.words[i & 3];
        if (i >= 4) {
            __m128i mixed =
                _mm_xor_si128(_mm_sha1msg1_epu32(word, s.words[(i + 1) & 3]), s.words[(i + 2) & 3]);
            word = _mm_sha1msg2_epu32(mixed, s.words[(i + 3) & 3]);
        }
        __m128i e = i == 0 ? _mm_add_epi32(s.previous, word) : _mm_sha1nexte_epu32(s.previous, word);
        s.previous = s.abcd;
        s.abcd = _mm_sha1rnds4_epu32(s.abcd, e, Function);
    }
}

} // namespace

bool has_sha1_instructions()
{
    static const bool has = [] {
        unsigned a = 0, b = 0, c = 0, d = 0;
        constexpr unsigned sha_bit = 1u << 29;
        return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & sha_bit) && __builtin_cpu_supports("sse4.1") &&
               __builtin_cpu_supports("ssse3");
    }();
    return has;
}

__attribute__((target("sha,ssse3,sse4.1"))) void sha1_blocks(uint32_t state[5], const uint8_t *data,
                                                             size_t blocks)
{
    const __m128i big_endian = _mm_set_epi64x(0x0001020304050607, 0x08090a0b0c0d0e0f);
    __m128i abcd = _mm_shuffle_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i *>(state)), 0x1b);
    __m128i e = _mm_set_epi32(int(state[4]), 0, 0, 0);
    for (; blocks > 0; blocks--, data += 64) {
        State s {abcd, e, {}};
        for (int i = 0; i < 4; i++)
            s.words[i] = _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i *>(data + 16 * i)),
                                          big_endian);
        five_steps<0>(s);
        five_steps<1>(s);
        five_steps<2>(s);
        five_steps<3>(s);
        e = _mm_sha1nexte_epu32(s.previous, e);
        abcd = _mm_add_epi32(abcd, s.abcd);
    }
    _mm_storeu_si128(reinterpret_cast<__m128i *>(state), _mm_shuffle_epi32(abcd, 0x1b));
    state[4] = uint32_t(_mm_extract_epi32(e, 3));
}

} // namespace flux

#else

namespace flux {

bool has_sha1_instructions()
{
    return false;
}
void sha1_blocks(uint32_t *, const uint8_t *, size_t) {}

} // namespace flux

#endif
