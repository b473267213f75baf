// Tree objects (RFC 11): the JSON values that a KVS namespace is made of. Light functions on Json: making,
// checking, looking. Only read-only use of a Json that came from elsewhere (json.hpp says why).
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "common/base/error.hpp"
#include "common/json/json.hpp"

namespace flux::treeobj {

constexpr size_t max_depth = 256; // of dir in dir

enum class Type { val, valref, dir, dirref, symlink };
std::string_view type_name(Type type);

Json make_val(std::string_view data);
Json make_valref(const std::vector<std::string> &blobrefs);
Json make_valref(std::string_view blobref);
Json make_dir();
Json make_dirref(std::string_view blobref);
Json make_symlink(std::string_view target, std::string_view namespace_name = {});

// All of it, recursively: EPROTO with a sentence. The other functions assume a valid object and never crash
// on another.
Expected<void> validate(const Json &object);
// The object a blob's text holds, validated.
Expected<Json> parse(std::string_view text);
// A directory's content blob: compact with sorted names, so that equal objects have one blobref wherever they
// were made.
std::string encode(const Json &object);

// Of an object's own "type"; EPROTO when it has none that is known.
Expected<Type> type(const Json &object);
inline bool is(const Json &object, Type wanted)
{
    return object["type"].string_view() == type_name(wanted);
}
inline bool is_val(const Json &object)
{
    return is(object, Type::val);
}
inline bool is_valref(const Json &object)
{
    return is(object, Type::valref);
}
inline bool is_dir(const Json &object)
{
    return is(object, Type::dir);
}
inline bool is_dirref(const Json &object)
{
    return is(object, Type::dirref);
}
inline bool is_symlink(const Json &object)
{
    return is(object, Type::symlink);
}

Expected<std::string> decode_val(const Json &object);  // a val's bytes; EPROTO on bad base64
std::vector<std::string> blobrefs(const Json &object); // of a valref or dirref
size_t blobref_count(const Json &object);
void append_blobref(Json &valref, std::string_view blobref);

// Of a dir: its entries by name, the entry (absent when it is not there), and changes of a dir that you made.
Json entries(const Json &dir);
Json entry(const Json &dir, std::string_view name);
void set_entry(Json &dir, std::string_view name, Json object);
void remove_entry(Json &dir, std::string_view name);

struct Symlink {
    std::string target;
    std::string namespace_name; // empty: the same namespace
};
Expected<Symlink> decode_symlink(const Json &object);

} // namespace flux::treeobj
