#include "common/job/sign.hpp"

#include <charconv>
#include <map>

#include "common/base/encoding.hpp"
#include "common/base/quote.hpp"

namespace flux {

namespace {

using Header = std::map<std::string_view, std::string_view>; // value with its type letter in front

// "key\0Tvalue\0" again and again.
Expected<Header> parse_header(std::string_view bytes)
{
    Header out;
    while (!bytes.empty()) {
        std::string_view parts[2];
        for (auto &part : parts) {
            size_t end = bytes.find('\0');
            if (end == std::string_view::npos)
                return fail(EINVAL, "signed jobspec: the header ends in the middle of an entry");
            part = bytes.substr(0, end);
            bytes.remove_prefix(end + 1);
        }
        if (parts[0].empty() || parts[1].empty())
            return fail(EINVAL, "signed jobspec: the header has an empty entry");
        if (!out.emplace(parts[0], parts[1]).second)
            return fail(EINVAL, "signed jobspec: the header says {} twice", quoted(parts[0], 40));
    }
    return out;
}

Expected<int64_t> header_integer(const Header &header, std::string_view key)
{
    auto found = header.find(key);
    int64_t value = 0;
    if (found == header.end() || found->second[0] != 'i')
        return fail(EINVAL, "signed jobspec: the header has no integer {}", key);
    std::string_view digits = found->second.substr(1);
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size())
        return fail(EINVAL, "signed jobspec: the header's {} is not a number", key);
    return value;
}

} // namespace

std::string sign_none(uint32_t userid, std::string_view jobspec_text)
{
    using namespace std::string_literals;
    std::string header = "version\0i1\0userid\0i"s + std::to_string(userid) + "\0mechanism\0snone\0"s;
    return base64_encode(header) + "." + base64_encode(jobspec_text) + ".none";
}

Expected<SignedJobspec> unwrap(std::string_view text)
{
    if (text.size() > max_signed_jobspec)
        return fail(EINVAL, "signed jobspec: {} bytes are over the limit of {}", text.size(),
                    max_signed_jobspec);
    size_t first = text.find('.');
    size_t second = first == std::string_view::npos ? first : text.find('.', first + 1);
    if (second == std::string_view::npos)
        return fail(EINVAL, "signed jobspec: expected HEADER.PAYLOAD.SIGNATURE");
    auto header_bytes = base64_decode(text.substr(0, first));
    if (!header_bytes)
        return fail(EINVAL, "signed jobspec: header: {}", header_bytes.error().text());
    auto header = parse_header(*header_bytes);
    if (!header)
        return std::unexpected(header.error());
    auto version = header_integer(*header, "version");
    if (!version)
        return std::unexpected(version.error());
    if (*version != 1)
        return fail(EINVAL, "signed jobspec: version {} is unknown, expected 1", *version);
    auto userid = header_integer(*header, "userid");
    if (!userid)
        return std::unexpected(userid.error());
    if (*userid < 0 || *userid >= UINT32_MAX)
        return fail(EINVAL, "signed jobspec: {} is not a user id", *userid);
    auto mechanism = header->find("mechanism");
    if (mechanism == header->end() || mechanism->second[0] != 's')
        return fail(EINVAL, "signed jobspec: the header has no mechanism");
    auto payload = base64_decode(text.substr(first + 1, second - first - 1));
    if (!payload)
        return fail(EINVAL, "signed jobspec: payload: {}", payload.error().text());
    std::string_view signature = text.substr(second + 1);
    if (mechanism->second == "snone" && signature != "none")
        return fail(EINVAL, "signed jobspec: mechanism none has the signature \"none\", not another");
    return SignedJobspec {uint32_t(*userid), std::string(mechanism->second.substr(1)), std::move(*payload)};
}

} // namespace flux
