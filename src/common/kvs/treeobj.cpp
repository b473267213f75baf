#include "common/kvs/treeobj.hpp"

#include "common/base/encoding.hpp"
#include "common/base/hash.hpp"

namespace flux::treeobj {

namespace {

constexpr std::string_view type_names[] = {"val", "valref", "dir", "dirref", "symlink"};

Json make(Type type, Json data)
{
    return Json {{"ver", 1}, {"type", type_name(type)}, {"data", std::move(data)}};
}

Expected<void> validate_blobrefs(const Json &data, Type type)
{
    if (!data.is_array() || data.empty())
        return fail(EPROTO, "{}: expected data to be an array of blobrefs, found {}", type_name(type),
                    data.is_array() ? "an empty one" : data.type_name());
    if (type == Type::dirref && data.size() != 1)
        return fail(EPROTO, "dirref: expected one blobref, found {}", data.size());
    for (auto ref : data.elements()) {
        if (!ref.is_string())
            return fail(EPROTO, "{}: expected a blobref, found {}", type_name(type), ref.type_name());
        if (auto parts = parse_blobref(ref.string_view()); !parts)
            return fail(EPROTO, "{}: {}", type_name(type), parts.error().text());
    }
    return {};
}

Expected<void> validate_symlink(const Json &data)
{
    if (!data.is_object() || !data["target"].is_string())
        return fail(EPROTO, "symlink: expected data to be an object with a target, found {}",
                    data.type_name());
    Json space = data["namespace"];
    if (space && !space.is_string())
        return fail(EPROTO, "symlink: expected namespace to be a string, found {}", space.type_name());
    return {};
}

Expected<void> validate_at(const Json &object, size_t depth)
{
    if (depth > max_depth)
        return fail(EPROTO, "tree object nested deeper than {}", max_depth);
    if (!object.is_object())
        return fail(EPROTO, "tree object: expected an object, found {}", object.type_name());
    Json version = object["ver"];
    if (!version.is_integer() || json_integer_value(version.raw()) != 1)
        return fail(EPROTO, "tree object: expected ver 1, found {}", version ? version.dump() : "none");
    auto kind = type(object);
    if (!kind)
        return std::unexpected(kind.error());
    Json data = object["data"];
    switch (*kind) {
    case Type::val:
        if (auto bytes = decode_val(object); !bytes)
            return std::unexpected(bytes.error());
        return {};
    case Type::valref:
    case Type::dirref:
        return validate_blobrefs(data, *kind);
    case Type::symlink:
        return validate_symlink(data);
    case Type::dir:
        break;
    }
    if (!data.is_object())
        return fail(EPROTO, "dir: expected data to be an object, found {}", data.type_name());
    for (auto [name, entry] : data.members())
        if (auto valid = validate_at(entry, depth + 1); !valid)
            return valid;
    return {};
}

} // namespace

std::string_view type_name(Type type)
{
    return type_names[size_t(type)];
}

Json make_val(std::string_view data)
{
    return make(Type::val, Json(base64_encode(data)));
}
Json make_valref(const std::vector<std::string> &blobrefs)
{
    return make(Type::valref, Json::array_of(blobrefs));
}
Json make_valref(std::string_view blobref)
{
    return make_valref(std::vector {std::string(blobref)});
}
Json make_dir()
{
    return make(Type::dir, Json::object());
}
Json make_dirref(std::string_view blobref)
{
    return make(Type::dirref, Json::array().append(Json(blobref)));
}

Json make_symlink(std::string_view target, std::string_view namespace_name)
{
    Json data {{"target", target}};
    if (!namespace_name.empty())
        data.set("namespace", namespace_name);
    return make(Type::symlink, std::move(data));
}

Expected<void> validate(const Json &object)
{
    return validate_at(object, 0);
}

Expected<Json> parse(std::string_view text)
{
    auto object = Json::parse(text);
    if (!object)
        return object;
    if (auto valid = validate(*object); !valid)
        return std::unexpected(valid.error());
    return object;
}

std::string encode(const Json &object)
{
    return object.dump(JSON_COMPACT | JSON_SORT_KEYS);
}

Expected<Type> type(const Json &object)
{
    Json name = object["type"];
    for (size_t i = 0; i < std::size(type_names); i++)
        if (name.is_string() && name.string_view() == type_names[i])
            return Type(i);
    return fail(EPROTO, "tree object: unknown type {}", name ? name.dump().substr(0, 60) : "(none)");
}

Expected<std::string> decode_val(const Json &object)
{
    Json data = object["data"];
    if (!data.is_string())
        return fail(EPROTO, "val: expected data to be a base64 string, found {}", data.type_name());
    auto bytes = base64_decode(data.string_view());
    if (!bytes)
        return fail(EPROTO, "val: {}", bytes.error().text());
    return bytes;
}

std::vector<std::string> blobrefs(const Json &object)
{
    std::vector<std::string> out;
    for (auto ref : object["data"].elements())
        out.emplace_back(ref.string_view());
    return out;
}

size_t blobref_count(const Json &object)
{
    Json data = object["data"];
    return data.is_array() ? data.size() : 0;
}

void append_blobref(Json &valref, std::string_view blobref)
{
    Json data = valref["data"];
    FLUX_ASSERT(data.is_array());
    data.append(Json(blobref));
}

Json entries(const Json &dir)
{
    return dir["data"];
}
Json entry(const Json &dir, std::string_view name)
{
    return dir["data"][name];
}

void set_entry(Json &dir, std::string_view name, Json object)
{
    Json data = dir["data"];
    FLUX_ASSERT(data.is_object());
    data.set(name, std::move(object));
}

void remove_entry(Json &dir, std::string_view name)
{
    Json data = dir["data"];
    FLUX_ASSERT(data.is_object());
    data.erase(name);
}

Expected<Symlink> decode_symlink(const Json &object)
{
    Json data = object["data"];
    if (auto valid = validate_symlink(data); !valid)
        return std::unexpected(valid.error());
    return Symlink {std::string(data["target"].string_view()), std::string(data["namespace"].string_view())};
}

} // namespace flux::treeobj
