// The inputs of flux bulksubmit: how lists combine, and what fields become.
#include <gtest/gtest.h>

#include "cmd/bulk_inputs.hpp"
#include "cmd/command.hpp"

using namespace flux;
using namespace flux::cmd;

namespace {

std::string all_of(std::vector<InputList> lists)
{
    InputCombinations combinations(std::move(lists));
    std::string out;
    for (size_t i = 0; i < combinations.size(); i++)
        out += fmt::format("{}{}", i ? " " : "", fmt::join(combinations.at(i), ""));
    return out;
}

std::string filled(const std::string &text, std::vector<std::string> inputs)
{
    return fill_in(text, {.inputs = std::move(inputs), .seq = 6});
}

} // namespace

TEST(BulkInputs, TheLastListRunsFastest)
{
    EXPECT_EQ(all_of({{{"1", "2"}}, {{"a", "b"}}}), "1a 1b 2a 2b");
    EXPECT_EQ(all_of({{{"1", "2"}}, {{}}}), "");
}

TEST(BulkInputs, ALinkedListGoesAlongAndIsCycledThrough)
{
    EXPECT_EQ(all_of({{{"1", "2"}}, {{"a", "b"}, true}}), "1a 2b");
    EXPECT_EQ(all_of({{{"1", "2", "3"}}, {{"a", "b"}, true}}), "1a 2b 3a");
    EXPECT_EQ(all_of({{{"1", "2"}}, {{"a", "b"}, true}, {{"x", "y"}}}), "1ax 1ay 2bx 2by");
    EXPECT_THROW(all_of({{{"1"}, true}}), UsageError);
}

TEST(BulkInputs, MoreThanCanBeCountedIsRefused)
{
    std::vector<InputList> lists(10, InputList {std::vector<std::string>(1000, "x")});
    EXPECT_THROW(all_of(lists), UsageError);
}

TEST(BulkInputs, FieldsBecomeInputsAndTheirParts)
{
    EXPECT_EQ(filled("{} {} {0}", {"a", "b"}), "a b a");
    EXPECT_EQ(filled("{.%} {0./} {0./%} {0.//}", {"/d/e/f.txt"}), "/d/e/f f.txt f /d/e");
    EXPECT_EQ(filled("{.%}", {"a.d/name"}), "a.d/name");
    EXPECT_EQ(filled("{./%}", {"d/.profile"}), ".profile");
    EXPECT_EQ(filled("{seq} {seq1}{cc}", {}), "6 7");
    EXPECT_EQ(filled("{{{{id}}}} {{}}", {}), "{{id}} {}");
}

TEST(BulkInputs, AFieldThatThereIsNotIsNamed)
{
    for (auto text : {"{1}", "{name}", "{.nope}", "{", "}", "{0", "{-1}", "{0x}"})
        EXPECT_THROW(filled(text, {"a"}), UsageError) << text;
}

TEST(BulkInputs, FilesArePartedByLinesOrAsTold)
{
    EXPECT_EQ(split_inputs("a b\nc\n", "\n"), (std::vector<std::string> {"a b", "c"}));
    EXPECT_EQ(split_inputs(" a b\nc\n", "none"), (std::vector<std::string> {"a", "b", "c"}));
    EXPECT_EQ(split_inputs("a,b\n", ","), (std::vector<std::string> {"a", "b"}));
    EXPECT_TRUE(split_inputs("", "\n").empty());
}
