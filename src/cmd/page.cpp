#include "cmd/page.hpp"

#include <algorithm>

#include "cmd/print.hpp"
#include "common/base/text.hpp"

namespace flux::cmd {

namespace {

constexpr size_t body_indent = 7;
constexpr size_t definition_indent = 14;
constexpr size_t heading_indent = 3; // of a heading within a section
constexpr size_t narrowest = 20;     // columns of text, however narrow the terminal

bool is_term(std::string_view line)
{
    return line.size() > 2 && line.starts_with('`') && line.ends_with('`') &&
           line.substr(1, line.size() - 2).find('`') == std::string_view::npos;
}

// `code`, **bold** and *emphasis* as escape sequences, or without their marks.
std::string inline_styles(std::string_view text, bool styled)
{
    std::string out;
    bool code = false, bold = false, emphasis = false;
    auto toggle = [&](bool &state, const char *on, const char *off) {
        state = !state;
        if (styled)
            out += state ? on : off;
    };
    for (size_t i = 0; i < text.size(); i++) {
        if (text[i] == '\\' && i + 1 < text.size() && std::ispunct(uint8_t(text[i + 1])) && !code)
            out += text[++i];
        else if (text[i] == '`')
            toggle(code, "\033[1m", "\033[22m");
        else if (!code && text.substr(i).starts_with("**")) {
            toggle(bold, "\033[1m", "\033[22m");
            i++;
        } else if (!code && text[i] == '*')
            toggle(emphasis, "\033[4m", "\033[24m");
        else
            out += text[i];
    }
    return out;
}

size_t visible_width(const std::string &text)
{
    size_t width = 0;
    for (size_t i = 0; i < text.size(); i++) {
        if (text[i] == '\033')
            i = text.find('m', i);
        else if ((text[i] & 0xc0) != 0x80)
            width++;
    }
    return width;
}

class Renderer {
public:
    Renderer(size_t width, bool styled)
        : width_(std::max(width, definition_indent + narrowest)), styled_(styled)
    {
    }

    std::string render(std::string_view markdown)
    {
        lines_ = split(markdown, '\n');
        for (at_ = 0; at_ < lines_.size(); at_++)
            line(lines_[at_]);
        flush();
        return out_;
    }

private:
    void line(std::string_view text)
    {
        if (text.starts_with("```")) {
            flush();
            return verbatim();
        }
        if (text.starts_with("### ")) {
            flush();
            heading(text.substr(4), heading_indent);
        } else if (text.starts_with("## ")) {
            flush();
            heading(text.substr(3), 0);
        } else if (text.starts_with("# ")) {
            flush();
            out_ += bold(std::string(text.substr(2))) + "\n";
        } else if (is_term(text)) {
            flush();
            blank_line_before(!after_term_);
            out_ += std::string(body_indent, ' ') + bold(std::string(text.substr(1, text.size() - 2))) + "\n";
            after_term_ = true;
        } else if (text.starts_with(":   ")) {
            flush();
            begin(text.substr(4), definition_indent, definition_indent);
        } else if (text.starts_with("- ")) {
            flush();
            begin("\xe2\x80\xa2 " + std::string(text.substr(2)), body_indent, body_indent + 2);
        } else if (text.find_first_not_of(' ') == std::string_view::npos) {
            bool in_definition = first_indent_ == definition_indent && !paragraph_.empty();
            flush();
            // A paragraph that goes on in a definition is indented in the page.
            pending_indent_ =
                in_definition || pending_indent_ == definition_indent ? definition_indent : body_indent;
        } else {
            bool indented = text.starts_with("    ");
            if (paragraph_.empty()) {
                size_t indent =
                    indented && pending_indent_ == definition_indent ? definition_indent : body_indent;
                begin(text.substr(text.find_first_not_of(' ')), indent, indent);
            } else {
                paragraph_ += " ";
                paragraph_ += text.substr(text.find_first_not_of(' '));
            }
        }
    }

    void heading(std::string_view text, size_t indent)
    {
        if (!out_.empty())
            out_ += "\n";
        out_ += std::string(indent, ' ') + bold(inline_styles(text, false)) + "\n";
        first_in_section_ = true;
        after_term_ = false;
        pending_indent_ = body_indent;
    }

    void blank_line_before(bool wanted)
    {
        if (wanted && !first_in_section_)
            out_ += "\n";
        first_in_section_ = false;
    }

    void begin(std::string_view text, size_t first, size_t rest)
    {
        paragraph_ = text;
        first_indent_ = first;
        rest_indent_ = rest;
    }

    void flush()
    {
        if (paragraph_.empty())
            return;
        bool list_item = rest_indent_ != first_indent_;
        blank_line_before(!after_term_ && !(list_item && last_was_item_));
        after_term_ = false;
        last_was_item_ = list_item;
        wrap(inline_styles(paragraph_, styled_));
        paragraph_.clear();
    }

    void wrap(const std::string &text)
    {
        std::string line(first_indent_, ' ');
        size_t used = first_indent_;
        bool empty = true;
        for (size_t begin = 0; begin < text.size();) {
            size_t end = std::min(text.find(' ', begin), text.size());
            std::string word = text.substr(begin, end - begin);
            begin = end + 1;
            if (word.empty())
                continue;
            size_t needed = visible_width(word);
            if (!empty && used + 1 + needed > width_) {
                out_ += line + "\n";
                line = std::string(rest_indent_, ' ');
                used = rest_indent_;
                empty = true;
            }
            line += (empty ? "" : " ") + word;
            used += needed + !empty;
            empty = false;
        }
        out_ += line + "\n";
    }

    void verbatim()
    {
        blank_line_before(true);
        for (at_++; at_ < lines_.size() && !lines_[at_].starts_with("```"); at_++)
            out_ += std::string(body_indent + 2, ' ') + std::string(lines_[at_]) + "\n";
        last_was_item_ = false;
        after_term_ = false;
    }

    std::string bold(const std::string &text) const { return styled_ ? "\033[1m" + text + "\033[0m" : text; }

    size_t width_;
    bool styled_;
    std::vector<std::string_view> lines_;
    size_t at_ = 0;
    std::string out_;
    std::string paragraph_;
    size_t first_indent_ = body_indent;
    size_t rest_indent_ = body_indent;
    size_t pending_indent_ = body_indent;
    bool first_in_section_ = false;
    bool after_term_ = false;
    bool last_was_item_ = false;
};

// "flux kvs get" of "flux kvs get [OPTIONS] KEY...": the words before the first that is no command's name.
std::string command_of(std::string_view heading)
{
    std::string out;
    while (!heading.empty()) {
        size_t end = std::min(heading.find(' '), heading.size());
        std::string_view word = heading.substr(0, end);
        bool name = std::all_of(word.begin(), word.end(),
                                [](char c) { return std::islower(uint8_t(c)) || c == '-'; });
        bool group_R = word == "R" && out == "flux resource"; // the one that is not in lower case
        if (!name && !group_R)
            break;
        out += (out.empty() ? "" : " ") + std::string(word);
        heading.remove_prefix(std::min(heading.size(), end + 1));
    }
    return out;
}

} // namespace

std::string render_page(std::string_view markdown, size_t width, bool styled)
{
    return Renderer(width, styled).render(markdown);
}

std::vector<std::string> synopsis(const Command &command, const std::string &full_name)
{
    std::vector<std::string> out;
    if (command.run)
        out.push_back(fmt::format("{}{}{}{}", full_name, command.options.empty() ? "" : " [OPTIONS]",
                                  command.args.empty() ? "" : " ", command.args));
    for (const auto *sub : command.subcommands)
        for (auto &line : synopsis(*sub, fmt::format("{} {}", full_name, sub->name)))
            out.push_back(std::move(line));
    return out;
}

PageContents read_page(std::string_view markdown)
{
    PageContents out;
    std::string command;
    for (std::string_view line : split(markdown, '\n')) {
        if (line.starts_with("# ")) { // "# flux-kvs(1)"
            std::string name(line.substr(2, line.find('(') - 2));
            std::replace(name.begin(), name.begin() + long(std::min<size_t>(name.size(), 5)), '-', ' ');
            command = name;
        } else if (line.starts_with("## ")) {
            out.sections.emplace_back(line.substr(3));
        } else if (line.starts_with("### ")) {
            command = command_of(line.substr(4));
        } else if (!out.sections.empty() && out.sections.back() == "SYNOPSIS" && line.starts_with("    ")) {
            out.synopsis.emplace_back(line.substr(4));
        } else if (is_term(line) && line[1] == '-') {
            std::string option(line.substr(1, line.size() - 2));
            if (size_t blank = option.find(", "); blank != std::string::npos)
                option.erase(blank + 1, 1);
            out.options[command].push_back(option);
        }
    }
    return out;
}

} // namespace flux::cmd
