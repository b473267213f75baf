// Each command's manual page agrees with its entry in the table: synopsis and options, and has what a page
// must have.
#include <filesystem>
#include <functional>
#include <gtest/gtest.h>

#include "cmd/page.hpp"
#include "cmd/print.hpp"

using namespace flux;
using namespace flux::cmd;

namespace {

std::string page_path(const Command &command)
{
    return fmt::format("{}/flux-{}.1.md", FLUX_MAN_DIRECTORY, command.name);
}

void compare_options(const Command &command, const std::string &name, PageContents &page)
{
    std::vector<std::string> expected;
    for (const auto &option : command.options)
        expected.emplace_back(option.spec);
    std::vector<std::string> found = page.options[name];
    std::sort(expected.begin(), expected.end());
    std::sort(found.begin(), found.end());
    EXPECT_EQ(found, expected) << "options of " << name << " in " << page_path(command);
    page.options.erase(name);
    for (const auto *sub : command.subcommands)
        compare_options(*sub, fmt::format("{} {}", name, sub->name), page);
}

class Page : public testing::TestWithParam<const Command *> {};

} // namespace

TEST_P(Page, agrees_with_the_table)
{
    const Command &command = *GetParam();
    std::string name = fmt::format("flux {}", command.name);
    ASSERT_TRUE(std::filesystem::exists(page_path(command))) << name << " has no manual page";
    std::string text = read_file(page_path(command));
    auto page = read_page(text);
    EXPECT_EQ(page.synopsis, synopsis(command, name)) << page_path(command);
    compare_options(command, name, page);
    for (const auto &[other, options] : page.options)
        ADD_FAILURE() << page_path(command) << " describes options of " << other
                      << ", which is no command of it";
    for (const char *section : {"NAME", "SYNOPSIS", "DESCRIPTION", "EXAMPLES", "EXIT STATUS", "SEE ALSO"})
        EXPECT_NE(std::find(page.sections.begin(), page.sections.end(), section), page.sections.end())
            << page_path(command) << " has no section " << section;
    EXPECT_TRUE(text.starts_with(fmt::format("# flux-{}(1)\n", command.name)));
}

INSTANTIATE_TEST_SUITE_P(All, Page, testing::ValuesIn(all_commands()), [](const auto &info) {
    std::string name(info.param->name);
    std::replace(name.begin(), name.end(), '-', '_');
    return name;
});

TEST(Pages, belong_to_a_command)
{
    for (const auto &entry : std::filesystem::directory_iterator(FLUX_MAN_DIRECTORY)) {
        std::string file = entry.path().filename().string();
        if (!file.ends_with(".1.md"))
            continue;
        std::string name = file.substr(5, file.size() - 10);
        // programs of their own
        bool known = name == "broker" || name == "keygen" || name == "simulate" || name == "resource-query" ||
                     name == "ion-resource" || name == "ion-R" || name == "dump" || name == "restore";
        for (const auto *command : all_commands())
            known |= command->name == name;
        EXPECT_TRUE(known) << file;
    }
}

TEST(Pages, are_wrapped_and_indented)
{
    std::string text =
        render_page("# flux-x(1)\n\n## NAME\n\nflux-x - does `x` and *y*\n\n## OPTIONS\n\n`-n, --count=N`\n"
                    ":   Stop after N.\n\n- one\n- two\n\n```\n$ flux x\n```\n",
                    40, false);
    EXPECT_EQ(text, "flux-x(1)\n\nNAME\n       flux-x - does x and y\n\nOPTIONS\n       -n, --count=N\n"
                    "              Stop after N.\n\n       • one\n       • two\n\n         $ flux x\n");
    std::string styled = render_page("## A\n\nword `code` word", 80, true);
    EXPECT_NE(styled.find("\033[1mcode\033[22m"), std::string::npos);
    for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1)
        EXPECT_LE(end - begin, 44u);
}
