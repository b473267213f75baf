// Fields of a request whose sender may have got everything wrong: EINVAL names the field.
#pragma once
#include "common/json/json.hpp"

namespace flux {

template <class T>
T request_field(const Json &request, std::string_view key)
try {
    if (!request.is_object())
        throw Error(EINVAL, "the request has no key \"{}\": it is no object", key);
    return request.get<T>(key);
} catch (const Error &error) {
    throw Error(EINVAL, "{}", error.text());
}

// A field that is JSON as text.
inline Json request_json(const Json &request, std::string_view key)
{
    auto parsed = Json::parse(request_field<std::string>(request, key));
    if (!parsed)
        throw Error(EINVAL, "key \"{}\": {}", key, parsed.error().text());
    return std::move(*parsed);
}

} // namespace flux
