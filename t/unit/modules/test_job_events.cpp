#include <gtest/gtest.h>

#include "modules/job-manager/job.hpp"
#include "modules/job-manager/kvs_writer.hpp"

using namespace flux;

namespace {

Event event(std::string name, Json context = {})
{
    return Event {1, std::move(name), std::move(context)};
}
Json exception(int severity, const char *type)
{
    return Json {{"type", type}, {"severity", severity}, {"note", ""}};
}
Job submitted()
{
    Job job;
    EXPECT_TRUE(
        job.apply(event("submit", Json {{"userid", 5}, {"urgency", 16}, {"flags", 0}, {"version", 1}})));
    EXPECT_TRUE(job.apply(event("validate")));
    return job;
}
Job running()
{
    Job job = submitted();
    EXPECT_TRUE(job.apply(event("depend")));
    EXPECT_TRUE(job.apply(event("priority", Json {{"priority", 16}})));
    EXPECT_TRUE(job.apply(event("alloc")));
    return job;
}

TEST(JobEvents, a_job_goes_through_all_states_in_the_order_of_rfc_21)
{
    Job job = submitted();
    EXPECT_EQ(job.state, JobState::depend);
    EXPECT_EQ(job.next_action(), JobAction::post_depend);
    ASSERT_TRUE(job.apply(event("depend")));
    EXPECT_EQ(job.next_action(), JobAction::set_priority);
    ASSERT_TRUE(job.apply(event("priority", Json {{"priority", 16}})));
    EXPECT_EQ(job.next_action(), JobAction::request_alloc);
    ASSERT_TRUE(job.apply(event("alloc")));
    EXPECT_EQ(job.next_action(), JobAction::start);
    job.start_pending = true;
    ASSERT_TRUE(job.apply(event("start")));
    ASSERT_TRUE(job.apply(event("finish", Json {{"status", 0}})));
    EXPECT_EQ(job.state, JobState::cleanup);
    EXPECT_EQ(job.next_action(), JobAction::none);
    ASSERT_TRUE(job.apply(event("release", Json {{"ranks", "0"}, {"final", true}})));
    EXPECT_EQ(job.next_action(), JobAction::free);
    ASSERT_TRUE(job.apply(event("free")));
    EXPECT_EQ(job.next_action(), JobAction::clean);
    ASSERT_TRUE(job.apply(event("clean")));
    EXPECT_EQ(job.state, JobState::inactive);
    EXPECT_EQ(job.result(), JobResult::completed);
}

TEST(JobEvents, events_out_of_order_are_refused_and_change_nothing)
{
    Job job = submitted();
    EXPECT_FALSE(job.apply(event("start")));
    EXPECT_FALSE(job.apply(event("alloc")));
    EXPECT_FALSE(job.apply(event("clean")));
    EXPECT_FALSE(
        job.apply(event("submit", Json {{"userid", 5}, {"urgency", 16}, {"flags", 0}, {"version", 1}})));
    EXPECT_EQ(job.state, JobState::depend);
}

TEST(JobEvents, a_dependency_holds_the_job_until_it_is_removed)
{
    Job job = submitted();
    ASSERT_TRUE(job.apply(event("dependency-add", Json {{"description", "after-x"}})));
    EXPECT_EQ(job.next_action(), JobAction::none);
    EXPECT_FALSE(job.apply(event("depend")));
    ASSERT_TRUE(job.apply(event("dependency-remove", Json {{"description", "after-x"}})));
    EXPECT_EQ(job.next_action(), JobAction::post_depend);
}

TEST(JobEvents, a_severe_exception_cleans_up_from_any_state_and_a_mild_one_changes_nothing)
{
    Job pending = submitted();
    ASSERT_TRUE(pending.apply(event("exception", exception(1, "test"))));
    EXPECT_EQ(pending.state, JobState::depend);
    ASSERT_TRUE(pending.apply(event("exception", exception(0, "cancel"))));
    EXPECT_EQ(pending.next_action(), JobAction::clean);
    EXPECT_EQ(pending.result(), JobResult::canceled);

    Job job = running();
    job.start_pending = true;
    ASSERT_TRUE(job.apply(event("exception", exception(0, "timeout"))));
    EXPECT_EQ(job.next_action(), JobAction::stop);
    ASSERT_TRUE(job.apply(event("exception", exception(0, "cancel"))));
    EXPECT_EQ(job.result(), JobResult::timeout); // the first is the cause
}

TEST(JobEvents, a_held_job_asks_no_resources_and_urgency_sets_a_new_priority)
{
    Job job = submitted();
    ASSERT_TRUE(job.apply(event("depend")));
    ASSERT_TRUE(job.apply(event("priority", Json {{"priority", 0}})));
    EXPECT_EQ(job.next_action(), JobAction::none);
    ASSERT_TRUE(job.apply(event("urgency", Json {{"urgency", 31}, {"userid", 5}})));
    EXPECT_EQ(job.next_action(), JobAction::set_priority);
    EXPECT_EQ(default_priority(job.urgency), 4294967295);
}

TEST(JobEvents, annotations_merge_recursively_and_null_removes)
{
    Json merged = merge_annotations(Json {{"sched", Json {{"a", 1}, {"b", 2}}}},
                                    Json {{"sched", Json {{"a", nullptr}, {"c", 3}}}});
    EXPECT_EQ(merged, (Json {{"sched", Json {{"b", 2}, {"c", 3}}}}));
}

TEST(CommitBatch, appends_to_one_key_share_an_operation_and_order_is_kept)
{
    CommitBatch batch;
    batch.append("a", "1\n");
    batch.put("b", "x");
    batch.append("a", "2\n");
    EXPECT_EQ(batch.size(), 2u);
    Json ops = batch.take();
    EXPECT_EQ(ops[size_t(0)].get<int>("flags"), 32);
    EXPECT_EQ(treeobj::decode_val(ops[size_t(0)]["dirent"]).value(), "1\n2\n");
    EXPECT_TRUE(batch.empty());
}

} // namespace
