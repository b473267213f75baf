#include "sim/forget.hpp"

#include <unordered_set>

#include "common/kvs/tree.hpp"

namespace flux::sim {

namespace {

void add_references(const kvs::Directory &directory, std::vector<std::string> &directories,
                    std::vector<std::string> &values)
{
    auto add_node = [&](const auto &self, const kvs::Node &node) -> void {
        if (auto *reference = std::get_if<kvs::DirRef>(&node))
            directories.push_back(reference->blobref);
        else if (auto *value = std::get_if<kvs::ValueRef>(&node))
            values.insert(values.end(), value->blobrefs->begin(), value->blobrefs->end());
        else if (auto *inner = std::get_if<std::shared_ptr<kvs::Directory>>(&node))
            for (const auto &[name, below] : (*inner)->entries)
                self(self, below);
    };
    for (const auto &[name, node] : directory.entries)
        add_node(add_node, node);
    for (const auto &bucket : directory.buckets)
        if (auto *reference = std::get_if<kvs::DirRef>(&bucket))
            directories.push_back(reference->blobref);
        else if (auto *inner = std::get_if<std::shared_ptr<kvs::Directory>>(&bucket))
            add_references(**inner, directories, values);
}

std::string digest_of(const std::string &blobref)
{
    return value_or_throw(parse_blobref(blobref)).digest;
}

} // namespace

Task<size_t> forget_unreachable(Handle &client, SimStores &stores)
{
    // What the caches hold could be taken for what the store has.
    co_await client.rpc("kvs.dropcache");
    co_await client.rpc("content.dropcache");
    Json primary {{"namespace", "primary"}};
    auto root = co_await client.rpc("kvs.getroot", primary);
    std::vector<std::string> directories {root.json().get<std::string>("rootref")}, values;
    std::unordered_set<std::string> reached;
    while (!directories.empty()) {
        auto digest = digest_of(directories.back());
        directories.pop_back();
        if (!reached.insert(digest).second)
            continue;
        auto blob = co_await client.rpc("content.load", Payload::raw(digest));
        add_references(*kvs::decode_directory(blob.payload.bytes()), directories, values);
    }
    for (const auto &blobref : values)
        reached.insert(digest_of(blobref));
    co_return stores.keep_only(reached);
}

} // namespace flux::sim
