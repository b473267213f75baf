#include <gtest/gtest.h>

#include "common/job/queue_config.hpp"

namespace flux {
namespace {

Json jobspec(int nodes, double duration, const char *queue = "")
{
    auto text = fmt::format(R"({{"version":1,"resources":[{{"type":"node","count":{},"with":[{{"type":"slot",
        "count":1,"label":"task","with":[{{"type":"core","count":2}}]}}]}}],"tasks":[{{"command":["true"],
        "slot":"task","count":{{"per_slot":1}}}}],"attributes":{{"system":{{"duration":{}}}}}}})",
                            nodes, duration);
    auto json = Json::parse_or_throw(text);
    if (*queue)
        json.set_path("attributes.system.queue", queue);
    return json;
}

Json config()
{
    return Json::parse_or_throw(R"({"policy":{"jobspec":{"defaults":{"system":{"queue":"batch","duration":"1h"}}},
            "limits":{"duration":"4h","job-size":{"max":{"nnodes":8}}}},
        "queues":{"batch":{"requires":["b"]},
            "debug":{"policy":{"limits":{"duration":"30m","job-size":{"max":{"nnodes":-1},"min":{"nnodes":2}}},
                "jobspec":{"defaults":{"system":{"duration":"10m"}}}}},
            "fast":{"parent":"batch","policy":{"limits":{"duration":"1h"}}}}})");
}

std::string refusal(const QueueConfig &queues, const Json &json)
{
    auto complete = queues.complete(json);
    if (!complete)
        return complete.error().text();
    auto ok = queues.check(value_or_throw(Jobspec::parse(*complete)));
    return ok ? "" : ok.error().text();
}

TEST(QueueConfig, without_configuration_nothing_changes_and_everything_is_allowed)
{
    auto queues = value_or_throw(QueueConfig::from(Json::object()));
    EXPECT_FALSE(queues.named());
    auto json = jobspec(1000, 0);
    EXPECT_EQ(value_or_throw(queues.complete(json)).raw(), json.raw());
    EXPECT_EQ(refusal(queues, json), "");
    EXPECT_EQ(refusal(queues, jobspec(1, 0, "batch")), "Invalid queue 'batch' specified");
}

TEST(QueueConfig, fills_in_the_queue_the_duration_and_the_constraint)
{
    auto queues = value_or_throw(QueueConfig::from(config()));
    auto json = jobspec(1, 0);
    auto system = value_or_throw(queues.complete(json)).at("attributes", "system");
    EXPECT_EQ(system.get<std::string>("queue"), "batch");
    EXPECT_EQ(system.get<double>("duration"), 3600);
    EXPECT_EQ(system["constraints"].dump(), R"({"properties":["b"]})");
    EXPECT_FALSE(json.at("attributes", "system").contains("queue"));
    json.set_path("attributes.system.constraints", Json::parse_or_throw(R"({"properties":["a"]})"));
    EXPECT_EQ(value_or_throw(queues.complete(json)).at("attributes", "system")["constraints"].dump(),
              R"({"properties":["a","b"]})");
    json.set_path("attributes.system.constraints", Json::parse_or_throw(R"({"not":[{"properties":["a"]}]})"));
    EXPECT_EQ(value_or_throw(queues.complete(json)).at("attributes", "system")["constraints"].dump(),
              R"({"and":[{"not":[{"properties":["a"]}]},{"properties":["b"]}]})");
    system = value_or_throw(queues.complete(jobspec(1, 0, "debug"))).at("attributes", "system");
    EXPECT_EQ(system.get<double>("duration"), 600);
    EXPECT_FALSE(system.contains("constraints"));
}

TEST(QueueConfig, refuses_what_is_over_a_limit_and_says_which)
{
    auto queues = value_or_throw(QueueConfig::from(config()));
    EXPECT_EQ(refusal(queues, jobspec(8, 60)), "");
    EXPECT_EQ(refusal(queues, jobspec(9, 60)), "the job asks 9 nodes, but queue batch allows at most 8");
    EXPECT_EQ(refusal(queues, jobspec(9, 60, "debug")), "");
    EXPECT_EQ(refusal(queues, jobspec(1, 60, "debug")), "the job asks 1 nodes, but queue debug wants at least 2");
    EXPECT_EQ(refusal(queues, jobspec(1, 5 * 3600)), "the job's time limit is 5h, but queue batch allows 4h at most");
    EXPECT_EQ(refusal(queues, jobspec(9, 60, "fast")), "the job asks 9 nodes, but queue fast allows at most 8");
    EXPECT_NE(refusal(queues, jobspec(1, 7200, "fast")), "");
    EXPECT_EQ(refusal(queues, jobspec(1, 60, "nope")), "Invalid queue 'nope' specified");
}

TEST(QueueConfig, moving_a_job_takes_the_old_constraint_away)
{
    auto queues = value_or_throw(QueueConfig::from(config()));
    auto json = jobspec(2, 60);
    json.set_path("attributes.system.constraints", Json::parse_or_throw(R"({"properties":["a"]})"));
    auto moved = value_or_throw(queues.move_to(value_or_throw(queues.complete(json)), "debug"));
    EXPECT_EQ(moved.get<std::string>("attributes.system.queue"), "debug");
    EXPECT_EQ(moved["attributes.system.constraints"].dump(), R"({"properties":["a"]})");
    moved = value_or_throw(queues.move_to(value_or_throw(queues.complete(jobspec(2, 60, "debug"))), "batch"));
    EXPECT_EQ(moved["attributes.system.constraints"].dump(), R"({"properties":["b"]})");
    EXPECT_FALSE(queues.move_to(json, "nope"));
}

TEST(QueueConfig, names_what_is_wrong_in_the_configuration)
{
    auto error = [](const char *text) {
        auto queues = QueueConfig::from(Json::parse_or_throw(text));
        return queues ? std::string("fine") : queues.error().text();
    };
    EXPECT_NE(error(R"({"policy":{"limits":{"duration":"x"}}})").find("policy.limits.duration: \"x\""),
              std::string::npos);
    EXPECT_NE(error(R"({"policy":{"limits":{"job-size":{"max":{"nodes":1}}}}})").find("job-size.max.nodes"),
              std::string::npos);
    EXPECT_NE(error(R"({"queues":{"a":{"parent":"b"}}})").find("queues.a.parent: \"b\""), std::string::npos);
    EXPECT_NE(error(R"({"queues":{"a":{}},"policy":{"jobspec":{"defaults":{"system":{"queue":"b"}}}}})")
                  .find("no queue named b"),
              std::string::npos);
}

} // namespace
} // namespace flux
