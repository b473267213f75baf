#include "common/kvs/batch.hpp"

#include "common/kvs/flags.hpp"

namespace flux::kvs {

Batch::Batch(DirectoryCache &cache, std::string rootref, HashType hash)
    : cache_(cache), hash_(hash), root_(working_copy(rootref))
{
}

std::shared_ptr<Directory> Batch::working_copy(const std::string &blobref)
{
    auto copy = clone(*cache_.get(blobref));
    copy->origin = blobref;
    copy->changed = false;
    return copy;
}

Directory &Batch::leaf_of(Directory &directory, const std::string &name)
{
    Directory *at = &directory;
    for (unsigned level = 0; at->is_hdir(); level++) {
        auto &bucket = at->bucket_of(name, level);
        // A copy has no other content, an empty bucket is stored as none: no change and nothing to undo.
        if (auto *reference = std::get_if<DirRef>(&bucket))
            bucket = working_copy(std::string(reference->blobref));
        else if (std::holds_alternative<std::monostate>(bucket))
            bucket = std::make_shared<Directory>();
        at = std::get<std::shared_ptr<Directory>>(bucket).get();
    }
    return *at;
}

void Batch::apply(const std::vector<Json> &transaction)
{
    if (!std::exchange(under_way_, true)) {
        undo_.clear();
        added_values_.clear();
        mentions_before_ = result_.mentions.size();
        part_ = op_ = 0;
    }
    Mark before_op = mark();
    try {
        for (; part_ < transaction.size(); part_++, op_ = 0) {
            const Json &ops = transaction[part_];
            if (!ops.is_array())
                throw Error(EPROTO, "a transaction's ops are an array, found {}", ops.type_name());
            for (size_t count = ops.size(); op_ < count; op_++) {
                before_op = mark();
                apply_one(ops[op_]);
            }
        }
    } catch (const NeedBlob &) {
        roll_back(before_op);
        throw;
    } catch (...) {
        give_up();
        throw;
    }
    under_way_ = false;
}

void Batch::give_up()
{
    roll_back({0, 0, mentions_before_});
    under_way_ = false;
}

void Batch::apply_one(const Json &op)
{
    Json key = op["key"];
    if (!key.is_string())
        throw Error(EPROTO, "an operation has no key");
    Path path = value_or_throw(parse_key(key.string_view()));
    int flags = op.value<int>("flags", 0);
    Json object = op["dirent"];
    if (!object)
        throw Error(EPROTO, "the operation on {} has no dirent", join(path));
    if (flags & ~flag::append)
        throw Error(EINVAL, "the operation on {} has unknown flags {}: only append ({}) is one", join(path),
                    flags, flag::append);
    if (path.empty())
        throw Error(EINVAL, "the root directory cannot be replaced or removed: name a key in it");
    result_.mentions.push_back({join(path), !(flags & flag::append), {}});
    auto parent_for = [&](bool create) {
        Directory *parent = parent_of(path, create);
        if (auto resolved = join(path); resolved != result_.mentions.back().key)
            result_.mentions.back().resolved = std::move(resolved);
        return parent;
    };
    if (object.is_null()) {
        if (Directory *parent = parent_for(false))
            set(*parent, path.back(), std::nullopt);
        return;
    }
    Node node = decode(object);
    if (flags & flag::append) {
        auto *value = std::get_if<Value>(&node);
        if (!value)
            throw Error(EPROTO, "only a val can be appended to {}", join(path));
        Directory *parent = parent_for(true);
        return append(*parent, path.back(), *value->bytes);
    }
    Directory *parent = parent_for(true);
    set(*parent, path.back(), shorten(std::move(node)));
}

void Batch::append(Directory &parent, const std::string &name, const std::string &bytes)
{
    Directory &directory = leaf_of(parent, name);
    auto found = directory.entries.find(name);
    if (found == directory.entries.end())
        return set(directory, name, shorten(Value {std::make_shared<const std::string>(bytes)}));
    if (std::holds_alternative<Symlink>(found->second))
        throw Error(EOPNOTSUPP, "{} is a symlink: append to its target", name);
    if (auto *value = std::get_if<Value>(&found->second)) {
        if (value->bytes->size() + bytes.size() <= max_inline_value)
            return set(directory, name, Value {std::make_shared<const std::string>(*value->bytes + bytes)});
        std::vector<std::string> refs;
        for (const auto *part : {value->bytes.get(), &bytes})
            if (!part->empty())
                refs.push_back(add_value_blob(*part));
        return set(directory, name,
                   ValueRef {std::make_shared<const std::vector<std::string>>(std::move(refs))});
    }
    auto *value = std::get_if<ValueRef>(&found->second);
    if (!value)
        throw Error(EISDIR, "{} is a directory: nothing can be appended to it", name);
    if (bytes.empty())
        return;
    auto refs = *value->blobrefs;
    refs.push_back(add_value_blob(bytes));
    set(directory, name, ValueRef {std::make_shared<const std::vector<std::string>>(std::move(refs))});
}

// Follows the names but the last, through symlinks of this namespace; path becomes the key itself. Null when
// a part is missing and must not be made.
Directory *Batch::parent_of(Path &path, bool create)
{
    int links = 0;
    Directory *at = root_.get();
    for (size_t i = 0; i + 1 < path.size();) {
        Node *found = nullptr;
        Directory *next = descend(*at, path[i], create, &found);
        if (next) {
            at = next;
            i++;
            continue;
        }
        if (!found)
            return nullptr;
        const auto &link = std::get<Symlink>(*found);
        if (!link.namespace_name.empty())
            throw Error(EINVAL, "{} is a symlink to namespace {}: a transaction stays in its own", path[i],
                        link.namespace_name);
        if (++links > max_symlinks)
            throw Error(ELOOP, "{} needs more than {} symlinks to be followed", join(path), max_symlinks);
        Path target = value_or_throw(parse_key(link.target));
        target.insert(target.end(), path.begin() + long(i) + 1, path.end());
        path = std::move(target);
        at = root_.get();
        i = 0;
    }
    return at;
}

// The working copy of a subdirectory; null with *found for a symlink, null without for what is not there.
Directory *Batch::descend(Directory &parent, const std::string &name, bool create, Node **found)
{
    Directory &directory = leaf_of(parent, name);
    auto entry = directory.entries.find(name);
    if (entry != directory.entries.end()) {
        if (auto *inner = std::get_if<std::shared_ptr<Directory>>(&entry->second))
            return inner->get();
        if (auto *reference = std::get_if<DirRef>(&entry->second)) {
            auto copy = working_copy(std::string(reference->blobref));
            // No other content, so no change and nothing to undo.
            entry->second = copy;
            return copy.get();
        }
        if (std::holds_alternative<Symlink>(entry->second)) {
            *found = &entry->second;
            return nullptr;
        }
    }
    if (!create)
        return nullptr;
    auto made = std::make_shared<Directory>();
    made->changed = true;
    set(directory, name, made);
    return made.get();
}

void Batch::set(Directory &parent, const std::string &name, std::optional<Node> node)
{
    Directory &directory = leaf_of(parent, name);
    auto found = directory.entries.find(name);
    bool exists = found != directory.entries.end();
    if (!exists && !node)
        return;
    undo_.push_back({&directory, name, exists ? std::optional(std::move(found->second)) : std::nullopt});
    directory.changed = true;
    if (!node)
        directory.entries.erase(found);
    else if (exists)
        found->second = std::move(*node);
    else
        directory.entries.emplace(name, std::move(*node));
}

Batch::Mark Batch::mark() const
{
    return {undo_.size(), added_values_.size(), result_.mentions.size()};
}

void Batch::roll_back(Mark to)
{
    for (; undo_.size() > to.undo; undo_.pop_back()) {
        auto &last = undo_.back();
        if (last.before)
            last.directory->entries.insert_or_assign(last.name, std::move(*last.before));
        else
            last.directory->entries.erase(last.name);
    }
    for (; added_values_.size() > to.values; added_values_.pop_back())
        values_.erase(added_values_.back());
    result_.mentions.resize(to.mentions);
}

// Long values become blobs, also those inside directories that came with the operation.
Node Batch::shorten(Node node)
{
    if (auto *value = std::get_if<Value>(&node); value && value->bytes->size() > max_inline_value)
        return ValueRef {
            std::make_shared<const std::vector<std::string>>(std::vector {add_value_blob(*value->bytes)})};
    if (auto *directory = std::get_if<std::shared_ptr<Directory>>(&node))
        for (auto &[name, entry] : (*directory)->entries)
            entry = shorten(std::move(entry));
    return node;
}

std::string Batch::add_value_blob(std::string bytes)
{
    auto name = digest(hash_, bytes);
    auto ref = blobref_of(hash_, name);
    if (values_.try_emplace(ref, Blob {ref, std::move(name), std::move(bytes)}).second)
        added_values_.push_back(ref);
    return ref;
}

// Encodes the changed directories, the innermost first.
std::string Batch::encode_tree(const std::shared_ptr<Directory> &directory, unsigned level)
{
    if (directory->entries.size() > max_dir_entries && level <= hdir_max_level)
        split(*directory, level);
    if (directory->is_hdir())
        encode_buckets(*directory, level);
    for (auto &[name, node] : directory->entries) {
        auto *inner = std::get_if<std::shared_ptr<Directory>>(&node);
        if (!inner)
            continue;
        auto origin = (*inner)->origin;
        auto ref = encode_tree(*inner, 0);
        directory->changed = directory->changed || ref != origin;
        node = DirRef {std::move(ref)};
    }
    if (!directory->changed && !directory->origin.empty())
        return directory->origin;
    auto bytes = encode(*directory);
    auto name = digest(hash_, bytes);
    auto ref = blobref_of(hash_, name);
    if (!cache_.is_stored(ref))
        result_.blobs.push_back({ref, std::move(name), std::move(bytes)});
    directory->changed = false;
    if (auto origin = std::exchange(directory->origin, {}); !origin.empty() && origin != ref)
        result_.replaced.push_back(std::move(origin));
    cache_.add(ref, directory, false);
    return ref;
}

void Batch::encode_buckets(Directory &directory, unsigned level)
{
    bool used = false;
    for (auto &bucket : directory.buckets) {
        if (auto *inner = std::get_if<std::shared_ptr<Directory>>(&bucket)) {
            auto origin = (*inner)->origin;
            if (!(*inner)->is_hdir() && (*inner)->entries.empty()) {
                directory.changed = directory.changed || !origin.empty();
                bucket = std::monostate();
            } else {
                auto ref = encode_tree(*inner, level + 1);
                directory.changed = directory.changed || ref != origin;
                bucket = DirRef {std::move(ref)};
            }
        }
        used = used || !std::holds_alternative<std::monostate>(bucket);
    }
    if (!used)
        directory.buckets.clear(); // an empty dir
}

Batch::Result Batch::finish()
{
    undo_.clear();
    result_.rootref = encode_tree(root_, 0);
    for (auto &[ref, blob] : values_)
        result_.blobs.push_back(std::move(blob));
    return std::move(result_);
}

} // namespace flux::kvs
