// Batch: transactions (RFC 11 operations) applied together to one snapshot of a namespace, then encoded once.
//
//     Batch batch(cache, rootref, HashType::sha1);
//     batch.apply(ops);                  // again for each transaction; throws leave the earlier ones
//     untouched Batch::Result result = batch.finish();
#pragma once
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/kvs/key.hpp"
#include "common/kvs/tree.hpp"

namespace flux::kvs {

constexpr size_t max_inline_value = 1024; // bytes; a longer value becomes a blob of its own
constexpr int max_symlinks = 10;          // followed in one key, then ELOOP

// A key that the transactions of a version named, as often as they did.
struct Mention {
    std::string key;      // normal
    bool replaced;        // by anything but an append
    std::string resolved; // the key that symlinks in it led to; empty: the same
};
using Mentions = std::vector<Mention>;

class Batch {
public:
    Batch(DirectoryCache &cache, std::string rootref, HashType hash);

    // All of a transaction or, when it throws, nothing: Error (EINVAL key, EPROTO tree object, EISDIR append
    // to a directory, EOPNOTSUPP append to a symlink, ELOOP, EINVAL a symlink to another namespace inside the
    // key). Throws NeedBlob when it wants something in the cache: then the same is applied again, and goes on
    // where it was, or given up.
    void apply(const std::vector<Json> &transaction); // arrays of operations
    void apply(const Json &ops) { apply(std::vector<Json> {ops}); }
    void give_up(); // what has been applied of the transaction

    struct Blob {
        std::string blobref;
        std::string digest;
        std::string bytes;
    };
    struct Result {
        std::string rootref;
        std::vector<Blob> blobs; // new ones; those of directories are in the cache from now on
        std::vector<std::string>
            replaced; // directories of the old version that have another form in the new one
        Mentions mentions;
    };
    Result finish();

private:
    struct Undo {
        Directory *directory;
        std::string name;
        std::optional<Node> before;
    };
    struct Mark { // how far it is
        size_t undo, values, mentions;
    };
    void apply_one(const Json &op);
    void append(Directory &directory, const std::string &name, const std::string &bytes);
    Directory *parent_of(Path &path, bool create);
    Directory *descend(Directory &directory, const std::string &name, bool create, Node **found);
    // The dir that holds, or would hold, the name: the directory itself or a working copy of a bucket of it.
    Directory &leaf_of(Directory &directory, const std::string &name);
    std::shared_ptr<Directory> working_copy(const std::string &blobref);
    void set(Directory &directory, const std::string &name, std::optional<Node> node);
    Mark mark() const;
    void roll_back(Mark to);
    Node shorten(Node node);
    std::string add_value_blob(std::string bytes);
    std::string encode_tree(const std::shared_ptr<Directory> &directory, unsigned level);
    void encode_buckets(Directory &directory, unsigned level);

    DirectoryCache &cache_;
    HashType hash_;
    std::shared_ptr<Directory> root_;
    bool under_way_ = false; // a transaction: what follows is of it
    size_t part_ = 0, op_ = 0; // the next operation
    std::vector<Undo> undo_;
    size_t mentions_before_ = 0;
    std::vector<std::string> added_values_;
    std::unordered_map<std::string, Blob> values_; // new blobs of values, by blobref
    Result result_;
};

} // namespace flux::kvs
