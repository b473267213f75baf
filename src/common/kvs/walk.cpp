#include "common/kvs/walk.hpp"

#include "common/kvs/batch.hpp"
#include "common/kvs/flags.hpp"

namespace flux::kvs {

namespace {

const Directory *directory_of(DirectoryCache &cache, const Node &node, DirectoryCache::Pointer &keep)
{
    if (auto *reference = std::get_if<DirRef>(&node))
        return (keep = cache.get(reference->blobref)).get();
    if (auto *inner = std::get_if<std::shared_ptr<Directory>>(&node))
        return (keep = *inner).get();
    return nullptr;
}

// The dir that holds, or would hold, the name; null when there is none.
const Directory *leaf_of(DirectoryCache &cache, const Directory *directory, const std::string &name,
                         DirectoryCache::Pointer &keep)
{
    for (unsigned level = 0; directory->is_hdir(); level++) {
        auto *reference = std::get_if<DirRef>(&directory->bucket_of(name, level));
        if (!reference)
            return nullptr;
        directory = (keep = cache.get(reference->blobref)).get();
    }
    return directory;
}

} // namespace

Listing::Listing(DirectoryCache::Pointer directory) : out_(treeobj::make_dir())
{
    left_.push_back({std::move(directory), "", {}});
}

// Depth first. What is stored as buckets may be anybody's invention: each is looked at once.
Json Listing::run(DirectoryCache &cache)
{
    while (!left_.empty()) {
        auto &next = left_.back();
        if (!next.directory)
            next.directory = cache.get(next.blobref);
        auto [directory, blobref, slots] = std::move(next);
        left_.pop_back();
        bool empty = !directory->is_hdir() && directory->entries.empty();
        if (!blobref.empty() && !empty && !seen_.insert(blobref).second)
            throw Error(EPROTO, "hdir: {} is more than one of its buckets", blobref);
        for (const auto &[name, node] : directory->entries) {
            for (unsigned level = 0; level < slots.size(); level++)
                if (hdir_slot(name, level) != slots[level])
                    throw Error(EPROTO, "hdir: \"{}\" is in a bucket that is not for this name", name);
            treeobj::set_entry(out_, name, to_json(node));
        }
        if (directory->is_hdir() && slots.size() > hdir_max_level)
            throw Error(EPROTO, "hdir: more than {} levels of buckets", hdir_max_level + 1);
        for (size_t slot = 0; slot < directory->buckets.size(); slot++)
            if (auto *reference = std::get_if<DirRef>(&directory->buckets[slot])) {
                auto inside = slots;
                inside.push_back(uint8_t(slot));
                left_.push_back({nullptr, reference->blobref, std::move(inside)});
            }
    }
    return std::move(out_);
}

Found find(DirectoryCache &cache, const RootOf &root_of, const std::string &space, const std::string &rootref,
           const Path &path, bool follow_last)
{
    Found found;
    found.trail.push_back({space, path});
    Place at {space, path};
    std::string root = rootref;
    Node node = DirRef {root};
    int links = 0;
    for (size_t i = 0; i < at.path.size();) {
        DirectoryCache::Pointer keep;
        const Directory *directory = directory_of(cache, node, keep);
        if (directory)
            directory = leaf_of(cache, directory, at.path[i], keep);
        if (!directory)
            return found;
        auto entry = directory->entries.find(at.path[i]);
        if (entry == directory->entries.end())
            return found;
        bool last = i + 1 == at.path.size();
        auto *link = std::get_if<Symlink>(&entry->second);
        if (!link || (last && !follow_last)) {
            node = Node(entry->second); // a copy: keep may be all that holds the entry
            i++;
            continue;
        }
        if (++links > max_symlinks)
            throw Error(ELOOP, "{} needs more than {} symlinks to be followed", join(path), max_symlinks);
        Path target = value_or_throw(parse_key(link->target));
        target.insert(target.end(), at.path.begin() + long(i) + 1, at.path.end());
        if (!link->namespace_name.empty() && link->namespace_name != at.space) {
            at.space = link->namespace_name;
            root = root_of(at.space);
        }
        at.path = std::move(target);
        found.trail.push_back(at);
        node = DirRef {root};
        i = 0;
    }
    found.node = std::move(node);
    return found;
}

bool follows_last(int flags)
{
    return !(flags & (flag::readlink | flag::treeobj));
}

Answer interpret(DirectoryCache &cache, const Found &found, int flags)
{
    auto name = join(found.trail.front().path);
    if (!found.node)
        throw Error(ENOENT, "{} does not exist in namespace {}", name, found.trail.front().space);
    const Node &node = *found.node;
    bool is_link = std::holds_alternative<Symlink>(node);
    if (flags & flag::readlink) {
        if (!is_link)
            throw Error(EINVAL, "{} is not a symlink", name);
        return {to_json(node), {}, {}};
    }
    bool is_directory =
        std::holds_alternative<DirRef>(node) || std::holds_alternative<std::shared_ptr<Directory>>(node);
    if ((flags & flag::readdir) && !is_directory)
        throw Error(ENOTDIR, "{} is not a directory", name);
    if (flags & flag::treeobj)
        return {to_json(node), {}, {}};
    if (flags & flag::readdir) {
        DirectoryCache::Pointer directory;
        directory_of(cache, node, directory);
        return {{}, {}, std::move(directory)};
    }
    if (is_directory)
        throw Error(EISDIR, "{} is a directory", name);
    if (auto *value = std::get_if<ValueRef>(&node))
        return {{}, value->blobrefs, {}};
    return {to_json(node), {}, {}};
}

} // namespace flux::kvs
