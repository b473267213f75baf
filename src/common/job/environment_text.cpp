#include "common/job/environment_text.hpp"

#include <algorithm>
#include <optional>

#include "common/job/shell_channel.hpp"

namespace flux {

namespace {

// Walks over JSON text without making anything of it. Every function returns false on what it does not
// understand; then the text is parsed in the ordinary way.
class Scanner {
public:
    explicit Scanner(std::string_view text) : text_(text) {}
    size_t at() const { return at_; }

    bool take(char c)
    {
        skip_space();
        if (at_ >= text_.size() || text_[at_] != c)
            return false;
        at_++;
        return true;
    }
    bool string(std::string_view *contents = nullptr)
    {
        if (!take('"'))
            return false;
        size_t begin = at_;
        for (; at_ < text_.size() && text_[at_] != '"'; at_++) {
            if (static_cast<unsigned char>(text_[at_]) < ' ')
                return false;
            if (text_[at_] == '\\' && !escape())
                return false;
        }
        if (at_ >= text_.size())
            return false;
        auto inside = text_.substr(begin, at_ - begin);
        at_++;
        if (contents)
            *contents = inside;
        return shell_channel::is_text(inside);
    }
    // Any value, with its inner structure only counted: the parser judges it.
    bool value()
    {
        skip_space();
        size_t depth = 0;
        while (at_ < text_.size()) {
            char c = text_[at_];
            if (c == '"') {
                if (!string())
                    return false;
            } else if (c == '{' || c == '[') {
                depth++;
                at_++;
            } else if (c == '}' || c == ']') {
                if (depth == 0)
                    return true;
                depth--;
                at_++;
            } else if (c == ',' && depth == 0)
                return true;
            else
                at_++;
            if (depth == 0 && (c == '"' || c == '}' || c == ']'))
                return true;
        }
        return false;
    }
    bool object_of_strings()
    {
        if (!take('{'))
            return false;
        if (take('}'))
            return true;
        do {
            if (!string() || !take(':') || !string())
                return false;
        } while (take(','));
        return take('}');
    }
    // Goes to the value of a member of the object that begins here.
    bool enter(std::string_view wanted)
    {
        if (!take('{'))
            return false;
        do {
            std::string_view key;
            if (!string(&key) || !take(':'))
                return false;
            if (key == wanted)
                return true;
            if (!value())
                return false;
        } while (take(','));
        return false;
    }
    void skip_space()
    {
        while (at_ < text_.size() && std::string_view(" \t\r\n").contains(text_[at_]))
            at_++;
    }

private:
    bool escape()
    {
        if (++at_ >= text_.size())
            return false;
        if (text_[at_] != 'u')
            return std::string_view("\"\\/bfnrt").contains(text_[at_]);
        auto digits = text_.substr(at_ + 1, 4);
        // Surrogates and NUL are for the parser to judge.
        if (digits.size() < 4 || digits == "0000" || digits[0] == 'd' || digits[0] == 'D' ||
            !std::ranges::all_of(digits, [](unsigned char c) { return std::isxdigit(c); }))
            return false;
        at_ += 4;
        return true;
    }
    std::string_view text_;
    size_t at_ = 0;
};

// Where the environment's value is.
std::optional<std::pair<size_t, size_t>> find_environment(std::string_view text)
{
    Scanner scanner(text);
    if (!scanner.enter("attributes") || !scanner.enter("system") || !scanner.enter("environment"))
        return std::nullopt;
    scanner.skip_space();
    size_t begin = scanner.at();
    if (!scanner.object_of_strings())
        return std::nullopt;
    return std::pair(begin, scanner.at());
}

} // namespace

Expected<SplitJobspec> split_environment(std::string_view text)
{
    SplitJobspec out;
    auto span = find_environment(text);
    std::string rest;
    if (span) {
        out.environment = text.substr(span->first, span->second - span->first);
        std::ranges::replace(out.environment, '\n', ' '); // between members: strings have none
        std::ranges::replace(out.environment, '\r', ' ');
        rest.reserve(text.size() - out.environment.size() + 2);
        rest.append(text.substr(0, span->first)).append("{}").append(text.substr(span->second));
        text = rest;
    }
    auto json = Json::parse(text);
    if (!json)
        return std::unexpected(json.error());
    out.jobspec = std::move(*json);
    if (span)
        out.jobspec.at("attributes", "system").erase("environment");
    return out;
}

} // namespace flux
