// The decoders of what comes from outside, each as one function that a fuzzer can call: the seeded loop of
// unit/types/test_decoders.cpp runs them in every test run, and -DFLUX_FUZZ=ON builds one libFuzzer program
// for each.
#pragma once
#include <span>
#include <stdexcept>
#include <string_view>
#include <vector>

namespace flux::fuzz {

// A decoder that accepted a text whose own spelling it then refuses or reads differently.
struct RoundTripError : std::runtime_error {
    using runtime_error::runtime_error;
};

struct Decoder {
    const char *name;
    void (*run)(std::string_view text);  // throws RoundTripError
    std::vector<std::string_view> seeds; // valid inputs, to be mutated
};

std::span<const Decoder> decoders();
std::vector<Decoder> text_decoders();  // of the formats that people and commands write: decoders.cpp
std::vector<Decoder> wire_decoders();  // of what arrives on sockets, links and channels
std::vector<Decoder> graph_decoders(); // of machines, requests and workloads, and of configurations

} // namespace flux::fuzz
