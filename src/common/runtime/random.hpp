// Random: where chance comes from. Real randomness is seeded by the system, simulated randomness by the run's seed.
#pragma once
#include <cstdint>
#include <random>
#include <string>

namespace flux {

class Random {
public:
    explicit Random(uint64_t seed) : engine_(seed) {}
    static Random from_system(); // seeded by getrandom(2)

    uint64_t next() { return engine_(); }
    // Uniform in [0, bound); bound > 0.
    uint64_t below(uint64_t bound) { return std::uniform_int_distribution<uint64_t>(0, bound - 1)(engine_); }
    double unit() { return double(engine_() >> 11) * 0x1.0p-53; } // [0, 1)
    bool chance(double probability) { return unit() < probability; }
    std::string uuid(); // version 4, 36 characters, lower case

private:
    std::mt19937_64 engine_;
};

} // namespace flux
