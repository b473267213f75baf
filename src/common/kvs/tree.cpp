#include "common/kvs/tree.hpp"

#include <cmath>

#include "common/base/encoding.hpp"

namespace flux::kvs {

namespace {

template <class... F>
struct Overloaded : F... {
    using F::operator()...;
};

// JSON text of a string, as jansson writes it. Most names need no escapes.
void put_string(std::string &out, std::string_view text)
{
    bool plain = true;
    for (unsigned char c : text)
        plain = plain && c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
    if (!plain) {
        out += Json(text).dump();
        return;
    }
    out += '"';
    out += text;
    out += '"';
}

void put_refs(std::string &out, const std::vector<std::string> &refs)
{
    out += "{\"data\":[";
    for (size_t i = 0; i < refs.size(); i++) {
        out += i ? ",\"" : "\"";
        out += refs[i];
        out += '"';
    }
    out += ']';
}

void put_dirref(std::string &out, const DirRef &dir)
{
    out += "{\"data\":[\"";
    out += dir.blobref;
    out += "\"],\"type\":\"dirref\",\"ver\":1}";
}

void put_node(std::string &out, const Node &node)
{
    std::visit(Overloaded {
                   [&](const Value &value) {
                       out += "{\"data\":\"";
                       base64_encode_to(out, *value.bytes);
                       out += "\",\"type\":\"val\",\"ver\":1}";
                   },
                   [&](const ValueRef &value) {
                       put_refs(out, *value.blobrefs);
                       out += ",\"type\":\"valref\",\"ver\":1}";
                   },
                   [&](const DirRef &dir) { put_dirref(out, dir); },
                   [&](const std::shared_ptr<Directory> &dir) { out += encode(*dir); },
                   [&](const Symlink &link) {
                       out += "{\"data\":{";
                       if (!link.namespace_name.empty()) {
                           out += "\"namespace\":";
                           put_string(out, link.namespace_name);
                           out += ',';
                       }
                       out += "\"target\":";
                       put_string(out, link.target);
                       out += "},\"type\":\"symlink\",\"ver\":1}";
                   },
               },
               node);
}

// Of an object that was validated.
Node decode_valid(const Json &object)
{
    switch (value_or_throw(treeobj::type(object))) {
    case treeobj::Type::val:
        return Value {std::make_shared<const std::string>(value_or_throw(treeobj::decode_val(object)))};
    case treeobj::Type::valref:
        return ValueRef {std::make_shared<const std::vector<std::string>>(treeobj::blobrefs(object))};
    case treeobj::Type::dirref:
        return DirRef {treeobj::blobrefs(object).at(0)};
    case treeobj::Type::symlink:
        return value_or_throw(treeobj::decode_symlink(object));
    case treeobj::Type::dir:
        break;
    }
    auto directory = std::make_shared<Directory>();
    directory->changed = true;
    for (auto [name, entry] : treeobj::entries(object).members()) {
        if (name.empty() || name.find('.') != name.npos)
            throw Error(EPROTO, "dir: \"{}\" is no name of an entry: it is empty or has a period", name);
        directory->entries.emplace(name, decode_valid(entry));
    }
    return directory;
}

Bucket decode_bucket(const Json &object)
{
    if (object.is_null())
        return std::monostate();
    if (auto valid = treeobj::validate(object); !valid)
        throw valid.error();
    if (!treeobj::is_dirref(object))
        throw Error(EPROTO, "hdir: a bucket is a dirref, found {}", object.dump().substr(0, 60));
    return DirRef {treeobj::blobrefs(object).at(0)};
}

std::shared_ptr<Directory> decode_hdir(const Json &object)
{
    Json data = object["data"];
    auto function = data.get<std::string>("func");
    auto buckets = data.get<Json>("bucket");
    if (function != hdir_function || buckets.size() != hdir_size)
        throw Error(EPROTO, "hdir: {} buckets by {}, only {} by {} are known", buckets.size(), function,
                    hdir_size, hdir_function);
    auto directory = std::make_shared<Directory>();
    for (auto bucket : buckets.elements())
        directory->buckets.push_back(decode_bucket(bucket));
    return directory;
}

void put_bucket(std::string &out, const Bucket &bucket)
{
    if (auto *reference = std::get_if<DirRef>(&bucket)) {
        put_dirref(out, *reference);
    } else {
        FLUX_ASSERT(std::holds_alternative<std::monostate>(bucket));
        out += "null";
    }
}

size_t bucket_footprint(const Bucket &bucket)
{
    if (auto *reference = std::get_if<DirRef>(&bucket))
        return sizeof(Bucket) + reference->blobref.size();
    return sizeof(Bucket);
}

size_t node_footprint(const Node &node)
{
    constexpr size_t pointer_overhead = 48; // the control block and the allocation's own
    return std::visit(
        Overloaded {
            [](const Value &value) { return value.bytes->size() + pointer_overhead; },
            [](const ValueRef &value) { return value.blobrefs->size() * 80 + pointer_overhead; },
            [](const DirRef &dir) { return dir.blobref.size(); },
            [](const std::shared_ptr<Directory> &dir) { return dir->footprint(); },
            [](const Symlink &link) { return link.target.size() + link.namespace_name.size(); },
        },
        node);
}

} // namespace

size_t Directory::footprint() const
{
    size_t sum = sizeof(Directory);
    for (const auto &[name, node] : entries)
        sum += 96 + name.size() + sizeof(Node) + node_footprint(node);
    for (const auto &bucket : buckets)
        sum += bucket_footprint(bucket);
    return sum;
}

const Bucket &Directory::bucket_of(std::string_view name, unsigned level) const
{
    if (level > hdir_max_level)
        throw Error(EPROTO, "hdir: more than {} levels of buckets", hdir_max_level + 1);
    return buckets[hdir_slot(name, level)];
}

size_t hdir_slot(std::string_view name, unsigned level)
{
    uint64_t hash = 0xcbf29ce484222325;
    for (unsigned char c : name)
        hash = (hash ^ c) * 0x100000001b3;
    return (hash >> (hdir_bits * level)) & (hdir_size - 1);
}

void split(Directory &directory, unsigned level)
{
    directory.buckets.resize(hdir_size);
    for (auto entries = std::move(directory.entries); !entries.empty();) {
        auto entry = entries.extract(entries.begin());
        auto &bucket = directory.buckets[hdir_slot(entry.key(), level)];
        if (std::holds_alternative<std::monostate>(bucket)) {
            bucket = std::make_shared<Directory>();
            std::get<std::shared_ptr<Directory>>(bucket)->changed = true;
        }
        std::get<std::shared_ptr<Directory>>(bucket)->entries.insert(std::move(entry));
    }
    directory.entries.clear();
    directory.changed = true;
}

Node decode(const Json &object)
{
    // Most are small values: decoded as they are validated.
    if (treeobj::is_val(object) && object["ver"] == Json(1))
        return Value {std::make_shared<const std::string>(value_or_throw(treeobj::decode_val(object)))};
    if (auto valid = treeobj::validate(object); !valid)
        throw valid.error();
    return decode_valid(object);
}

std::shared_ptr<Directory> decode_directory(std::string_view blob)
{
    Json object = value_or_throw(Json::parse(blob));
    if (object["type"].string_view() == "hdir")
        return decode_hdir(object);
    Node node = decode(object);
    auto *directory = std::get_if<std::shared_ptr<Directory>>(&node);
    if (!directory)
        throw Error(EPROTO, "a dirref names a blob that holds no directory");
    (*directory)->changed = false;
    return std::move(*directory);
}

Json to_json(const Node &node)
{
    return std::visit(
        Overloaded {
            [](const Value &value) { return treeobj::make_val(*value.bytes); },
            [](const ValueRef &value) { return treeobj::make_valref(*value.blobrefs); },
            [](const DirRef &dir) { return treeobj::make_dirref(dir.blobref); },
            [](const std::shared_ptr<Directory> &dir) { return to_json(*dir); },
            [](const Symlink &link) { return treeobj::make_symlink(link.target, link.namespace_name); },
        },
        node);
}

Json to_json(const Directory &directory)
{
    Json out = treeobj::make_dir();
    for (const auto &[name, node] : directory.entries)
        treeobj::set_entry(out, name, to_json(node));
    return out;
}

std::string encode(const Directory &directory)
{
    std::string out = "{\"data\":{";
    bool first = true;
    if (directory.is_hdir()) {
        out += "\"bucket\":[";
        for (const auto &bucket : directory.buckets) {
            if (!std::exchange(first, false))
                out += ',';
            put_bucket(out, bucket);
        }
        out += fmt::format("],\"func\":\"{}\",\"size\":{}}},\"type\":\"hdir\",\"ver\":1}}", hdir_function,
                           hdir_size);
        return out;
    }
    for (const auto &[name, node] : directory.entries) {
        if (!std::exchange(first, false))
            out += ',';
        put_string(out, name);
        out += ':';
        put_node(out, node);
    }
    out += "},\"type\":\"dir\",\"ver\":1}";
    return out;
}

std::shared_ptr<Directory> clone(const Directory &directory)
{
    auto copy = std::make_shared<Directory>(directory);
    for (auto &[name, node] : copy->entries)
        if (auto *inner = std::get_if<std::shared_ptr<Directory>>(&node))
            *inner = clone(**inner);
    for (auto &bucket : copy->buckets)
        FLUX_ASSERT(!std::holds_alternative<std::shared_ptr<Directory>>(bucket));
    return copy;
}

DirectoryCache::Pointer DirectoryCache::find(const std::string &blobref)
{
    auto found = index_.find(blobref);
    if (found == index_.end())
        return nullptr;
    items_.splice(items_.begin(), items_, found->second);
    return found->second->directory;
}

DirectoryCache::Pointer DirectoryCache::get(const std::string &blobref)
{
    if (auto directory = find(blobref))
        return directory;
    throw NeedBlob {blobref, true};
}

void DirectoryCache::add(const std::string &blobref, Pointer directory, bool stored)
{
    if (auto found = index_.find(blobref); found != index_.end()) {
        found->second->stored |= stored;
        return;
    }
    size_t bytes = directory->footprint() + 2 * blobref.size();
    items_.push_front({blobref, std::move(directory), bytes, stored});
    index_.emplace(blobref, items_.begin());
    bytes_ += bytes;
}

bool DirectoryCache::is_stored(const std::string &blobref) const
{
    auto found = index_.find(blobref);
    return found != index_.end() && found->second->stored;
}

void DirectoryCache::mark_stored(const std::string &blobref)
{
    if (auto found = index_.find(blobref); found != index_.end())
        found->second->stored = true;
}

void DirectoryCache::remove(const std::string &blobref)
{
    auto found = index_.find(blobref);
    if (found == index_.end())
        return;
    bytes_ -= found->second->bytes;
    items_.erase(found->second);
    index_.erase(found);
}

DirectoryCache::Sizes DirectoryCache::size_statistics() const
{
    Sizes sizes;
    double sum = 0, squares = 0;
    for (const auto &item : items_) {
        double bytes = double(item.bytes);
        sizes.min = sizes.count++ ? std::min(sizes.min, bytes) : bytes;
        sizes.max = std::max(sizes.max, bytes);
        sum += bytes;
        squares += bytes * bytes;
    }
    if (sizes.count) {
        sizes.mean = sum / double(sizes.count);
        sizes.deviation = std::sqrt(std::max(0.0, squares / double(sizes.count) - sizes.mean * sizes.mean));
    }
    return sizes;
}

void DirectoryCache::trim()
{
    while (bytes_ > byte_limit_ && !items_.empty()) {
        bytes_ -= items_.back().bytes;
        index_.erase(items_.back().blobref);
        items_.pop_back();
    }
}

void DirectoryCache::clear()
{
    index_.clear();
    items_.clear();
    bytes_ = 0;
}

} // namespace flux::kvs
