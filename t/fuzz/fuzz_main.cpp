// One libFuzzer program per decoder: FLUX_FUZZ_DECODER is its name.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
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
