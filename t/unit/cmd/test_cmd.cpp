// The command driver: options, near misses, formats, job descriptions, where things are.
#include <gtest/gtest.h>

#include "cmd/command.hpp"
#include "cmd/environment.hpp"
#include "cmd/eventlog_view.hpp"
#include "cmd/job_client.hpp"
#include "cmd/job_format.hpp"
#include "cmd/print.hpp"
#include "cmd/submit_options.hpp"

using namespace flux;
using namespace flux::cmd;

namespace {

Command sample(bool runs_program = false)
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
    return parse_options(sample(runs_program), "flux sample", words);
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

TEST(JobFormat, renders_the_default_columns)
{
    JobFormat format = JobFormat::parse(JobFormat::default_text());
    Json job {{"id", int64_t(42)}, {"userid", 4000000000}, {"name", "a-very-long-name"},
              {"state", 16},       {"ntasks", 4},          {"nnodes", 2},
              {"t_run", 100.0},    {"nodelist", "n[0-1]"}};
    JobFormat fitted = format.fitted({job}, 110);
    EXPECT_EQ(fitted.header(), "       JOBID USER     NAME       ST NTASKS NNODES     TIME INFO");
    std::string row = fitted.row(job, 110);
    EXPECT_NE(row.find(" 40000000 a-very-lon  R      4      2      10s n[0-1]"), std::string::npos) << row;
    job.set("queue", "batch");
    EXPECT_NE(format.fitted({job}, 110).header().find("QUEUE"), std::string::npos);
}

TEST(JobFormat, refuses_what_it_does_not_know)
{
    EXPECT_THROW(JobFormat::parse("{nmae}"), UsageError);
    EXPECT_THROW(JobFormat::parse("{name"), UsageError);
    EXPECT_THROW(JobFormat::parse("name}"), UsageError);
    EXPECT_EQ(JobFormat::parse("{{{name}}}").header(), "{NAME}");
}

TEST(Print, counts_columns_not_bytes)
{
    EXPECT_EQ(display_width("ƒABC"), 4u);
    EXPECT_EQ(render_table({{"a", "bb"}, {"ccc", "d"}}, {0}), "  a bb\nccc d\n");
}

TEST(Environment, rules_are_applied_in_order)
{
    Command command {.name = "x", .options = submission_options(), .runs_program = true};
    const char *environment[] {"PATH=/bin", "HOME=/root", "LD_A=1", "FLUX_PROXY_REMOTE=x", nullptr};
    auto filtered = [&](const std::vector<std::string> &words) {
        return filtered_environment(parse_options(command, "flux x", words), environment);
    };
    EXPECT_EQ(filtered({}).size(), 3u);
    EXPECT_EQ(filtered({"--env=-*"}).size(), 0u);
    EXPECT_EQ(filtered({"--env=LD_*"}).dump(), R"({"LD_A":"1"})");
    EXPECT_EQ(filtered({"--env=-*", "--env=PATH=/x:$PATH"}).dump(), R"({"PATH":"/x:/bin"})");
    EXPECT_THROW(filtered({"--env=A=$NOT_SET"}), UsageError);
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
