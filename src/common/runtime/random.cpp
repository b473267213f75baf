#include "common/runtime/random.hpp"

#include <sys/random.h>

#include "common/base/error.hpp"
#include "common/base/format.hpp"

namespace flux {

Random Random::from_system()
{
    uint64_t seed;
    FLUX_ASSERT(getrandom(&seed, sizeof seed, 0) == sizeof seed);
    return Random(seed);
}

std::string Random::uuid()
{
    uint64_t high = next(), low = next();
    high = (high & ~0xf000ull) | 0x4000ull;
    low = (low & ~(0xc0ull << 56)) | (0x80ull << 56);
    return fmt::format("{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", high >> 32, high >> 16 & 0xffff, high & 0xffff, low >> 48,
                       low & 0xffffffffffffull);
}

} // namespace flux
