// flux completion: a script that lets bash complete flux commands, made from the same table as everything
// else.
#include "cmd/commands.hpp"
#include "cmd/print.hpp"

namespace flux::cmd {

namespace {

std::string words_of(const Command &command)
{
    std::vector<std::string> words;
    for (const auto *sub : command.subcommands)
        words.emplace_back(sub->name);
    words.emplace_back("--help");
    for (const auto &option : command.options) {
        std::string name = option.name();
        words.push_back(name.size() > 1 ? "--" + name + (option.takes_value() ? "=" : "") : "-" + name);
    }
    return fmt::format("{}", fmt::join(words, " "));
}

void add_case(std::string &out, const Command &command, const std::string &path)
{
    out += fmt::format("        '{}') words='{}' ;;\n", path, words_of(command));
    for (const auto *sub : command.subcommands)
        add_case(out, *sub, fmt::format("{} {}", path, sub->name));
}

std::string script()
{
    std::string cases;
    std::vector<std::string> names;
    for (const auto *command : all_commands()) {
        names.emplace_back(command->name);
        add_case(cases, *command, std::string(command->name));
    }
    std::string groups;
    for (const auto *command : all_commands())
        for (const auto *sub : command->subcommands) {
            groups += fmt::format("{}'{} {}'", groups.empty() ? "" : "|", command->name, sub->name);
            for (const auto *deeper : sub->subcommands)
                groups += fmt::format("|'{} {} {}'", command->name, sub->name, deeper->name);
        }
    return fmt::format(R"(# bash completion for flux; to use it:  source <(flux completion bash)
_flux() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} path= word words i
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${{COMP_WORDS[i]}}
        case $word in
        -*) continue ;;
        esac
        if [ -z "$path" ]; then
            path=$word
            continue
        fi
        case "$path $word" in
        {}) path="$path $word" ;;
        *) break ;;
        esac
    done
    case $path in
        '') words='{} --help --version --parent --root --verbose' ;;
{}        *) words= ;;
    esac
    if [ "$path" = help ]; then
        words='{}'
    fi
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
    if [ ${{#COMPREPLY[@]}} -eq 1 ] && [[ ${{COMPREPLY[0]}} == *= ]]; then
        compopt -o nospace
    fi
}}
complete -o default -F _flux flux
)",
                       groups, fmt::join(names, " "), cases, fmt::join(names, " "));
}

int run_completion(const Args &args, Session &)
{
    if (args[0] != "bash")
        throw UsageError(fmt::format("there is a completion for bash only, not for {}", args[0]));
    write_out(script());
    return 0;
}

} // namespace

const Command completion {
    .name = "completion",
    .args = "bash",
    .summary = "Show a script that lets bash complete flux commands",
    .min_args = 1,
    .max_args = 1,
    .run = run_completion,
};

} // namespace flux::cmd
