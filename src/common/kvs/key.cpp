#include "common/kvs/key.hpp"

namespace flux::kvs {

Expected<Path> parse_key(std::string_view key)
{
    if (key.empty())
        return fail(EINVAL, "an empty key names nothing: use \".\" for the root directory");
    if (key.size() > max_key_length)
        return fail(EINVAL, "a key of {} bytes is too long: at most {} are allowed", key.size(),
                    max_key_length);
    constexpr size_t usual_depth = 8;
    Path path;
    path.reserve(usual_depth);
    while (!key.empty()) {
        size_t end = std::min(key.find('.'), key.size());
        if (end > 0)
            path.emplace_back(key.substr(0, end));
        key.remove_prefix(std::min(end + 1, key.size()));
    }
    if (path.size() > max_key_parts)
        return fail(EINVAL, "a key of {} names is too deep: at most {} are allowed", path.size(),
                    max_key_parts);
    return path;
}

std::string join(const Path &path)
{
    if (path.empty())
        return ".";
    std::string out;
    for (const auto &name : path) {
        if (!out.empty())
            out += '.';
        out += name;
    }
    return out;
}

} // namespace flux::kvs
