// Manual pages: doc/man/flux-NAME.1.md, shown on a terminal. A page is Markdown of a simple kind: headings,
// paragraphs, lists, fenced examples, and definitions whose terms stand in backquotes:
//
//     `-n, --count=N`
//     :   Stop after N answers.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cmd/command.hpp"

namespace flux::cmd {

// The page as text of this width; with escape sequences for bold and underlined words, or without.
std::string render_page(std::string_view markdown, size_t width, bool styled);

// "flux kvs get [OPTIONS] KEY...": of a command and all its subcommands, one line each.
std::vector<std::string> synopsis(const Command &command, const std::string &full_name);

// What a page says in a form that can be compared with the table: the synopsis lines, and the options of each
// command
// ("flux kvs get" -> "-r,--raw") in its OPTIONS section or below a heading "### flux kvs get KEY...".
struct PageContents {
    std::vector<std::string> sections;
    std::vector<std::string> synopsis;
    std::map<std::string, std::vector<std::string>> options;
};
PageContents read_page(std::string_view markdown);

} // namespace flux::cmd
