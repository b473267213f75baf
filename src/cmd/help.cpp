#include "cmd/command.hpp"
#include "cmd/environment.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

namespace flux::cmd {

namespace {

constexpr size_t help_column = 26; // where explanations begin

void add_line(std::string &out, std::string_view term, std::string_view explanation)
{
    if (explanation.empty())
        out += fmt::format("  {}\n", term);
    else if (term.size() + 4 > help_column)
        out += fmt::format("  {}\n{:{}}{}\n", term, "", help_column, explanation);
    else
        out += fmt::format("  {:<{}}{}\n", term, help_column - 2, explanation);
}

std::string display(const Option &option)
{
    std::string spec(option.spec);
    size_t comma = spec.find(',');
    if (comma != std::string::npos)
        spec.insert(comma + 1, " ");
    else if (spec.starts_with("--"))
        spec.insert(0, "    ");
    return spec;
}

// Letters to add, drop, change or swap with their neighbour.
size_t edit_distance(std::string_view a, std::string_view b)
{
    std::vector<size_t> older(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
    std::iota(last.begin(), last.end(), 0);
    for (size_t i = 1; i <= a.size(); i++) {
        row[0] = i;
        for (size_t j = 1; j <= b.size(); j++) {
            row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = std::min(row[j], older[j - 2] + 1);
        }
        older.swap(last);
        last.swap(row);
    }
    return last[b.size()];
}

} // namespace

std::string usage_line(const Command &command, const std::string &full_name)
{
    std::string out = "Usage: " + full_name;
    if (!command.options.empty())
        out += " [OPTIONS]";
    if (!command.subcommands.empty())
        out += command.run ? " [COMMAND]" : " COMMAND";
    if (!command.args.empty())
        out += fmt::format(" {}", command.args);
    return out + "\n";
}

std::string help_text(const Command &command, const std::string &full_name)
{
    std::string out = usage_line(command, full_name) + fmt::format("\n{}\n", command.summary);
    if (!command.subcommands.empty()) {
        out += "\nCommands:\n";
        for (const auto *sub : command.subcommands)
            add_line(out,
                     sub->args.empty() ? std::string(sub->name) : fmt::format("{} {}", sub->name, sub->args),
                     sub->summary);
    }
    out += "\nOptions:\n";
    add_line(out, "-h, --help", "show this help");
    for (const auto &option : command.options)
        add_line(out, display(option), option.help);
    return out;
}

std::string overview()
{
    std::string out = "Usage: flux [OPTIONS] COMMAND ARGS\n\nOptions:\n";
    add_line(out, "-h, --help", "show this help");
    add_line(out, "-V, --version", "show the version");
    add_line(out, "-p, --parent", "talk to the parent of this instance");
    add_line(out, "-r, --root", "talk to the root of this instance's ancestors");
    add_line(out, "-v, --verbose", "show the environment set up for commands");
    for (const auto &group : command_groups()) {
        out += fmt::format("\n{}:\n", group.title);
        for (const auto *command : group.commands)
            add_line(out, command->name, command->summary);
    }
    if (auto others = external_commands(); !others.empty())
        add_line(out += "\nPrograms of their own:\n", fmt::format("{}", fmt::join(others, ", ")), "");
    return out + "\nflux help COMMAND shows a manual page, flux COMMAND --help the options.\n";
}

std::string nearest(std::string_view word, const std::vector<std::string> &candidates)
{
    std::string best;
    size_t best_distance = std::numeric_limits<size_t>::max();
    for (const auto &candidate : candidates) {
        size_t distance = edit_distance(word, candidate);
        if (distance < best_distance) {
            best_distance = distance;
            best = candidate;
        }
    }
    size_t allowed = std::max<size_t>(1, std::min(word.size(), best.size()) / 3);
    return best_distance <= allowed ? best : std::string();
}

std::string did_you_mean(std::string_view word, const std::vector<std::string> &candidates)
{
    std::string guess = nearest(word, candidates);
    return guess.empty() ? guess : fmt::format(" (did you mean {}?)", guess);
}

} // namespace flux::cmd
