// Looking a key up in a snapshot: through directories and symlinks, also into other namespaces.
#pragma once
#include <functional>
#include <optional>
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
bool follows_last(int flags);

} // namespace flux::kvs
