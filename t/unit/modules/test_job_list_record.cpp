#include <gtest/gtest.h>

#include "modules/job-list/record.hpp"

namespace flux::job_list {
namespace {

struct OneJob {
    Pool pool;
    Record record;
    OneJob() { record.id = JobId(42); }
    void event(double time, const char *name, const char *context = nullptr)
    {
        auto taken = record.take_event(
            pool, Event {time, name, context ? Json::parse_or_throw(context) : Json()});
        EXPECT_TRUE(taken) << taken.error().text();
    }
    void run(int status = 0)
    {
        record.take_jobspec(pool, Json::parse_or_throw(R"({"version":1,"resources":[{"type":"slot","count":2,
            "label":"task","with":[{"type":"core","count":3}]}],"tasks":[{"command":["app"],"slot":"task",
            "count":{"per_slot":1}}],"attributes":{"system":{"duration":60,"queue":"batch","cwd":"/tmp"}}})"));
        event(1, "submit", R"({"userid":7,"urgency":16,"flags":0,"version":1})");
        event(2, "validate");
        event(3, "depend");
        event(4, "priority", R"({"priority":16})");
        record.take_R(pool, Json::parse_or_throw(R"({"version":1,"execution":{"R_lite":[{"rank":"2-3",
            "children":{"core":"0-2"}}],"nodelist":["n[2-3]"],"starttime":5,"expiration":65}})"));
        event(5, "alloc", R"({"annotations":{"sched":{"x":1}}})");
        event(6, "start");
        event(7, "finish", fmt::format(R"({{"status":{}}})", status).c_str());
        event(8, "release", R"({"ranks":"all","final":true})");
        event(9, "free");
        event(10, "clean");
    }
};

TEST(JobRecord, tells_every_attribute_of_a_job_that_ran)
{
    OneJob job;
    job.run();
    EXPECT_EQ(row(job.record, {"all"}).dump(),
              R"({"id":42,"userid":7,"urgency":16,"priority":16,"t_submit":1.0,"t_depend":2.0,"t_priority":3.0,)"
              R"("t_sched":4.0,"t_run":5.0,"t_cleanup":7.0,"t_inactive":10.0,"state":64,"name":"app","cwd":"/tmp",)"
              R"("queue":"batch","ntasks":2,"ncores":6,"duration":60.0,"nnodes":2,"ranks":"[2-3]","nodelist":"n[2-3]",)"
              R"("success":true,"exception_occurred":false,"result":1,"expiration":65.0,)"
              R"("annotations":{"sched":{"x":1}},"waitstatus":0})");
    EXPECT_THROW(row(job.record, {"no-such"}), Error);
}

TEST(JobRecord, counts_tasks_of_each_node_or_core_when_it_knows_what_the_job_got)
{
    for (auto [type, ntasks] : {std::pair("node", 6), std::pair("core", 18)}) {
        OneJob job;
        job.record.take_jobspec(
            job.pool,
            Json::parse_or_throw(fmt::format(
                R"({{"version":1,"resources":[{{"type":"slot","count":6,"label":"task","with":[{{"type":"core",
            "count":1}}]}}],"tasks":[{{"command":["app"],"slot":"task","count":{{"per_slot":1}}}}],
            "attributes":{{"system":{{"duration":0,"shell":{{"options":{{"per-resource":{{"type":"{}",
            "count":3}}}}}}}}}}}})",
                type)));
        EXPECT_EQ(job.record.ntasks, type == std::string_view("core") ? 18u : 0u); // 6 cores are asked for
        job.record.take_R(job.pool, Json::parse_or_throw(R"({"version":1,"execution":{"R_lite":[{"rank":"2-3",
            "children":{"core":"0-2"}}],"nodelist":["n[2-3]"],"starttime":5,"expiration":65}})"));
        EXPECT_EQ(job.record.ntasks, ntasks);
    }
}

TEST(JobRecord, keeps_the_worst_exception)
{
    OneJob job;
    job.event(1, "submit", R"({"userid":7,"urgency":16,"flags":0,"version":1})");
    job.event(2, "validate");
    job.event(3, "exception", R"({"type":"mild","severity":4,"note":"a"})");
    EXPECT_EQ(job.record.state, JobState::depend);
    job.event(4, "exception", R"({"type":"cancel","severity":0,"note":"b"})");
    job.event(5, "exception", R"({"type":"late","severity":0,"note":"c"})");
    job.event(6, "clean");
    EXPECT_EQ(row(job.record, {"exception_type", "exception_note", "result", "success"}).dump(),
              R"({"id":42,"exception_type":"cancel","exception_note":"b","result":4,"success":false})");
}

TEST(JobRecord, shows_dependencies_while_there_are_any)
{
    OneJob job;
    job.event(1, "submit", R"({"userid":7,"urgency":16,"flags":0,"version":1})");
    job.event(2, "validate");
    job.event(2, "dependency-add", R"({"description":"after-finish=f1"})");
    EXPECT_EQ(row(job.record, {"dependencies"}).dump(), R"({"id":42,"dependencies":["after-finish=f1"]})");
    job.event(3, "dependency-remove", R"({"description":"after-finish=f1"})");
    EXPECT_EQ(row(job.record, {"dependencies"}).dump(), R"({"id":42})");
}

TEST(JobRecord, the_last_memo_is_shown_and_earlier_ones_stay)
{
    OneJob job;
    auto user = [&] {
        return row(job.record, {"annotations"})["annotations"]["user"].dump();
    };
    job.event(1, "memo", R"({"a":1})");
    job.event(2, "annotations", R"({"annotations":{"user":{"b":2}}})");
    EXPECT_EQ(user(), R"({"a":1,"b":2})");
    job.event(3, "annotations", R"({"annotations":{"user":{"b":3}}})");
    EXPECT_EQ(user(), R"({"a":1,"b":3})");
    job.event(4, "annotations", R"({"annotations":{"user":{"b":null}}})");
    EXPECT_EQ(user(), R"({"a":1})");
    job.event(5, "annotations", R"({"annotations":{"sched":{"x":1}}})");
    EXPECT_EQ(user(), R"({"a":1})");
}

TEST(JobRecord, is_small_and_shares_its_texts)
{
    OneJob job;
    job.run();
    EXPECT_LE(sizeof(Record), 320u);
    size_t texts = job.pool.size();
    Record other;
    {
        Record same;
        same.take_jobspec(job.pool, Json::parse_or_throw(R"({"version":1,"resources":[{"type":"slot","count":2,
            "label":"task","with":[{"type":"core","count":3}]}],"tasks":[{"command":["app"],"slot":"task",
            "count":{"per_slot":1}}],"attributes":{"system":{"duration":60,"queue":"batch","cwd":"/tmp"}}})"));
        EXPECT_EQ(job.pool.size(), texts);
    }
    job.record = Record();
    EXPECT_EQ(job.pool.size(), 0u);
}

TEST(JobRecord, matches_the_constraints_of_RFC_43)
{
    OneJob job;
    job.run(256);
    auto operators = constraint_operators({{"batch", "parent"}});
    auto matches = [&](const char *text) {
        return value_or_throw(Constraint<Record>::compile(Json::parse_or_throw(text), operators)).match(job.record);
    };
    for (const char *yes : {R"({"userid":[7]})", R"({"userid":[-1]})", R"({"states":[64]})",
                            R"({"states":["inactive"]})", R"({"results":["failed"]})", R"({"results":[2]})",
                            R"({"name":["x","app"]})", R"({"queue":["batch"]})", R"({"queue":["parent"]})",
                            R"({"hostlist":["n[3-9]"]})", R"({"ranks":["0,3"]})", R"({"t_submit":[">0.5"]})",
                            R"({"t_run":["<=5"]})", R"({"not":[{"userid":[8]}]})",
                            R"({"and":[{"userid":[7]},{"or":[{"name":["b"]},{"states":["run","inactive"]}]}]})"})
        EXPECT_TRUE(matches(yes)) << yes;
    for (const char *no : {R"({"userid":[8]})", R"({"states":["run"]})", R"({"results":["completed"]})",
                           R"({"hostlist":["m3"]})", R"({"ranks":["4"]})", R"({"t_inactive":["<10"]})"})
        EXPECT_FALSE(matches(no)) << no;
    for (const char *bad : {R"({"t_run":["5"]})", R"({"t_run":[">x"]})", R"({"states":["x"]})", R"({"ranks":["x"]})",
                            R"({"nope":[1]})", R"({"userid":["a"]})"})
        EXPECT_FALSE(Constraint<Record>::compile(Json::parse_or_throw(bad), operators)) << bad;
}

} // namespace
} // namespace flux::job_list
