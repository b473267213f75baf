// The payload of "content.commit": blobs and checkpoints to be stored together, as bytes. Inside a broker it
// is passed by pointer, so that a blob is copied once on its way from the KVS to the store, and never turned
// into base64.
//
//     u32 number of blobs, then for each: u32 length of the digest, digest, u32 length, bytes; the rest: a
//     JSON object of checkpoints by key, or nothing
//
// Integers are little-endian. Digests come with the blobs, because the sender has them already: only the
// instance owner may commit, and a blob is compared with its digest when it is read from the store.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "common/json/json.hpp"

namespace flux {

struct FramedBlob {
    std::string_view digest;
    std::string_view bytes;
    friend bool operator==(const FramedBlob &, const FramedBlob &) = default;
};

std::string encode_blob_frame(const std::vector<FramedBlob> &blobs, const Json &checkpoints);

struct BlobFrame {
    std::vector<FramedBlob> blobs; // into the frame's bytes
    Json checkpoints;              // absent: none
};
Expected<BlobFrame> decode_blob_frame(std::string_view bytes); // EPROTO

} // namespace flux
