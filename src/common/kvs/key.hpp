// KVS keys (RFC 11): names joined by periods. Repeated, leading and trailing periods mean nothing, so that
// "a..b." is "a.b" and "." is the root directory, the empty path here.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "common/base/error.hpp"

namespace flux::kvs {

constexpr size_t max_key_length = 4096; // bytes
constexpr size_t max_key_parts = 128;   // names in one key

using Path = std::vector<std::string>;

// EINVAL when the key is empty, too long or too deep.
Expected<Path> parse_key(std::string_view key);
std::string join(const Path &path); // "." for the empty path

} // namespace flux::kvs
