#include "common/base/hash.hpp"

#include <sys/types.h>

#include <sha1.h>
#include <sha2.h>

#include <cstring>

#include "common/base/encoding.hpp"
#include "common/base/sha1_blocks.hpp"

namespace flux {

namespace {

// RFC 3174: the message, a one bit, zeros, and its length in bits at the end of the last block.
void sha1(std::string_view data, uint8_t *result)
{
    constexpr size_t block = 64;
    uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    auto bytes = reinterpret_cast<const uint8_t *>(data.data());
    size_t whole = data.size() / block;
    sha1_blocks(state, bytes, whole);
    uint8_t rest[2 * block] = {};
    size_t left = data.size() - whole * block;
    if (left)
        std::memcpy(rest, bytes + whole * block, left);
    rest[left] = 0x80;
    size_t blocks = left + 9 > block ? 2 : 1;
    for (int i = 0; i < 8; i++)
        rest[blocks * block - 1 - size_t(i)] = uint8_t(uint64_t(data.size()) * 8 >> (8 * i));
    sha1_blocks(state, rest, blocks);
    for (int i = 0; i < 20; i++)
        result[i] = uint8_t(state[i / 4] >> (24 - 8 * (i % 4)));
}

} // namespace

Expected<HashType> parse_hash_type(std::string_view name)
{
    if (name == "sha1")
        return HashType::sha1;
    if (name == "sha256")
        return HashType::sha256;
    return fail(EINVAL, "unknown content hash \"{}\": use sha1 or sha256", name);
}

std::string_view hash_type_name(HashType type)
{
    return type == HashType::sha1 ? "sha1" : "sha256";
}

size_t digest_size(HashType type)
{
    return type == HashType::sha1 ? SHA1_DIGEST_LENGTH : SHA256_DIGEST_LENGTH;
}

std::string digest(HashType type, std::string_view data)
{
    auto bytes = reinterpret_cast<const uint8_t *>(data.data());
    std::string out(digest_size(type), '\0');
    auto result = reinterpret_cast<uint8_t *>(out.data());
    if (type == HashType::sha1 && has_sha1_instructions()) {
        sha1(data, result);
    } else if (type == HashType::sha1) {
        SHA1_CTX context;
        SHA1Init(&context);
        SHA1Update(&context, bytes, data.size());
        SHA1Final(result, &context);
    } else {
        SHA2_CTX context;
        SHA256Init(&context);
        SHA256Update(&context, bytes, data.size());
        SHA256Final(result, &context);
    }
    return out;
}

std::string blobref(HashType type, std::string_view data)
{
    return blobref_of(type, digest(type, data));
}

std::string blobref_of(HashType type, std::string_view digest)
{
    return std::string(hash_type_name(type)) + '-' + hex_encode(digest);
}

Expected<BlobrefParts> parse_blobref(std::string_view text)
{
    auto dash = text.find('-');
    if (dash == text.npos)
        return fail(EINVAL, "blobref \"{}\" has no hash name: expected sha1-<hex> or sha256-<hex>", text);
    auto type = parse_hash_type(text.substr(0, dash));
    if (!type)
        return std::unexpected(type.error());
    auto bytes = hex_decode(text.substr(dash + 1));
    if (!bytes)
        return fail(EINVAL, "blobref \"{}\": {}", text, bytes.error().text());
    if (bytes->size() != digest_size(*type))
        return fail(EINVAL, "blobref \"{}\" has a digest of {} bytes, {} has {}", text, bytes->size(),
                    hash_type_name(*type), digest_size(*type));
    return BlobrefParts {*type, std::move(*bytes)};
}

} // namespace flux
