#include <gtest/gtest.h>

#include "modules/job-manager/dependencies.hpp"

namespace flux {
namespace {

Expected<Dependency> dependency(const std::string &scheme, const std::string &value)
{
    return Dependency::from(Json {{"scheme", scheme}, {"value", value}});
}

TEST(Dependencies, an_unknown_scheme_and_a_bad_value_are_named)
{
    auto unknown = dependency("afterwards", "f1");
    ASSERT_FALSE(unknown);
    EXPECT_NE(unknown.error().text().find("\"afterwards\" is not supported"), std::string::npos);
    auto id = dependency("afterok", "!!");
    ASSERT_FALSE(id);
    EXPECT_NE(id.error().text().find("afterok:!!"), std::string::npos);
    EXPECT_FALSE(dependency("begin-time", "soon"));
    EXPECT_FALSE(dependency("begin-time", ""));
    EXPECT_FALSE(Dependency::from(Json::array()));
}

TEST(Dependencies, each_kind_judges_the_end_of_its_antecedent)
{
    using Outcome = Dependency::Outcome;
    EndedJob completed {.result = JobResult::completed, .ran = true};
    EndedJob failed {.result = JobResult::failed, .ran = true};
    EndedJob timeout {.result = JobResult::timeout, .ran = true, .excepted = true};
    EndedJob never_ran {.result = JobResult::canceled, .ran = false, .excepted = true};
    struct {
        const char *scheme;
        Outcome completed, failed, timeout, never_ran;
    } rows[] {
        {"afterstart", Outcome::met, Outcome::met, Outcome::met, Outcome::never},
        {"afterany", Outcome::met, Outcome::met, Outcome::met, Outcome::met},
        {"afterok", Outcome::met, Outcome::never, Outcome::never, Outcome::never},
        {"afternotok", Outcome::never, Outcome::met, Outcome::met, Outcome::never},
        {"afterexcept", Outcome::never, Outcome::never, Outcome::met, Outcome::never},
    };
    for (const auto &row : rows) {
        auto it = value_or_throw(dependency(row.scheme, "f1"));
        EXPECT_EQ(it.judge(completed), row.completed) << row.scheme;
        EXPECT_EQ(it.judge(failed), row.failed) << row.scheme;
        EXPECT_EQ(it.judge(timeout), row.timeout) << row.scheme;
        EXPECT_EQ(it.judge(never_ran), row.never_ran) << row.scheme;
    }
}

TEST(Dependencies, a_start_lets_go_only_those_who_wait_for_it)
{
    DependencyIndex index;
    JobId first(1);
    auto start = value_or_throw(dependency("after", "1")), end = value_or_throw(dependency("afterany", "1"));
    index.add(JobId(2), end);
    index.add(JobId(3), start);
    auto let_go = index.started(first);
    ASSERT_EQ(let_go.size(), 1u);
    EXPECT_EQ(let_go[0].dependent, JobId(3));
    EXPECT_TRUE(index.started(first).empty());
    let_go = index.ended(first);
    ASSERT_EQ(let_go.size(), 1u);
    EXPECT_EQ(let_go[0].dependent, JobId(2));
    EXPECT_TRUE(index.ended(first).empty());
}

TEST(Singletons, one_at_a_time_in_order)
{
    Singletons all;
    EXPECT_TRUE(all.add("0:a", JobId(1), true)); // nobody is there
    EXPECT_FALSE(all.add("0:a", JobId(2), true));
    EXPECT_FALSE(all.add("0:a", JobId(3), true));
    EXPECT_TRUE(all.add("0:b", JobId(4), true));
    EXPECT_EQ(all.remove("0:a", JobId(3)), std::nullopt); // cancelled while held
    EXPECT_EQ(all.remove("0:a", JobId(1)), JobId(2));
    EXPECT_EQ(all.remove("0:a", JobId(2)), std::nullopt);
    EXPECT_TRUE(all.add("0:a", JobId(5), true));
}

TEST(Singletons, wait_for_jobs_of_the_name_that_are_none)
{
    Singletons all;
    EXPECT_FALSE(all.add("0:a", JobId(1), false));
    EXPECT_FALSE(all.add("0:a", JobId(2), false));
    EXPECT_FALSE(all.add("0:a", JobId(3), true));
    EXPECT_EQ(all.remove("0:a", JobId(2)), std::nullopt);
    EXPECT_EQ(all.remove("0:a", JobId(1)), JobId(3));
}

} // namespace
} // namespace flux
