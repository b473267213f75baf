#include <gtest/gtest.h>

#include "modules/job-manager/perilog.hpp"

using namespace flux;

namespace {

std::string error_of(std::string_view text)
{
    try {
        PerilogConfigs::from(Json::parse_or_throw(text));
    } catch (const Error &error) {
        return error.text();
    }
    return "";
}

} // namespace

TEST(Perilog, TakesTheKeysOfTheManualWithTheirDefaults)
{
    auto none = PerilogConfigs::from(Json::object());
    EXPECT_FALSE(none.prolog);
    EXPECT_FALSE(none.epilog);
    auto both = PerilogConfigs::from(Json::parse_or_throw(
        R"({"exec":{"imp":"/imp"},"job-manager":{"prolog":{},"epilog":{"command":["a","b"],"per-rank":true,"timeout":"1m",
            "kill-timeout":2.5,"cancel-on-exception":true,"exit-on-first-error":true},"perilog":{"log-ignore":["^a+$"]}}})"));
    ASSERT_TRUE(both.prolog && both.epilog);
    EXPECT_EQ(both.prolog->command, (std::vector<std::string> {"/imp", "run", "prolog"}));
    EXPECT_FALSE(both.prolog->per_rank);
    EXPECT_EQ(both.prolog->timeout, 1800);
    EXPECT_EQ(both.prolog->kill_timeout, 60);
    EXPECT_TRUE(both.prolog->cancel_on_exception);
    EXPECT_EQ(both.epilog->command, (std::vector<std::string> {"a", "b"}));
    EXPECT_TRUE(both.epilog->per_rank);
    EXPECT_EQ(both.epilog->timeout, 60);
    EXPECT_EQ(both.epilog->kill_timeout, 2.5);
    EXPECT_TRUE(both.epilog->cancel_on_exception);
    EXPECT_FALSE(both.housekeeping);
    ASSERT_EQ(both.log_ignore.size(), 1u);
    EXPECT_TRUE(std::regex_search("aaa", both.log_ignore[0]));
}

TEST(Perilog, HasNoLimitWhereThatIsSaid)
{
    for (const char *none : {"0", "\"0\"", "\"none\"", "\"infinity\""})
        EXPECT_EQ(PerilogConfigs::from(
                      Json::parse_or_throw(fmt::format(
                          R"({{"job-manager":{{"prolog":{{"command":["a"],"timeout":{}}}}}}})", none)))
                      .prolog->timeout,
                  0)
            << none;
}

TEST(Perilog, NamesWhatIsWrongInItsTables)
{
    EXPECT_NE(error_of(R"({"job-manager":{"prolog":{}}})").find("prolog.command is not set"),
              std::string::npos);
    EXPECT_NE(error_of(R"({"job-manager":{"prolog":7}})").find("expected a table"), std::string::npos);
    EXPECT_NE(error_of(R"({"job-manager":{"epilog":{"command":"x"}}})").find("no array of strings"),
              std::string::npos);
    EXPECT_NE(error_of(R"({"job-manager":{"epilog":{"command":[1]}}})").find("no array of strings"),
              std::string::npos);
    EXPECT_NE(error_of(R"({"job-manager":{"epilog":{"command":["x"],"per-rank":"y"}}})")
                  .find("neither true nor false"),
              std::string::npos);
    EXPECT_NE(
        error_of(R"({"job-manager":{"epilog":{"command":["x"],"timeout":"soon"}}})").find("no duration"),
        std::string::npos);
    EXPECT_NE(error_of(R"({"job-manager":{"epilog":{"command":["x"],"comand":1}}})").find("unknown key"),
              std::string::npos);
    EXPECT_NE(error_of(R"({"job-manager":{"perilog":{"log-ignore":["("]}}})").find("no regular expression"),
              std::string::npos);
}

TEST(Perilog, TakesHousekeepingOnEachRankAndReleasesAsIsSaid)
{
    auto after = [](const std::string &text) {
        return PerilogConfigs::from(
                   Json::parse_or_throw(R"({"job-manager":{"housekeeping":{"command":["a"])" + text + "}}}"))
            .housekeeping->release_after;
    };
    EXPECT_EQ(after(""), -1);
    EXPECT_EQ(after(R"(,"release-after":"0")"), 0);
    EXPECT_EQ(after(R"(,"release-after":"1m")"), 60);
    EXPECT_EQ(after(R"(,"release-after":"infinity")"), -1);
    EXPECT_TRUE(
        PerilogConfigs::from(Json::parse_or_throw(R"({"job-manager":{"housekeeping":{"command":["a"]}}})"))
            .housekeeping->per_rank);
    EXPECT_NE(
        error_of(R"({"job-manager":{"housekeeping":{"command":["x"],"timeout":"1s"}}})").find("unknown key"),
        std::string::npos);
}
