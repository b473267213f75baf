#include <gtest/gtest.h>

#include "common/types/constraint.hpp"

using namespace flux;

namespace {

struct Target : ConstraintTarget {
    std::vector<std::string> properties;
    std::string host;
    uint32_t number;
    Target(std::vector<std::string> properties, std::string host, uint32_t number)
        : properties(std::move(properties)), host(std::move(host)), number(number)
    {
    }
    bool has_property(std::string_view name) const override
    {
        return std::ranges::find(properties, name) != properties.end();
    }
    std::string_view hostname() const override { return host; }
    uint32_t rank() const override { return number; }
};

const Target ssd({"ssd"}, "host0", 0), huge({"huge"}, "host1", 1), slow({"ssd", "slowgpu"}, "host2", 2);

// Which of the three match, as a string of ranks.
std::string matching(std::string_view json)
{
    auto constraint = value_or_throw(compile_resource_constraint(Json::parse_or_throw(json)));
    std::string out;
    for (const auto *target : {&ssd, &huge, &slow})
        if (constraint.match(*target))
            out += std::to_string(target->number);
    return out;
}

} // namespace

TEST(Constraint, TheExamplesOfTheRfcSelectWhatTheySay)
{
    EXPECT_EQ(matching(R"({"properties":["ssd"]})"), "02");
    EXPECT_EQ(matching(R"({"properties":["^slowgpu"]})"), "01");
    EXPECT_EQ(matching(R"({"not":[{"properties":["slowgpu"]}]})"), "01");
    EXPECT_EQ(matching(R"({"or":[{"properties":["ssd"]},{"properties":["huge"]}]})"), "012");
    EXPECT_EQ(matching(R"({"hostlist":["host[0-1]"]})"), "01");
    EXPECT_EQ(matching(R"({"not":[{"hostlist":["host[0-1]"]}]})"), "2");
    EXPECT_EQ(matching(R"({"and":[{"hostlist":["host[0-1]"]},{"properties":["ssd"]}]})"), "0");
    EXPECT_EQ(matching(R"({"ranks":["0"]})"), "0");
    EXPECT_EQ(matching(R"({"not":[{"properties":["ssd","slowgpu"]}]})"), "01");
}

TEST(Constraint, EmptyConditionsMatchAllOrNothing)
{
    EXPECT_EQ(matching("{}"), "012");
    EXPECT_EQ(matching(R"({"or":[]})"), "012");
    EXPECT_EQ(matching(R"({"and":[]})"), "012");
    EXPECT_EQ(matching(R"({"not":[]})"), "");
    EXPECT_EQ(matching(R"({"ranks":[]})"), "");
    EXPECT_EQ(matching(R"({"ranks":["0-1"],"properties":["huge"]})"), "1");
    EXPECT_TRUE(ResourceConstraint().match(ssd));
    EXPECT_TRUE(ResourceConstraint().matches_anything());
}

TEST(Constraint, ABadConstraintIsRefusedWithASentence)
{
    for (auto text :
         {"[]", "1", R"({"properties":"ssd"})", R"({"properties":[1]})", R"({"colour":["red"]})",
          R"({"and":["ssd"]})", R"({"hostlist":["a[1"]})", R"({"ranks":["x"]})", R"({"ranks":[0]})",
          R"({"properties":["a&b"]})", R"({"properties":[""]})", R"({"not":{"ranks":["0"]}})"}) {
        auto result = validate_resource_constraint(Json::parse_or_throw(text));
        ASSERT_FALSE(result) << text;
        EXPECT_EQ(result.error().errnum(), EINVAL) << text;
    }
    EXPECT_EQ(validate_resource_constraint(Json::parse_or_throw(R"({"colour":["red"]})")).error().text(),
              "unknown constraint operator \"colour\" (use hostlist, properties, ranks, and, or, not)");
    std::string deep;
    for (int i = 0; i < 100; i++)
        deep += R"({"not":[)";
    deep += R"({})";
    for (int i = 0; i < 100; i++)
        deep += "]}";
    EXPECT_FALSE(validate_resource_constraint(Json::parse_or_throw(deep)));
}

TEST(Constraint, AModuleCanBringItsOwnOperatorsAndCountComparisons)
{
    struct Job {
        int64_t userid;
        double t_submit;
    };
    ConstraintOperators<Job> operators;
    operators["userid"] = [](std::string_view, const Json &values) -> Expected<ConstraintTest<Job>> {
        auto ids = values.as<std::vector<int64_t>>();
        return [ids](const Job &job) {
            return std::ranges::find(ids, job.userid) != ids.end();
        };
    };
    operators["t_submit"] = [](std::string_view, const Json &values) -> Expected<ConstraintTest<Job>> {
        auto text = values[size_t(0)].as<std::string>();
        if (!text.starts_with('>'))
            return fail(EINVAL, "t_submit: expected a comparison");
        return [after = std::stod(text.substr(1))](const Job &job) {
            return job.t_submit > after;
        };
    };
    auto json = Json::parse_or_throw(R"({"and":[{"userid":[42]},{"t_submit":[">946713600.0"]}]})");
    auto constraint = value_or_throw(Constraint<Job>::compile(json, operators));
    uint64_t comparisons = 0;
    EXPECT_TRUE(constraint.match({42, 1e9}, &comparisons));
    EXPECT_EQ(comparisons, 2u);
    EXPECT_FALSE(constraint.match({43, 1e9}, &comparisons));
    EXPECT_EQ(comparisons, 3u);
    EXPECT_FALSE(Constraint<Job>::compile(Json::parse_or_throw(R"({"userid":["x"]})"), operators));
}

TEST(ConstraintQuery, TheExamplesOfTheRfcCompile)
{
    auto compiled = [](std::string_view text) {
        return value_or_throw(parse_constraint_query(text, {.default_operator = "name"})).dump();
    };
    EXPECT_EQ(compiled("foo"), R"({"name":["foo"]})");
    EXPECT_EQ(compiled("foo bar"), R"({"and":[{"name":["foo"]},{"name":["bar"]}]})");
    EXPECT_EQ(compiled("foo bar state:started"),
              R"({"and":[{"name":["foo"]},{"name":["bar"]},{"state":["started"]}]})");
    EXPECT_EQ(compiled("a|b|c"), R"({"or":[{"name":["a"]},{"name":["b"]},{"name":["c"]}]})");
    EXPECT_EQ(compiled("a|b&c"), R"({"or":[{"name":["a"]},{"and":[{"name":["b"]},{"name":["c"]}]}]})");
    EXPECT_EQ(compiled("(a|b)&c"), R"({"and":[{"or":[{"name":["a"]},{"name":["b"]}]},{"name":["c"]}]})");
    EXPECT_EQ(compiled("(a|-b)&c"),
              R"({"and":[{"or":[{"name":["a"]},{"not":[{"name":["b"]}]}]},{"name":["c"]}]})");
    EXPECT_EQ(compiled("a or b and c"), compiled("a||b&&c"));
    EXPECT_EQ(compiled("not(a) b"), R"({"and":[{"not":[{"name":["a"]}]},{"name":["b"]}]})");
    EXPECT_EQ(compiled("foo:'this is args'"), R"({"foo":["this is args"]})");
    EXPECT_EQ(compiled("'and'"), R"({"name":["and"]})");
    EXPECT_EQ(compiled("t:>=1:2 android"), R"({"and":[{"t":[">=1:2"]},{"name":["android"]}]})");
    EXPECT_FALSE(value_or_throw(parse_constraint_query("  ", {})));
}

TEST(ConstraintQuery, RequiresUnderstandsTheManualsExamples)
{
    auto compiled = [](std::string_view text) {
        return value_or_throw(parse_resource_query(text)).dump();
    };
    EXPECT_EQ(compiled("a,b,c"), R"({"properties":["a","b","c"]})");
    EXPECT_EQ(compiled("b or not c"), compiled("b|-c"));
    EXPECT_EQ(compiled("host:fluke[1-5]"), R"({"hostlist":["fluke[1-5]"]})");
    EXPECT_EQ(compiled("-host:fluke7"), R"({"not":[{"hostlist":["fluke7"]}]})");
    EXPECT_EQ(compiled("rank:0"), R"({"ranks":["0"]})");
    EXPECT_EQ(compiled("^slow"), R"({"properties":["^slow"]})");
    for (auto text : {"rank:x", "colour:red", "a,,b", "host:a[1"})
        EXPECT_FALSE(parse_resource_query(text)) << text;
}

TEST(ConstraintQuery, ASyntaxErrorSaysTheColumn)
{
    ConstraintQuery syntax {.default_operator = "name"};
    for (auto text :
         {"-(a|b)", "(a", "a)", "a|", "&a", "a b|", "not", "()", ":x", "a:", "'a", "a and and b", "-", "|"}) {
        auto result = parse_constraint_query(text, syntax);
        ASSERT_FALSE(result) << text;
        EXPECT_NE(result.error().text().find("column"), std::string::npos) << result.error().text();
    }
    EXPECT_EQ(parse_constraint_query("a (b", syntax).error().text(),
              "constraint \"a (b\": column 5: expected )");
    EXPECT_FALSE(parse_constraint_query("a", {}));
    EXPECT_FALSE(parse_constraint_query(std::string(1000, '('), syntax));
}
