#include "common/json/json.hpp"

#include <cmath>
#include <cstdlib>

namespace flux {

Json::Json(double value) : value_(std::isfinite(value) ? json_real(value) : json_null()) {}

Json::Json(std::string_view text) : value_(json_stringn(text.data(), text.size()))
{
    if (!value_)
        throw Error(EINVAL, "a string of {} bytes is not valid UTF-8 and cannot be JSON", text.size());
}

Json::Json(std::initializer_list<Member> members) : value_(json_object())
{
    for (const auto &member : members)
        if (member.value)
            json_object_setn_new_nocheck(value_, member.key.data(), member.key.size(),
                                         retain(member.value.raw()));
}

Expected<Json> Json::parse(std::string_view text)
{
    json_error_t error;
    json_t *value = json_loadb(text.data(), text.size(), JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!value)
        return fail(EPROTO, "invalid JSON at line {} column {}: {}", error.line, error.column, error.text);
    return steal(value);
}

std::string Json::dump(size_t flags) const
{
    if (!value_)
        return {};
    auto append_to = [](const char *bytes, size_t size, void *out) {
        static_cast<std::string *>(out)->append(bytes, size);
        return 0;
    };
    std::string out;
    json_dump_callback(value_, append_to, &out, flags);
    return out;
}

std::string Json::dump_indented(int spaces) const
{
    return dump(JSON_INDENT(size_t(spaces)) | JSON_ENCODE_ANY);
}

const char *Json::type_name() const noexcept
{
    if (!value_)
        return "absent";
    switch (json_typeof(value_)) {
    case JSON_OBJECT:
        return "object";
    case JSON_ARRAY:
        return "array";
    case JSON_STRING:
        return "string";
    case JSON_INTEGER:
        return "integer";
    case JSON_REAL:
        return "real";
    case JSON_TRUE:
    case JSON_FALSE:
        return "boolean";
    case JSON_NULL:
        return "null";
    }
    return "unknown";
}

size_t Json::size() const noexcept
{
    return is_array() ? json_array_size(value_) : json_object_size(value_);
}

Json Json::operator[](std::string_view key) const noexcept
{
    return borrow(json_object_getn(value_, key.data(), key.size()));
}

std::string_view Json::string_view() const noexcept
{
    return is_string() ? std::string_view(json_string_value(value_), json_string_length(value_))
                       : std::string_view();
}

Json &Json::set(std::string_view key, Json value)
{
    if (!value_)
        value_ = json_object();
    FLUX_ASSERT(is_object());
    if (json_object_setn_new(value_, key.data(), key.size(), retain(value.raw())) < 0)
        throw Error(EINVAL, "an object key of {} bytes is not valid UTF-8", key.size());
    return *this;
}

Json &Json::append(Json value)
{
    if (!value_)
        value_ = json_array();
    FLUX_ASSERT(is_array());
    json_array_append_new(value_, retain(value.raw()));
    return *this;
}

void Json::erase(std::string_view key)
{
    json_object_deln(value_, key.data(), key.size());
}

void Json::set_path(std::string_view dotted, Json value)
{
    auto dot = dotted.find('.');
    if (dot == dotted.npos) {
        set(dotted, std::move(value));
        return;
    }
    auto head = dotted.substr(0, dot);
    Json child = (*this)[head];
    if (!child.is_object()) {
        child = object();
        set(head, child);
    }
    child.set_path(dotted.substr(dot + 1), std::move(value));
}

namespace json_detail {

void wrong_type(const Json &found, const char *expected)
{
    throw Error(EPROTO, "expected {} {}, found {}",
                std::string_view("aeiou").contains(*expected) ? "an" : "a", expected,
                found.is_object() || found.is_array() || !found ? std::string(found.type_name())
                                                                : found.dump());
}

void out_of_range(const Json &found)
{
    throw Error(EPROTO, "the number {} is out of range", found.dump());
}

void at_key(std::string_view key, const Error &error)
{
    throw Error(error.errnum(), "key \"{}\": {}", key, error.text());
}

void missing_key(std::string_view key)
{
    throw Error(EPROTO, "required key \"{}\" is missing", key);
}

} // namespace json_detail

} // namespace flux
