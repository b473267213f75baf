// Content hashes (RFC 10): the digest names a blob. Raw bytes here; blobref text is "sha1-<hex>" or
// "sha256-<hex>".
#pragma once
#include <string>
#include <string_view>

#include "common/base/error.hpp"

namespace flux {

enum class HashType { sha1, sha256 };

// "sha1" or "sha256"; EINVAL names what is allowed.
Expected<HashType> parse_hash_type(std::string_view name);
std::string_view hash_type_name(HashType type);
size_t digest_size(HashType type); // bytes: 20 or 32

std::string digest(HashType type, std::string_view data); // raw digest bytes
std::string blobref(HashType type, std::string_view data);
std::string blobref_of(HashType type, std::string_view digest);

// Split and check a blobref's text; EINVAL on an unknown hash or a digest of the wrong length.
struct BlobrefParts {
    HashType type;
    std::string digest;
};
Expected<BlobrefParts> parse_blobref(std::string_view text);

} // namespace flux
