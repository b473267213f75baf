// One libFuzzer program per decoder: FLUX_FUZZ_DECODER is its name. Valid inputs to begin with are written into the
// directory that the environment variable FLUX_FUZZ_SEEDS names.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <string>
#include <string_view>

#include "fuzz/decoders.hpp"

namespace {

const flux::fuzz::Decoder &chosen()
{
    for (const auto &decoder : flux::fuzz::decoders())
        if (decoder.name == std::string_view(FLUX_FUZZ_DECODER))
            return decoder;
    std::fprintf(stderr, "no decoder is named %s\n", FLUX_FUZZ_DECODER);
    std::abort();
}

} // namespace

extern "C" int LLVMFuzzerInitialize(int *, char ***)
{
    if (const char *directory = std::getenv("FLUX_FUZZ_SEEDS"))
        for (size_t i = 0; i < chosen().seeds.size(); i++)
            std::ofstream(directory + ("/seed" + std::to_string(i)), std::ios::binary) << chosen().seeds[i];
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const auto &decoder = chosen();
    try {
        decoder.run({reinterpret_cast<const char *>(data), size});
    } catch (const std::exception &error) { // what escapes a decoder is a fault of it
        std::fprintf(stderr, "%s: %s\n", decoder.name, error.what());
        std::abort();
    }
    return 0;
}
