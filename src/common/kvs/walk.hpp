// Looking a key up in a snapshot: through directories and symlinks, also into other namespaces.
#pragma once
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/kvs/key.hpp"
#include "common/kvs/tree.hpp"

namespace flux::kvs {

// A key of a namespace that a lookup depended on.
struct Place {
    std::string space;
    Path path;
    friend bool operator==(const Place &, const Place &) = default;
};

struct Found {
    std::optional<Node> node; // the root directory is a DirRef; nullopt: there is none
    std::vector<Place> trail; // the key, then each place that a symlink led to
};

// The root blobref of a namespace that a symlink leads to; throws ENOTSUP (unknown), EPERM.
using RootOf = std::function<std::string(const std::string &space)>;

// Throws ELOOP, NeedBlob and what root_of throws. follow_last: a symlink that the key itself names is
// followed.
Found find(DirectoryCache &cache, const RootOf &root_of, const std::string &space, const std::string &rootref,
           const Path &path, bool follow_last);

// What a lookup with these flags answers: a whole tree object, the references of a value whose blobs follow,
// or a directory whose buckets (of an hdir) follow. Throws ENOENT, EISDIR, ENOTDIR, EINVAL (readlink of
// another thing), NeedBlob.
struct Answer {
    Json object;
    std::shared_ptr<const std::vector<std::string>> blobrefs; // set: a value that is still to be put together
    DirectoryCache::Pointer directory;                        // set: a directory that is still to be listed
};
Answer interpret(DirectoryCache &cache, const Found &found, int flags);

// A directory as one tree object, with what stands in its buckets.
class Listing {
public:
    explicit Listing(DirectoryCache::Pointer directory);
    // Goes on from where it was. Throws NeedBlob, EPROTO for buckets that are no hdir's.
    Json run(DirectoryCache &cache);

private:
    struct Part {
        DirectoryCache::Pointer directory; // null: to be loaded
        std::string blobref;
        std::vector<uint8_t> slots; // the bucket of each level that led here
    };
    std::vector<Part> left_;
    std::set<std::string> seen_;
    Json out_;
};

bool follows_last(int flags);

} // namespace flux::kvs
