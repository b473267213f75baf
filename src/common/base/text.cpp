#include "common/base/text.hpp"

#include <algorithm>

namespace flux {

std::vector<std::string_view> split(std::string_view text, char separator)
{
    std::vector<std::string_view> out;
    while (!text.empty()) {
        out.push_back(text.substr(0, text.find(separator)));
        text.remove_prefix(std::min(text.size(), out.back().size() + 1));
    }
    return out;
}

std::vector<std::string_view> split_words(std::string_view text, std::string_view separators)
{
    std::vector<std::string_view> out;
    for (size_t at = 0; (at = text.find_first_not_of(separators, at)) != text.npos;) {
        out.push_back(text.substr(at, text.find_first_of(separators, at) - at));
        at += out.back().size();
    }
    return out;
}

std::string_view trimmed(std::string_view text)
{
    size_t first = text.find_first_not_of(blanks);
    if (first == text.npos)
        return {};
    return text.substr(first, text.find_last_not_of(blanks) + 1 - first);
}

} // namespace flux
