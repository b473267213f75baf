// SHA-1 over whole 64-byte blocks with the processor's own instructions, for hash.cpp. Every KVS commit
// hashes all that it writes; this is five times quicker than portable code.
#pragma once
#include <cstddef>
#include <cstdint>

namespace flux {

bool has_sha1_instructions();
// state: h0..h4. Only where has_sha1_instructions().
void sha1_blocks(uint32_t state[5], const uint8_t *data, size_t blocks);

} // namespace flux
