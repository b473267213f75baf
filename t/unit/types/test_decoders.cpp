// Every decoder against mutated valid inputs and random bytes, from fixed seeds: none may crash or hang, and
// whatever one accepts must survive being written and read again.
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "fuzz/decoders.hpp"

using namespace flux::fuzz;

namespace {

// FLUX_FUZZ_ITERATIONS asks for a longer run, for instance of a build with FLUX_SANITIZE.
int iterations()
{
    const char *asked = std::getenv("FLUX_FUZZ_ITERATIONS");
#ifdef __SANITIZE_ADDRESS__
    constexpr int usual = 6000; // each takes ten times as long
#else
    constexpr int usual = 20000;
#endif
    return asked ? std::atoi(asked) : usual;
}

std::string mutated(std::string text, std::string_view other, std::mt19937 &random)
{
    static constexpr std::string_view interesting = "0123456789-,[]{}()\":.+*^|&';=? \n\0\xff\x7f"
                                                    "aef";
    for (unsigned edits = 1 + random() % 4; edits > 0; edits--) {
        size_t at = text.empty() ? 0 : random() % text.size();
        switch (text.empty() ? 1 : random() % 6) {
        case 0:
            text[at] = char(random());
            break;
        case 1:
            text.insert(at, 1, interesting[random() % interesting.size()]);
            break;
        case 2:
            text.erase(at, 1 + random() % 4);
            break;
        case 3:
            text.insert(at, text.substr(random() % text.size(), random() % 8));
            break;
        case 4:
            text[at] = interesting[random() % interesting.size()];
            break;
        default:
            text = text.substr(0, at) + std::string(other.substr(std::min(at, other.size())));
        }
    }
    return text;
}

std::string random_bytes(std::mt19937 &random)
{
    std::string out(random() % 40, '\0');
    for (auto &c : out)
        c = char(random());
    return out;
}

class Decoders : public testing::TestWithParam<Decoder> {};

} // namespace

TEST_P(Decoders, WithstandMutatedAndRandomInput)
{
    const Decoder &decoder = GetParam();
    std::mt19937 random(20251 + std::string_view(decoder.name).size());
    for (auto seed : decoder.seeds)
        ASSERT_NO_THROW(decoder.run(seed)) << seed;
    const int count = iterations();
    for (int i = 0; i < count; i++) {
        auto pick = [&] {
            return decoder.seeds[random() % decoder.seeds.size()];
        };
        std::string text = i % 10 == 0 ? random_bytes(random) : mutated(std::string(pick()), pick(), random);
        try {
            decoder.run(text);
        } catch (const std::exception &error) {
            FAIL() << decoder.name << " iteration " << i << ": " << error.what()
                   << "\ninput: " << testing::PrintToString(text);
        }
    }
}

INSTANTIATE_TEST_SUITE_P(All, Decoders, testing::ValuesIn(decoders().begin(), decoders().end()),
                         [](const auto &info) { return std::string(info.param.name); });
