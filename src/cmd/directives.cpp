#include "cmd/directives.hpp"

#include <algorithm>
#include <cctype>
#include <optional>

#include "common/base/text.hpp"

namespace flux::cmd {

namespace {

constexpr std::string_view quotes_of_three[] {"\"\"\"", "'''"};

bool is_word_character(char c)
{
    return std::isalnum(uint8_t(c)) || c == '_' || uint8_t(c) >= 0x80;
}

struct Sentinel {
    std::string_view prefix; // "# "
    std::string_view whole;  // "# flux:"
};

std::optional<Sentinel> find_sentinel(std::string_view line)
{
    size_t end = 0;
    while (end < line.size() && !is_word_character(line[end]))
        end++;
    std::string_view rest = line.substr(end);
    if (!rest.starts_with("flux:") && !rest.starts_with("FLUX:"))
        return std::nullopt;
    return Sentinel {line.substr(0, end), line.substr(0, end + 5)};
}

// One directive: its text, which may have newlines from a literal of several lines, and where it began.
struct Directive {
    size_t line;
    std::string text;
    std::optional<std::string>
        literal; // what the closing quotes of several lines enclose; it follows the text
};

// The quotes with which a directive opens a literal of several lines, or empty.
std::string_view opens_literal(std::string_view text)
{
    for (auto quotes : quotes_of_three) {
        size_t count = 0;
        for (size_t at = 0; (at = text.find(quotes, at)) != std::string_view::npos; at += quotes.size())
            count++;
        if (count % 2 == 1 && text.ends_with(quotes))
            return quotes;
    }
    return {};
}

// Without the blanks that all lines begin with.
std::string dedented(const std::vector<std::string_view> &lines)
{
    size_t common = std::string_view::npos;
    for (auto line : lines)
        if (size_t first = line.find_first_not_of(" \t"); first != std::string_view::npos)
            common = std::min(common, first);
    std::string out;
    for (auto line : lines) {
        out += line.substr(std::min(line.size(), common == std::string_view::npos ? line.size() : common));
        out += '\n';
    }
    return out;
}

class Reader {
public:
    explicit Reader(std::string_view script) : lines_(split(script, '\n')) {}

    Expected<std::vector<Directive>> read()
    {
        std::vector<Directive> out;
        bool stopped = false;
        for (at_ = 0; at_ < lines_.size(); at_++) {
            std::string_view line = lines_[at_];
            auto found = find_sentinel(line);
            if (found && stopped)
                return fail(EINVAL,
                            "line {}: the directive '{}' comes after the script has begun; move it up",
                            at_ + 1, trimmed(line));
            if (found && !sentinel_)
                sentinel_ = found;
            if (found && found->whole != sentinel_->whole)
                return fail(EINVAL, "line {}: the directive begins with '{}' where the first one has '{}'",
                            at_ + 1, found->whole, sentinel_->whole);
            if (found) {
                auto directive = read_one();
                if (!directive)
                    return std::unexpected(directive.error());
                out.push_back(std::move(*directive));
            } else if (sentinel_ && !trimmed(line).empty() && !line.starts_with(sentinel_->prefix)) {
                stopped = true;
            }
        }
        return out;
    }

private:
    Expected<Directive> read_one()
    {
        Directive out {.line = at_ + 1, .text = std::string(trimmed(rest_of(lines_[at_])))};
        std::string_view quotes = opens_literal(out.text);
        if (quotes.empty())
            return out;
        out.text.resize(out.text.size() - quotes.size());
        std::vector<std::string_view> inside;
        for (at_++; at_ < lines_.size() && lines_[at_].starts_with(sentinel_->whole); at_++) {
            std::string_view line = rest_of(lines_[at_]);
            if (trimmed(line) == quotes) {
                out.literal = dedented(inside);
                return out;
            }
            inside.push_back(line);
        }
        return fail(EINVAL, "line {}: the quotes {} of this directive are not closed", out.line, quotes);
    }

    std::string_view rest_of(std::string_view line) const { return line.substr(sentinel_->whole.size()); }

    std::vector<std::string_view> lines_;
    std::optional<Sentinel> sentinel_;
    size_t at_ = 0;
};

// Parts one directive as a shell does; triple quotes take everything as it stands.
Expected<std::vector<std::string>> words_of(const Directive &directive)
{
    std::vector<std::string> out;
    std::string word;
    bool in_word = false;
    std::string_view text = directive.text;
    auto unclosed = [&](std::string_view quotes) {
        return fail(EINVAL, "line {}: the quotes {} of this directive are not closed", directive.line,
                    quotes);
    };
    auto end_word = [&] {
        if (in_word)
            out.push_back(std::exchange(word, {}));
        in_word = false;
    };
    while (!text.empty()) {
        char c = text[0];
        if (c == ' ' || c == '\t') {
            end_word();
            text.remove_prefix(1);
        } else if (c == '#') {
            break;
        } else if (text.starts_with(quotes_of_three[0]) || text.starts_with(quotes_of_three[1])) {
            std::string_view quotes = text.substr(0, 3);
            size_t end = text.find(quotes, 3);
            if (end == std::string_view::npos)
                return unclosed(quotes);
            word += text.substr(3, end - 3);
            in_word = true;
            text.remove_prefix(end + 3);
        } else if (c == '\'' || c == '"') {
            in_word = true;
            size_t at = 1;
            for (; at < text.size() && text[at] != c; at++) {
                bool escaped = c == '"' && text[at] == '\\' && at + 1 < text.size() &&
                               std::string_view("\"\\$`").find(text[at + 1]) != std::string_view::npos;
                at += escaped;
                word += text[at];
            }
            if (at >= text.size())
                return unclosed(c == '"' ? "\"" : "'");
            text.remove_prefix(at + 1);
        } else {
            in_word = true;
            if (c == '\\' && text.size() > 1)
                text.remove_prefix(1);
            word += text[0];
            text.remove_prefix(1);
        }
    }
    if (directive.literal) {
        word += *directive.literal;
        in_word = true;
    }
    end_word();
    return out;
}

} // namespace

Expected<std::vector<std::string>> parse_directives(std::string_view script)
{
    auto directives = Reader(script).read();
    if (!directives)
        return std::unexpected(directives.error());
    std::vector<std::string> out;
    for (const auto &directive : *directives) {
        auto words = words_of(directive);
        if (!words)
            return std::unexpected(words.error());
        if (!words->empty() && !words->front().starts_with('-'))
            return fail(EINVAL, "line {}: the directive '{}' does not begin with an option", directive.line,
                        words->front());
        out.insert(out.end(), words->begin(), words->end());
    }
    return out;
}

} // namespace flux::cmd
