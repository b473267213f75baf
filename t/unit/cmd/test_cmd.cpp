// The command driver: options, near misses, formats, job descriptions, where things are.
#include <gtest/gtest.h>

#include "cmd/command.hpp"
#include "cmd/directives.hpp"
#include "cmd/environment.hpp"
#include "cmd/eventlog_view.hpp"
#include "cmd/job_client.hpp"
#include "cmd/job_fields.hpp"
#include "cmd/log_entry.hpp"
#include "cmd/print.hpp"
#include "cmd/submit_options.hpp"
#include "cmd/when.hpp"

using namespace flux;
using namespace flux::cmd;

namespace {

Command sample_command(bool runs_program = false)
{
    return {.name = "sample",
            .options = {{"-n,--count=N", "a number"},
                        {"-v,--verbose", "a switch"},
                        {"-L,--color[=WHEN]", "an optional value"},
                        {"-a", "a letter"}},
            .runs_program = runs_program};
}

Args parse(const std::vector<std::string> &words, bool runs_program = false)
{
    return parse_options(sample_command(runs_program), "flux sample", words);
}

} // namespace

TEST(Options, are_found_between_and_after_positional_arguments)
{
    Args args = parse({"one", "-n", "4", "two", "--verbose"});
    EXPECT_EQ(args.positional(), (std::vector<std::string> {"one", "two"}));
    EXPECT_EQ(args.integer("count", 0), 4);
    EXPECT_TRUE(args.has("verbose"));
    EXPECT_FALSE(args.has("a"));
}

TEST(Options, of_a_command_that_runs_a_program_end_at_the_program)
{
    Args args = parse({"-n4", "-v", "prog", "-n", "8", "--", "--color"}, true);
    EXPECT_EQ(args.integer("count", 0), 4);
    EXPECT_EQ(args.joined(0), "prog -n 8 -- --color");
    EXPECT_EQ(parse({"-vn", "4", "prog"}, true).joined(0), "prog");
    EXPECT_EQ(parse({"--count=4", "prog"}, true).joined(0), "prog");
}

TEST(Options, after_two_dashes_are_arguments)
{
    Args args = parse({"-v", "--", "-n", "4"});
    EXPECT_EQ(args.joined(0), "-n 4");
    EXPECT_FALSE(args.has("count"));
}

TEST(Options, with_an_optional_value_take_it_only_with_an_equals_sign)
{
    Args args = parse({"--color", "always"});
    EXPECT_EQ(args.joined(0), "always");
    EXPECT_EQ(parse({"--color=never"}).value("color"), "never");
}

TEST(Options, that_are_unknown_are_named_with_the_nearest)
{
    try {
        parse({"--cuont=3"});
        FAIL();
    } catch (const UsageError &error) {
        EXPECT_NE(error.text().find("did you mean --count?"), std::string::npos) << error.text();
    }
    EXPECT_THROW(parse({"--count", "x"}).integer("count", 0), UsageError);
}

TEST(Nearest, finds_a_slip_but_does_not_guess_wildly)
{
    std::vector<std::string> names {"submit", "jobs", "getattr"};
    EXPECT_EQ(nearest("sumbit", names), "submit");
    EXPECT_EQ(nearest("getatr", names), "getattr");
    EXPECT_EQ(nearest("jbos", names), "jobs") << "two letters that changed places are one slip";
    EXPECT_EQ(nearest("frobnicate", names), "");
}

TEST(Commands, have_unique_names_in_order_and_help)
{
    std::string previous;
    for (const auto *command : all_commands()) {
        EXPECT_LT(previous, command->name);
        previous = command->name;
        EXPECT_TRUE(command->run || !command->subcommands.empty()) << command->name;
        EXPECT_NE(help_text(*command, "flux x").find(command->summary), std::string::npos);
    }
}

TEST(Commands, parse_their_own_option_tables)
{
    std::function<void(const Command &)> check = [&](const Command &command) {
        EXPECT_NO_THROW(parse_options(command, "flux x", {})) << command.name;
        for (const auto *sub : command.subcommands)
            check(*sub);
    };
    for (const auto *command : all_commands())
        check(*command);
}

TEST(Installation, is_found_from_the_binary)
{
    Installation built = Installation::at("/nowhere/build/bin/flux");
    EXPECT_EQ(built.exec, "/nowhere/build/bin");
    EXPECT_EQ(built.modules, "/nowhere/build/lib/flux/modules");
}

TEST(Options, tell_values_from_switches_by_what_follows_the_name)
{
    Option setting {"-o,--setopt=KEY[=VAL]", ""};
    EXPECT_EQ(setting.name(), "setopt");
    EXPECT_TRUE(setting.takes_value());
    EXPECT_EQ(setting.value_name(), "KEY[=VAL]");
    Option file {"--add-file=[NAME[:PERMS]=]ARG", ""};
    EXPECT_EQ(file.name(), "add-file");
    EXPECT_TRUE(file.takes_value());
    Option color {"-L,--color[=WHEN]", ""};
    EXPECT_TRUE(color.may_take_value());
    EXPECT_FALSE(color.takes_value());
    EXPECT_EQ(color.value_name(), "WHEN");
}

TEST(Options, are_kept_in_the_order_given)
{
    Args args = parse({"-n1", "-v", "--count=2"});
    std::vector<std::pair<std::string, std::string>> expected {
        {"count", "1"}, {"verbose", "true"}, {"count", "2"}};
    EXPECT_EQ(args.in_order(), expected);
}

TEST(LogEntry, is_read_from_its_wire_form)
{
    auto entry = LogEntry::parse("<32>1 2026-11-23T00:30:47.5Z 3 broker 77 - - two words");
    EXPECT_EQ(entry.line(), "2026-11-23T00:30:47.5Z broker.warning[3]: two words");
    EXPECT_DOUBLE_EQ(entry.seconds(), 1795393847.5);
    EXPECT_EQ(LogEntry::parse("no entry").line(), "no entry");
    EXPECT_EQ(parse_severity("err"), 3);
    EXPECT_EQ(parse_severity("nothing"), -1);
}

TEST(When, reads_offsets_days_and_dates)
{
    double now = 1795393847;
    EXPECT_DOUBLE_EQ(parse_when("-2h", now), now - 7200);
    EXPECT_DOUBLE_EQ(parse_when("+1.5m", now), now + 90);
    EXPECT_DOUBLE_EQ(parse_when("now", now), now);
    EXPECT_LT(parse_when("yesterday", now), parse_when("today", now));
    EXPECT_DOUBLE_EQ(parse_when("tomorrow 12:00", now) - parse_when("tomorrow", now), 12 * 3600);
    EXPECT_DOUBLE_EQ(parse_when("2026-11-20 10:00", now) - parse_when("2026-11-20", now), 10 * 3600);
    EXPECT_DOUBLE_EQ(parse_when("1700000000", now), 1700000000);
    EXPECT_THROW(parse_when("soon", now), UsageError);
    EXPECT_THROW(parse_when("2026-13-01", now), UsageError);
}

TEST(Print, counts_columns_not_bytes)
{
    EXPECT_EQ(display_width("ƒABC"), 4u);
    EXPECT_EQ(render_table({{"a", "bb"}, {"ccc", "d"}}, {0}), "  a bb\nccc d\n");
}

TEST(Environment, rules_are_applied_in_order)
{
    Command command {.name = "x", .options = task_options(), .runs_program = true};
    const char *environment[] {"PATH=/bin", "HOME=/root", "LD_A=1", "FLUX_PROXY_REMOTE=x", nullptr};
    auto filtered = [&](const std::vector<std::string> &words) {
        return filtered_environment(parse_options(command, "flux x", words), environment);
    };
    EXPECT_EQ(filtered({}).size(), 3u);
    EXPECT_EQ(filtered({"--env=-*"}).size(), 0u);
    EXPECT_EQ(filtered({"--env=LD_*"}).size(), 3u) << "what is there already stays as it is";
    EXPECT_EQ(filtered({"--env-remove=*", "--env=LD_*"}).dump(), R"({"LD_A":"1"})");
    EXPECT_EQ(filtered({"--env=LD_*", "--env-remove=*"}).size(), 0u) << "the order counts";
    EXPECT_EQ(filtered({"--env=-*", "--env=/^P.*H$/"}).dump(), R"({"PATH":"/bin"})");
    EXPECT_EQ(filtered({"--env=-*", "--env=PATH=/x:$PATH"}).dump(), R"({"PATH":"/x:/bin"})");
    EXPECT_EQ(filtered({"--env=-*", "--env=A=${HOME}$$"}).dump(), R"({"A":"/root$"})");
    EXPECT_THROW(filtered({"--env=A=$NOT_SET"}), UsageError);
    EXPECT_THROW(filtered({"--env=A=${HOME:-x}"}), UsageError);
    EXPECT_THROW(filtered({"--env=/(/"}), UsageError);
}

TEST(Submission, dependencies_and_settings_are_read)
{
    EXPECT_EQ(parse_dependency("afterok:f1?n=3&why=x").dump(),
              R"({"scheme":"afterok","value":"f1","n":3,"why":"x"})");
    EXPECT_THROW(parse_dependency("nothing"), UsageError);
    EXPECT_EQ(parse_setting("a.b=[1]").second.dump(), "[1]");
    EXPECT_EQ(parse_setting("a.b=text").second.dump(), "\"text\"");
    EXPECT_EQ(parse_setting("a.b").second.dump(), "1");
}

TEST(Submission, limits_are_propagated_by_rule)
{
    Command command {.name = "x", .options = task_options(), .runs_program = true};
    auto limits = [&](const std::vector<std::string> &words) {
        return propagated_limits(parse_options(command, "flux x", words));
    };
    EXPECT_TRUE(limits({}).contains("nofile"));
    EXPECT_FALSE(limits({}).contains("memlock"));
    EXPECT_EQ(limits({"--rlimit=-*,nofile=64,core=unlimited"}).dump(), R"({"core":-1,"nofile":64})");
    EXPECT_TRUE(limits({"--rlimit=-*", "--rlimit=memlock"}).contains("memlock"));
    EXPECT_THROW(limits({"--rlimit=nofiles=3"}), UsageError);
    EXPECT_THROW(limits({"--rlimit=nofile=many"}), UsageError);
}

TEST(Submission, files_keep_their_bytes)
{
    EXPECT_EQ(file_entry("a\n", 0600).dump(), R"({"mode":33152,"size":2,"data":"a\n","encoding":"utf-8"})");
    EXPECT_EQ(file_entry("\xff", 0700).dump(),
              R"({"mode":33216,"size":1,"data":"/w==","encoding":"base64"})");
    EXPECT_EQ(file_entry("", 0600).dump(), R"({"mode":33152,"size":0})");
}

TEST(EventView, shows_context_as_words)
{
    Event event {1.5, "exception", Json {{"type", "cancel"}, {"severity", 0}, {"note", "two words"}}};
    EXPECT_EQ(EventView(EventView::Form::text).line(event),
              "1.500000 exception type=cancel severity=0 note=\"two words\"\n");
    EXPECT_EQ(Event::parse(EventView(EventView::Form::json).line(event)).value(), event);
}

TEST(JobEnd, gives_the_exit_code_of_tasks_or_of_an_exception)
{
    JobEnd end;
    record_end(end, Event {1, "start"});
    record_end(end, Event {2, "finish", Json {{"status", 3 << 8}}});
    EXPECT_EQ(end.exit_code(), 3);
    JobEnd canceled;
    record_end(canceled, Event {1, "exception", Json {{"type", "cancel"}, {"severity", 0}}});
    EXPECT_EQ(canceled.exit_code(), 1);
    EXPECT_TRUE(canceled.failed());
}
