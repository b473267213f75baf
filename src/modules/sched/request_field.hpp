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

// A field that names one of a few things; parse returns an optional, choices lists them.
template <class Parse>
auto request_choice(const Json &request, std::string_view key, Parse parse, std::string_view choices)
{
    auto text = request_field<std::string>(request, key);
    auto choice = parse(text);
    if (!choice)
        throw Error(EINVAL, "key \"{}\": \"{}\" is not one of {}", key, text.substr(0, 60), choices);
    return *choice;
}

} // namespace flux
