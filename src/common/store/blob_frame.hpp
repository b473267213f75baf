// The payload of "content.commit": blobs and checkpoints to be stored together, as bytes. Inside a broker it
// is passed by pointer, so that a blob is copied once on its way from the KVS to the store, and never turned
// into base64.
//
//     u32 number of blobs, then for each: u32 length, bytes; the rest: a JSON object of checkpoints by key,
//     or nothing
//
// Integers are little-endian. The receiver computes the digests itself.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "common/json/json.hpp"

namespace flux {

std::string encode_blob_frame(const std::vector<std::string_view> &blobs, const Json &checkpoints);

struct BlobFrame {
    std::vector<std::string_view> blobs; // into the frame's bytes
    Json checkpoints;                    // absent: none
};
Expected<BlobFrame> decode_blob_frame(std::string_view bytes); // EPROTO

} // namespace flux
