#include "common/store/blob_frame.hpp"

namespace flux {

namespace {

void put_u32(std::string &out, size_t value)
{
    for (int shift = 0; shift < 32; shift += 8)
        out += char((value >> shift) & 0xff);
}

bool take_u32(std::string_view &in, uint32_t &value)
{
    if (in.size() < 4)
        return false;
    value = 0;
    for (int i = 3; i >= 0; i--)
        value = value << 8 | uint8_t(in[size_t(i)]);
    in.remove_prefix(4);
    return true;
}

} // namespace

std::string encode_blob_frame(const std::vector<FramedBlob> &blobs, const Json &checkpoints)
{
    std::string out;
    size_t total = 4;
    for (const auto &blob : blobs)
        total += 8 + blob.digest.size() + blob.bytes.size();
    out.reserve(total + 256);
    put_u32(out, blobs.size());
    for (const auto &blob : blobs) {
        if (blob.bytes.size() > UINT32_MAX)
            throw Error(EFBIG, "a blob of {} bytes is too long to be stored", blob.bytes.size());
        for (auto part : {blob.digest, blob.bytes}) {
            put_u32(out, part.size());
            out += part;
        }
    }
    if (checkpoints)
        out += checkpoints.dump();
    return out;
}

Expected<BlobFrame> decode_blob_frame(std::string_view bytes)
{
    BlobFrame frame;
    uint32_t count = 0;
    if (!take_u32(bytes, count))
        return fail(EPROTO, "blob frame: no count of blobs");
    for (uint32_t i = 0; i < count; i++) {
        FramedBlob blob;
        for (auto *part : {&blob.digest, &blob.bytes}) {
            uint32_t length = 0;
            if (!take_u32(bytes, length) || bytes.size() < length)
                return fail(EPROTO, "blob frame: ends within blob {} of {}", i, count);
            *part = bytes.substr(0, length);
            bytes.remove_prefix(length);
        }
        frame.blobs.push_back(blob);
    }
    if (bytes.empty())
        return frame;
    auto json = Json::parse(bytes);
    if (!json)
        return std::unexpected(json.error());
    if (!json->is_object())
        return fail(EPROTO, "blob frame: checkpoints are an object, found {}", json->type_name());
    frame.checkpoints = *json;
    return frame;
}

} // namespace flux
