// The KVS tree as the server holds it: decoded directories, found by the blobref of their content (RFC 11).
//
// A directory in the cache is immutable and names its subdirectories by blobref, so every root blobref is a
// snapshot and the cache may forget any directory: it is loaded again from the content store. What is not in
// the cache makes the functions of this library throw NeedBlob; the caller loads the blob, adds it and tries
// again. So the logic here is without I/O and without coroutines.
#pragma once
#include <list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "common/base/hash.hpp"
#include "common/json/json.hpp"
#include "common/kvs/treeobj.hpp"

namespace flux::kvs {

struct Directory;

struct Value {
    std::shared_ptr<const std::string> bytes;
};
struct ValueRef {
    std::shared_ptr<const std::vector<std::string>> blobrefs;
};
struct DirRef {
    std::string blobref;
};
using Symlink = treeobj::Symlink;

// A directory's entry. A shared_ptr<Directory> is a directory that is not yet encoded (of a batch under way)
// or that somebody stored inside its parent's blob.
using Node = std::variant<Value, ValueRef, std::shared_ptr<Directory>, DirRef, Symlink>;

// A directory of more entries than max_dir_entries is an hdir (RFC 11): its entries stand in directories of
// their own, found by the hash of their names, so that a change costs a few small blobs however large the
// directory is. A bucket that outgrows the limit is an hdir in turn, at the next level: it looks at the next
// bits of the hash.
constexpr size_t max_dir_entries = 64;
constexpr unsigned hdir_bits = 4;
constexpr size_t hdir_size = size_t(1) << hdir_bits;
constexpr unsigned hdir_max_level =
    64 / hdir_bits - 1; // below it the hash has no more bits: a dir of any size
constexpr std::string_view hdir_function = "fnv1a64";
size_t hdir_slot(std::string_view name, unsigned level);

using Bucket = std::variant<std::monostate, DirRef, std::shared_ptr<Directory>>;

struct Directory {
    std::map<std::string, Node, std::less<>> entries;
    std::vector<Bucket> buckets; // of an hdir: hdir_size of them, and no entries
    std::string origin;          // blobref of what this is a working copy of; empty for a new one
    bool changed = false;        // differs from origin

    bool is_hdir() const { return !buckets.empty(); }
    // Of an hdir of the level: the bucket for the name. EPROTO beyond the last level: users store tree
    // objects as they like.
    const Bucket &bucket_of(std::string_view name, unsigned level) const;
    Bucket &bucket_of(std::string_view name, unsigned level)
    {
        return const_cast<Bucket &>(std::as_const(*this).bucket_of(name, level));
    }
    size_t footprint() const; // bytes in memory, roughly
};

// The content of this blob is needed: load it, DirectoryCache::add() or BlobCache it, and try again.
struct NeedBlob {
    std::string blobref;
    bool directory; // else a part of a value
};

// Throws EPROTO on what is not a valid tree object.
Node decode(const Json &treeobj);
std::shared_ptr<Directory> decode_directory(std::string_view blob);
Json to_json(const Node &node);
Json to_json(const Directory &directory); // of a dir, not an hdir; subdirectories by reference
// The blob of a directory whose subdirectories are all encoded; byte for byte what treeobj::encode makes.
std::string encode(const Directory &directory);
// Turns a dir into an hdir of the level.
void split(Directory &directory, unsigned level);
// The same entries, owned by nobody else.
std::shared_ptr<Directory> clone(const Directory &directory);

// Decoded directories by blobref, the least recently used forgotten beyond a limit.
class DirectoryCache {
public:
    using Pointer = std::shared_ptr<const Directory>;

    explicit DirectoryCache(size_t byte_limit) : byte_limit_(byte_limit) {}
    Pointer find(const std::string &blobref); // null: not here
    Pointer get(const std::string &blobref);  // throws NeedBlob
    // stored: whether the content store has its blob; one that it has not stays as it is until mark_stored.
    void add(const std::string &blobref, Pointer directory, bool stored);
    bool is_stored(const std::string &blobref) const;
    void mark_stored(const std::string &blobref);
    void remove(const std::string &blobref);
    void trim(); // to the limit; call it between operations, never within one
    void clear();
    size_t size() const { return index_.size(); }
    size_t bytes() const { return bytes_; }
    struct Sizes { // bytes
        size_t count = 0;
        double min = 0, mean = 0, deviation = 0, max = 0;
    };
    Sizes size_statistics() const;

private:
    struct Item {
        std::string blobref;
        Pointer directory;
        size_t bytes;
        bool stored;
    };
    size_t byte_limit_;
    size_t bytes_ = 0;
    std::list<Item> items_; // the most recently used first
    std::unordered_map<std::string, std::list<Item>::iterator> index_;
};

} // namespace flux::kvs
