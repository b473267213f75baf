// Json: a value of jansson with an owner. Copies share the value, so a Json that came from elsewhere (a message, a
// configuration) is read-only by convention: call copy() before you change it.
//
//     Json job {{"id", 42}, {"name", "a"}, {"tags", Json::array()}};
//     auto id = job.get<int64_t>("id");           // throws Error(EPROTO) that names the key and what was expected
//     auto name = job.find<std::string>("name");  // nullopt when absent; wrong type throws
//
// A default-constructed Json is absent (tests false), which differs from JSON null.
#pragma once
#include <jansson.h>

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/error.hpp"

namespace flux {

class Json {
public:
    struct Member;

    Json() noexcept = default;
    Json(std::nullptr_t) : value_(json_null()) {}
    template <std::same_as<bool> B>
    Json(B value) : value_(json_boolean(value)) {}
    template <std::integral I>
        requires(!std::same_as<I, bool> && !std::same_as<I, char>)
    Json(I value) : value_(json_integer(json_int_t(value))) {}
    Json(double value);
    Json(std::string_view text);
    Json(const std::string &text) : Json(std::string_view(text)) {}
    Json(const char *text) : Json(std::string_view(text)) {}
    Json(std::initializer_list<Member> members); // an object; members whose value is absent are left out

    Json(const Json &other) noexcept : value_(retain(other.value_)) {}
    Json(Json &&other) noexcept : value_(std::exchange(other.value_, nullptr)) {}
    Json &operator=(Json other) noexcept
    {
        std::swap(value_, other.value_);
        return *this;
    }
    ~Json() { release(value_); }

    // The same without an initializer list, which gcc 12 cannot compile inside a statement that has a co_await:
    // co_await rpc("kvs.lookup", Json::make("key", key, "flags", 1))
    template <class... Rest>
    static Json make(Rest &&...rest)
    {
        static_assert(sizeof...(rest) % 2 == 0, "pairs of key and value");
        Json out = object();
        out.set_pairs(std::forward<Rest>(rest)...);
        return out;
    }

    static Json object() { return steal(json_object()); }
    static Json array() { return steal(json_array()); }
    template <class Range>
    static Json array_of(const Range &range)
    {
        Json out = array();
        for (const auto &item : range)
            out.append(Json(item));
        return out;
    }
    static Json steal(json_t *value) noexcept // takes over a new reference
    {
        Json out;
        out.value_ = value;
        return out;
    }
    static Json borrow(json_t *value) noexcept { return steal(retain(value)); }

    // Nesting deeper than jansson's JSON_PARSER_MAX_DEPTH (2048), duplicate keys and trailing bytes are refused (EPROTO).
    static Expected<Json> parse(std::string_view text);
    static Json parse_or_throw(std::string_view text) { return value_or_throw(parse(text)); }

    // Compact by default, as on the wire: no blanks, members in insertion order.
    std::string dump(size_t flags = JSON_COMPACT | JSON_ENCODE_ANY) const;
    std::string dump_indented(int spaces = 2) const;

    explicit operator bool() const noexcept { return value_ != nullptr; }
    json_t *raw() const noexcept { return value_; }

    bool is_object() const noexcept { return json_is_object(value_); }
    bool is_array() const noexcept { return json_is_array(value_); }
    bool is_string() const noexcept { return json_is_string(value_); }
    bool is_integer() const noexcept { return json_is_integer(value_); }
    bool is_real() const noexcept { return json_is_real(value_); }
    bool is_number() const noexcept { return json_is_number(value_); }
    bool is_boolean() const noexcept { return json_is_boolean(value_); }
    bool is_null() const noexcept { return json_is_null(value_); }
    const char *type_name() const noexcept; // "object", "array", "string", "integer", "real", "boolean", "null", "absent"

    // Number of members of an object or elements of an array, else 0.
    size_t size() const noexcept;
    bool empty() const noexcept { return size() == 0; }

    // The member or element, or absent.
    Json operator[](std::string_view key) const noexcept;
    Json operator[](const char *key) const noexcept { return (*this)[std::string_view(key)]; }
    Json operator[](size_t index) const noexcept { return borrow(json_array_get(value_, index)); }
    bool contains(std::string_view key) const noexcept { return bool((*this)[key]); }
    // Follows a path of keys, absent as soon as one is.
    template <class... Keys>
    Json at(std::string_view key, Keys... keys) const noexcept
    {
        if constexpr (sizeof...(keys) == 0)
            return (*this)[key];
        else
            return (*this)[key].at(keys...);
    }

    // This value as T: bool, an integer type (range checked), double (integers convert), std::string, Json,
    // std::vector<T>. Throws Error(EPROTO) naming what was found.
    template <class T>
    T as() const;
    // The member as T; throws Error(EPROTO) that names the key when it is missing or of another type.
    template <class T>
    T get(std::string_view key) const;
    template <class T>
    std::optional<T> find(std::string_view key) const;
    template <class T>
    T value(std::string_view key, T fallback) const
    {
        auto found = find<T>(key);
        return found ? std::move(*found) : std::move(fallback);
    }
    // The string's bytes, valid while this Json lives; empty when it is not a string.
    std::string_view string_view() const noexcept;

    // Changes (of a value that you made): a missing object or array comes into being.
    Json &set(std::string_view key, Json value);
    Json &append(Json value);
    void erase(std::string_view key);
    // Sets a value under a path of period-delimited keys, making the objects on the way (jobspec updates, RFC 21).
    void set_path(std::string_view dotted, Json value);
    Json copy() const { return steal(json_deep_copy(value_)); }
    Json shallow_copy() const { return steal(json_copy(value_)); }

    friend bool operator==(const Json &a, const Json &b) noexcept
    {
        return a.value_ == b.value_ || (a.value_ && b.value_ && json_equal(a.value_, b.value_));
    }

    // for (auto [key, value] : json.members()) / for (auto value : json.elements())
    class Members;
    class Elements;
    Members members() const;
    Elements elements() const;

private:
    // json_incref and json_decref for values that threads share: they look at the count without an atomic read, and
    // free without acquiring what the others did before they let go. null, true and false are not counted.
    static constexpr size_t not_counted = size_t(-1);
    static json_t *retain(json_t *value) noexcept
    {
        if (value && __atomic_load_n(&value->refcount, __ATOMIC_RELAXED) != not_counted)
            __atomic_add_fetch(&value->refcount, 1, __ATOMIC_RELAXED);
        return value;
    }
    static void release(json_t *value) noexcept
    {
        if (value && __atomic_load_n(&value->refcount, __ATOMIC_RELAXED) != not_counted &&
            __atomic_sub_fetch(&value->refcount, 1, __ATOMIC_ACQ_REL) == 0)
            json_delete(value);
    }
    void set_pairs() noexcept {}
    template <class Value, class... Rest>
    void set_pairs(std::string_view key, Value &&value, Rest &&...rest)
    {
        if (Json member(std::forward<Value>(value)); member)
            set(key, std::move(member));
        set_pairs(std::forward<Rest>(rest)...);
    }
    json_t *value_ = nullptr;
};

struct Json::Member {
    std::string_view key;
    Json value;
    Member(std::string_view key, Json value) : key(key), value(std::move(value)) {}
};

class Json::Members {
public:
    explicit Members(Json json) : json_(std::move(json)) {}
    struct Iterator {
        json_t *object;
        void *at;
        std::pair<std::string_view, Json> operator*() const
        {
            return {std::string_view(json_object_iter_key(at), json_object_iter_key_len(at)),
                    Json::borrow(json_object_iter_value(at))};
        }
        Iterator &operator++()
        {
            at = json_object_iter_next(object, at);
            return *this;
        }
        bool operator!=(const Iterator &other) const { return at != other.at; }
    };
    Iterator begin() const { return {json_.raw(), json_object_iter(json_.raw())}; }
    Iterator end() const { return {json_.raw(), nullptr}; }

private:
    Json json_;
};

class Json::Elements {
public:
    explicit Elements(Json json) : json_(std::move(json)) {}
    struct Iterator {
        json_t *array;
        size_t index;
        Json operator*() const { return Json::borrow(json_array_get(array, index)); }
        Iterator &operator++()
        {
            index++;
            return *this;
        }
        bool operator!=(const Iterator &other) const { return index != other.index; }
    };
    Iterator begin() const { return {json_.raw(), 0}; }
    Iterator end() const { return {json_.raw(), json_array_size(json_.raw())}; }

private:
    Json json_;
};

inline Json::Members Json::members() const { return Members(*this); }
inline Json::Elements Json::elements() const { return Elements(*this); }

namespace json_detail {

[[noreturn]] void wrong_type(const Json &found, const char *expected);
[[noreturn]] void out_of_range(const Json &found);
[[noreturn]] void at_key(std::string_view key, const Error &error);
[[noreturn]] void missing_key(std::string_view key);

template <class T>
struct Convert;

template <>
struct Convert<Json> {
    static Json from(const Json &json) { return json; }
};
template <>
struct Convert<bool> {
    static bool from(const Json &json)
    {
        if (!json.is_boolean())
            wrong_type(json, "boolean");
        return json_is_true(json.raw());
    }
};
template <std::integral T>
struct Convert<T> {
    static T from(const Json &json)
    {
        if (!json.is_integer())
            wrong_type(json, "integer");
        json_int_t value = json_integer_value(json.raw());
        if (!std::in_range<T>(value))
            out_of_range(json);
        return T(value);
    }
};
template <>
struct Convert<double> {
    static double from(const Json &json)
    {
        if (!json.is_number())
            wrong_type(json, "number");
        return json_number_value(json.raw());
    }
};
template <>
struct Convert<std::string> {
    static std::string from(const Json &json)
    {
        if (!json.is_string())
            wrong_type(json, "string");
        return std::string(json.string_view());
    }
};
template <class T>
struct Convert<std::vector<T>> {
    static std::vector<T> from(const Json &json)
    {
        if (!json.is_array())
            wrong_type(json, "array");
        std::vector<T> out;
        out.reserve(json.size());
        for (auto item : json.elements())
            out.push_back(Convert<T>::from(item));
        return out;
    }
};

} // namespace json_detail

template <class T>
T Json::as() const
{
    return json_detail::Convert<T>::from(*this);
}

template <class T>
std::optional<T> Json::find(std::string_view key) const
{
    Json found = (*this)[key];
    if (!found)
        return std::nullopt;
    try {
        return found.as<T>();
    } catch (const Error &error) {
        json_detail::at_key(key, error);
    }
}

template <class T>
T Json::get(std::string_view key) const
{
    auto found = find<T>(key);
    if (!found)
        json_detail::missing_key(key);
    return std::move(*found);
}

} // namespace flux
