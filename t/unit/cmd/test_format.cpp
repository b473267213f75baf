// --format: the syntax, what rows become, and the fields of jobs.
#include <gtest/gtest.h>

#include "cmd/command.hpp"
#include "cmd/job_fields.hpp"
#include "cmd/output_format.hpp"

using namespace flux;
using namespace flux::cmd;

namespace {

const FormatFields fields {
    .thing = "rows",
    .headers = {{"name", "NAME"}, {"size", "SIZE"}, {"time", "TIME"}, {"empty", "EMPTY"}},
    .open = {"more."},
};

struct Row {
    std::string name;
    int64_t size;
    double time;
};

std::string render(std::string_view text, const std::vector<Row> &rows, bool header = false, size_t width = 0)
{
    auto format = OutputFormat::parse(text, fields);
    return format.render(rows.size(),
                         [&](size_t row, std::string_view field) -> FieldValue {
                             if (field == "name")
                                 return rows[row].name;
                             if (field == "size")
                                 return rows[row].size;
                             if (field == "time")
                                 return rows[row].time;
                             return field.starts_with("more.") ? FieldValue(field) : FieldValue();
                         },
                         {.header = header, .width = width});
}

const std::vector<Row> sample_rows {{"beta", 20, 90}, {"alphabet", 3, 0}};

} // namespace

TEST(OutputFormat, pads_aligns_and_cuts)
{
    EXPECT_EQ(render("[{name:<6}|{name:>6}|{name:^6}]", {{"ab", 0, 0}}), "[ab    |    ab|  ab  ]\n");
    EXPECT_EQ(render("{name:4.4}.{name:.3}", {{"alphabet", 0, 0}}), "alph.alp\n");
    EXPECT_EQ(render("{name:<5.5+}", {{"alphabet", 0, 0}}), "alph+\n");
    EXPECT_EQ(render("{name:*<5}", {{"ab", 0, 0}}), "ab***\n");
    EXPECT_EQ(render("{size:5}|{size:<5}|{size:05}", {{"", 42, 0}}), "   42|42   |00042\n");
    EXPECT_EQ(render("{{{name}}}", {{"x", 0, 0}}), "{x}\n");
}

TEST(OutputFormat, shows_numbers_as_python_does)
{
    EXPECT_EQ(render("{time}", {{"", 0, 3600}}), "3600.0\n");
    EXPECT_EQ(render("{time:.2f} {time:g} {size:x}", {{"", 255, 1.5}}), "1.50 1.5 ff\n");
}

TEST(OutputFormat, converts_times_and_shares)
{
    EXPECT_EQ(render("{time!F} {time!H}", {{"", 0, 5400}}), "1.5h 1:30:00\n");
    EXPECT_EQ(render("{time!P}", {{"", 0, 0.5}}), "50%\n");
    EXPECT_EQ(render("{time!D}|", {{"", 0, 0}}), "|\n");
    EXPECT_EQ(render("{time!d:%Y::>6}|", {{"", 0, 1795393847}}), "  2026|\n");
    EXPECT_EQ(render("{time!F:>4h}", {{"", 0, 0}}), "   -\n");
    EXPECT_EQ(render("{empty:h}", {{"", 0, 0}}), "-\n");
}

TEST(OutputFormat, drops_empty_columns_and_grows_others)
{
    EXPECT_EQ(render("{name} ?:{empty:<8} {size}", sample_rows, true), "NAME SIZE\nbeta 20\nalphabet 3\n");
    EXPECT_EQ(render("+:{name:<5} {size}", sample_rows, true), "NAME     SIZE\nbeta     20\nalphabet 3\n");
    EXPECT_EQ(render("?+:{empty} {size:>4}", sample_rows, true), "SIZE\n  20\n   3\n");
}

TEST(OutputFormat, sorts_by_fields_of_the_format_or_the_option)
{
    EXPECT_EQ(render("sort:size {name}", sample_rows), "alphabet\nbeta\n");
    EXPECT_EQ(render("sort:-name {name}", sample_rows), "beta\nalphabet\n");
    EXPECT_THROW(render("sort:nmae {name}", sample_rows), UsageError);
}

TEST(OutputFormat, cuts_whole_lines_at_a_width)
{
    EXPECT_EQ(render("{name:<10}{size}", {{"ab", 42, 0}}, false, 4), "ab\n");
}

TEST(OutputFormat, refuses_what_it_does_not_know_with_the_nearest)
{
    for (const char *bad : {"{name", "name}", "{name!Q}", "{name:<5y}", "{nmae}"})
        EXPECT_THROW(OutputFormat::parse(bad, fields), UsageError) << bad;
    try {
        OutputFormat::parse("{nmae}", fields);
    } catch (const UsageError &error) {
        EXPECT_EQ(error.text(), "rows have no field nmae (did you mean name?)");
    }
    EXPECT_NO_THROW(OutputFormat::parse("{more.anything}", fields));
    EXPECT_THROW(OutputFormat::parse("{name:999999999999}", fields), UsageError); // is not to fill the memory
}

TEST(JobFields, render_the_default_columns)
{
    auto format = OutputFormat::parse(job_formats().find("default")->format, job_fields());
    Json job {{"id", int64_t(42)}, {"userid", 4000000000}, {"name", "a-very-long-name"},
              {"state", 16},       {"ntasks", 4},          {"nnodes", 2},
              {"t_run", 100.0},    {"nodelist", "n[0-1]"}};
    std::string text = render_jobs(format, {job}, 110, {});
    EXPECT_EQ(text.substr(0, text.find('\n')),
              "       JOBID USER       NAME       ST NTASKS NNODES     TIME INFO");
    EXPECT_NE(text.find(" 4000000000 a-very-lo+  R      4      2      10s n[0-1]"), std::string::npos)
        << text;
    job.set("queue", "batch");
    EXPECT_NE(render_jobs(format, {job}, 110, {}).find("QUEUE"), std::string::npos);
}

TEST(JobFields, all_named_formats_are_well_formed)
{
    for (const auto *family : {&job_formats(), &pgrep_formats()})
        for (const auto &format : family->formats)
            EXPECT_NO_THROW(OutputFormat::parse(format.format, job_fields())) << format.name;
}

TEST(JobFields, say_why_a_job_is_where_it_is)
{
    auto info = [](const Json &job) {
        return job_field(job, "contextual_info", 0).text();
    };
    Json job {{"id", 1}, {"state", 8}, {"priority", 0}, {"urgency", 0}};
    EXPECT_EQ(info(job), "held");
    job.set("urgency", 16);
    EXPECT_EQ(info(job), "priority-hold");
    Json failed {{"id", 1}, {"state", 64}, {"result", 2}, {"waitstatus", 3 << 8}, {"t_run", 1.0}};
    EXPECT_EQ(job_field(failed, "inactive_reason", 0).text(), "Exit 3");
    EXPECT_EQ(job_field(failed, "returncode", 0).text(), "3");
    EXPECT_EQ(job_field(failed, "status_abbrev", 0).text(), "F");
    Json canceled {{"id", 1}, {"state", 64}, {"result", 4}, {"exception_note", "no more"}};
    EXPECT_EQ(job_field(canceled, "inactive_reason", 0).text(), "Canceled: no more");
    EXPECT_EQ(job_field(canceled, "returncode", 0).text(), "-128");
}

TEST(JobFields, reach_into_annotations)
{
    Json annotations = Json::parse_or_throw(R"({"sched":{"t_estimate":5},"user":{"uri":"local:///x"}})");
    Json job {{"id", 1}, {"state", 16}, {"annotations", annotations}};
    EXPECT_EQ(job_field(job, "annotations.sched.t_estimate", 0).text(), "5");
    EXPECT_EQ(job_field(job, "sched.t_estimate", 0).text(), "5");
    EXPECT_EQ(job_field(job, "uri", 0).text(), "local:///x");
    EXPECT_EQ(job_field(job, "user.nothing.here", 0).text(), "");
    EXPECT_TRUE(is_instance(job));
}
