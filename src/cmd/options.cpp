// The only file that includes CLI11: it takes long to compile, and commands need no more of it than Args.
#include <CLI/CLI.hpp>

#include "cmd/command.hpp"

namespace flux::cmd {

namespace {

std::string cli_names(const Option &option)
{
    std::string letter = option.short_name();
    std::string name = option.name();
    if (letter.empty())
        return "--" + name;
    return letter == name ? "-" + letter : "-" + letter + ",--" + name;
}

std::vector<std::string> option_names(const Command &command)
{
    std::vector<std::string> out {"--help"};
    for (const auto &option : command.options)
        out.push_back((option.name().size() > 1 ? "--" : "-") + option.name());
    return out;
}

void add_option(CLI::App &app, const Option &option)
{
    if (option.takes_value()) {
        app.add_option(cli_names(option))
            ->expected(1)
            ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
            ->allow_extra_args(false);
        return;
    }
    app.add_flag(cli_names(option))->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

// What looks like an option but was left over is unknown; "-" alone means standard input.
void refuse_unknown(const Command &command, const std::string &word)
{
    if (word.size() < 2 || word[0] != '-' || word == "--")
        return;
    std::string name = word.substr(0, word.find('='));
    throw UsageError(fmt::format("unknown option {}{}", name, did_you_mean(name, option_names(command))));
}

// How many of the arguments may be ours: up to "--", and for a command that runs a program up to its name.
size_t count_ours(const Command &command, const std::vector<std::string> &arguments)
{
    auto takes_next = [&](const std::string &word) {
        for (const auto &option : command.options) {
            if (!option.takes_value())
                continue;
            if (word == "--" + option.name())
                return true;
            if (auto letter = option.short_name(); word[1] != '-' && !letter.empty()) {
                // A cluster of letters, "-vn 4": the first that takes a value takes the rest of it.
                auto at = word.find(letter, 1);
                bool is_last = at != std::string::npos && at + 1 == word.size();
                bool earlier = false;
                for (const auto &other : command.options)
                    if (auto o = other.short_name(); other.takes_value() && !o.empty() && o != letter)
                        earlier |= word.find(o, 1) < at;
                if (is_last && !earlier)
                    return true;
            }
        }
        return false;
    };
    for (size_t i = 0; i < arguments.size(); i++) {
        const std::string &word = arguments[i];
        if (word == "--")
            return i;
        if (word.size() < 2 || word[0] != '-') {
            if (command.runs_program)
                return i;
        } else if (takes_next(word)) {
            i++;
        }
    }
    return arguments.size();
}

// "--name=", an empty value, is two words for CLI11, which takes it for a missing one otherwise.
void append_reversed(const Command &command, const std::string &word, std::vector<std::string> &reversed)
{
    for (const auto &option : command.options)
        if (word.ends_with('=') && option.takes_value() && word == "--" + option.name() + "=") {
            reversed.emplace_back();
            reversed.push_back(word.substr(0, word.size() - 1));
            return;
        }
    reversed.push_back(word);
}

} // namespace

Args parse_options(const Command &command, const std::string &full_name,
                   const std::vector<std::string> &arguments)
{
    CLI::App app;
    app.set_help_flag();
    app.allow_extras();
    app.add_flag("-h,--help");
    for (const auto &option : command.options)
        add_option(app, option);

    Args out;
    size_t ours = count_ours(command, arguments);
    std::vector<std::string> reversed;
    for (size_t i = ours; i > 0; i--)
        append_reversed(command, arguments[i - 1], reversed);
    try {
        app.parse(reversed);
    } catch (const CLI::ParseError &error) {
        throw UsageError(error.what());
    }
    for (auto &word : app.remaining()) {
        refuse_unknown(command, word);
        out.positional_.push_back(word);
    }
    bool dashes = ours < arguments.size() && arguments[ours] == "--";
    out.before_dashes_ = out.positional_.size();
    out.positional_.insert(out.positional_.end(), arguments.begin() + long(ours + dashes), arguments.end());
    if (!dashes)
        out.before_dashes_ = out.positional_.size();

    out.options_["help"] = app.get_option("--help")->results();
    for (const auto &option : command.options)
        out.options_[option.name()] =
            app.get_option((option.name().size() > 1 ? "--" : "-") + option.name())->results();
    std::map<std::string, size_t> seen;
    for (const auto *option : app.parse_order()) {
        std::string name =
            option->get_lnames().empty() ? option->get_snames().at(0) : option->get_lnames().at(0);
        const auto &values = out.options_[name];
        if (size_t at = seen[name]++; at < values.size())
            out.in_order_.emplace_back(name, values[at]);
    }
    return out;
}

} // namespace flux::cmd
