// flux help: the manual page of a command.
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <unistd.h>

#include "cmd/commands.hpp"
#include "cmd/environment.hpp"
#include "cmd/page.hpp"
#include "cmd/print.hpp"
#include "cmd/terminal.hpp"

namespace flux::cmd {

namespace {

constexpr size_t widest = 100; // longer lines are hard to read

size_t page_width()
{
    return std::min(terminal_width(STDOUT_FILENO), widest);
}

// Of a command, or about something else (section 7).
std::string page_path(const std::string &name)
{
    auto path = [&](int section) {
        return fmt::format("{}/flux-{}.{}.md", Installation::find().man, name, section);
    };
    return std::filesystem::exists(path(7)) ? path(7) : path(1);
}

// Through $PAGER (or less) when somebody looks at a terminal.
void show_paged(const std::string &text)
{
    const char *pager = std::getenv("PAGER");
    if (!::isatty(STDOUT_FILENO) || (pager && !*pager)) {
        write_out(text);
        return;
    }
    std::signal(SIGPIPE, SIG_IGN); // it may be left before the end
    FILE *pipe = ::popen(pager ? pager : "less -FRX", "w");
    if (!pipe) {
        write_out(text);
        return;
    }
    std::fwrite(text.data(), 1, text.size(), pipe);
    if (int status = ::pclose(pipe); WIFEXITED(status) && WEXITSTATUS(status) == 127)
        write_out(text); // there is no pager
}

int run_help(const Args &args, Session &)
{
    if (args.size() == 0) {
        write_out(overview());
        return 0;
    }
    std::string name = args[0];
    if (name.starts_with("flux-"))
        name.erase(0, 5);
    std::string path = page_path(name);
    if (name.find('/') == std::string::npos && std::filesystem::exists(path)) {
        show_paged(render_page(read_file(path), page_width(), ::isatty(STDOUT_FILENO)));
        return 0;
    }
    if (const auto *command = find_command(name)) {
        write_out(help_text(*command, "flux " + name));
        return 0;
    }
    std::vector<std::string> names = external_commands();
    if (std::find(names.begin(), names.end(), name) != names.end()) { // a program of its own explains itself
        std::string program = find_program("flux-" + name, std::getenv("FLUX_EXEC_PATH"));
        exec_program(program, {program, "--help"});
    }
    for (const auto *command : all_commands())
        names.emplace_back(command->name);
    throw Error(ENOENT, "there is no help about {}{}; flux help lists the commands", name,
                did_you_mean(name, names));
}

} // namespace

const Command help {
    .name = "help",
    .args = "[COMMAND]",
    .summary = "Show the manual page of a command, or list the commands",
    .max_args = 2,
    .run = run_help,
};

} // namespace flux::cmd
