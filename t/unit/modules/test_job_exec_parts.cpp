#include <gtest/gtest.h>

#include "common/job/eventlog.hpp"
#include "common/runtime/random.hpp"
#include "modules/job-exec/news.hpp"
#include "modules/job-exec/output_log.hpp"

namespace flux::job_exec {
namespace {

Idset ids(std::string_view text)
{
    return value_or_throw(Idset::parse(text));
}

News started(std::string_view ranks)
{
    News news;
    news.started = ids(ranks);
    return news;
}

News ended(std::string_view ranks, int status = 0)
{
    News news;
    news.ended = ids(ranks);
    news.status = status;
    return news;
}

TEST(JobExecPart, divides_ranks_among_the_children_that_lead_to_them)
{
    Part part(Topology(0, 15, 2), ids("0,3-5,9"));
    EXPECT_TRUE(part.is_here());
    ASSERT_EQ(part.children().size(), 2u);
    EXPECT_EQ(part.children().at(1).format(), "3-4,9");
    EXPECT_EQ(part.children().at(2).format(), "5");
    Part below(Topology(1, 15, 2), ids("3-4,9"));
    EXPECT_FALSE(below.is_here());
    EXPECT_EQ(below.children().at(3).format(), "3");
    EXPECT_EQ(below.children().at(4).format(), "4,9");
}

TEST(JobExecPart, tells_that_it_started_and_ended_once_when_all_ranks_have)
{
    Part part(Topology(0, 3, 2), ids("0-2"));
    part.add(started("0-1"));
    EXPECT_TRUE(part.take().empty());
    part.add(started("2"));
    EXPECT_EQ(part.take().started.format(), "0-2");
    EXPECT_TRUE(part.take().empty());
    part.add(ended("1", 256));
    part.add(ended("0"));
    EXPECT_TRUE(part.take().empty());
    part.add(ended("2"));
    auto news = part.take();
    EXPECT_EQ(news.ended.format(), "0-2");
    EXPECT_EQ(news.status, 256);
    EXPECT_TRUE(part.all_ended());
    EXPECT_TRUE(part.take().empty());
}

TEST(JobExecPart, a_rank_that_ends_before_the_others_start_holds_nobody_up)
{
    Part part(Topology(0, 2, 2), ids("0-1"));
    part.add(ended("1", 9));
    part.add(started("0"));
    EXPECT_EQ(part.take().started.format(), "0");
}

TEST(JobExecPart, input_is_taken_when_every_shell_that_still_reads_has_taken_it)
{
    Part part(Topology(0, 3, 2), ids("0-2"));
    auto taken = [](uint64_t count) {
        News news;
        news.input_taken = count;
        return news;
    };
    part.add(taken(3), 0);
    part.add(taken(1), 1);
    EXPECT_TRUE(part.take().empty());
    part.add(taken(2), 2);
    EXPECT_EQ(part.take().input_taken, 1u);
    EXPECT_TRUE(part.take().empty());
    part.add(ended("1"));
    EXPECT_EQ(part.take().input_taken, 2u);
}

TEST(JobExecPart, what_shells_said_is_counted_by_rank_on_its_way)
{
    News one, other;
    one.said_bytes = {{3, 10}, {4, 1}};
    other.said_bytes = {{3, 5}};
    other.input_taken = 7;
    one.said.push_back(Json {{"type", "log"}});
    one.merge(std::move(other));
    auto back = value_or_throw(News::from_json(one.to_json(JobId(1))));
    EXPECT_EQ(back.said_bytes, (std::map<uint32_t, uint64_t> {{3, 15}, {4, 1}}));
    other.input_taken = 7;
    EXPECT_EQ(value_or_throw(News::from_json(other.to_json(JobId(1)))).input_taken, 7u);
}

TEST(JobExecPart, what_shells_say_is_told_at_once_and_in_order)
{
    Part part(Topology(0, 2, 2), ids("0-1"));
    for (int i = 0; i < 3; i++) {
        News news;
        news.said.push_back(Json {{"type", "output"}, {"n", i}});
        part.add(std::move(news));
    }
    auto news = part.take();
    ASSERT_EQ(news.said.size(), 3u);
    EXPECT_EQ(news.said[2].get<int>("n"), 2);
}

TEST(JobExecPart, a_pmi_exchange_waits_for_every_shell_that_is_left)
{
    Part part(Topology(0, 3, 2), ids("0-2"));
    auto put = [&](uint32_t rank, const char *key) {
        News news;
        news.exchanges[0].ranks.add(rank);
        news.exchanges[0].pairs.set(key, "x");
        part.add(std::move(news));
    };
    put(0, "a");
    put(2, "c");
    EXPECT_TRUE(part.take().exchanges.empty());
    part.add(ended("1", 9));
    auto news = part.take();
    ASSERT_EQ(news.exchanges.size(), 1u);
    EXPECT_EQ(news.exchanges.at(0).ranks.format(), "0-2");
    EXPECT_EQ(news.exchanges.at(0).pairs.size(), 2u);
}

TEST(JobExecPart, a_lost_child_takes_with_it_what_is_behind_it_and_has_not_ended)
{
    Part part(Topology(0, 7, 2), ids("0-4"));
    part.add(started("0-4"));
    part.take();
    part.add(ended("3"));
    part.lose_child(1, "gone");
    auto news = part.take();
    ASSERT_EQ(news.losses.size(), 1u);
    EXPECT_EQ(news.losses[0].ranks.format(), "1,4");
    EXPECT_EQ(news.losses[0].note, "lost contact with ranks 1,4 behind rank 1: gone");
    part.add(ended("0"));
    part.add(ended("2"));
    EXPECT_EQ(part.take().ended.format(), "0-4");
    part.lose_child(2, "gone");
    EXPECT_TRUE(part.take().empty());
}

TEST(JobExecPart, ranks_that_no_broker_has_are_lost_at_once)
{
    Part part(Topology(0, 3, 2), ids("0,5-6"));
    auto news = part.take();
    ASSERT_EQ(news.losses.size(), 1u);
    EXPECT_EQ(news.losses[0].note, "there is no broker of rank 5-6 in this instance, which has 3");
    part.add(ended("0"));
    EXPECT_EQ(part.take().ended.format(), "0,5-6");
}

TEST(JobExecNews, survives_the_way_through_json_and_refuses_nonsense)
{
    News news = started("1-3");
    news.ended = ids("3");
    news.status = 256;
    news.losses.push_back({ids("3"), "why"});
    news.said.push_back(Json {{"type", "event"}});
    news.exchanges[4].ranks = ids("1");
    news.exchanges[4].pairs.set("k", "v");
    auto json = news.to_json(JobId(42));
    auto back = News::from_json(Json::parse_or_throw(json.dump()));
    ASSERT_TRUE(back) << back.error().text();
    EXPECT_EQ(back->to_json(JobId(42)).dump(), json.dump());
    for (const char *bad : {R"({"started":"x"})", R"({"ended":7})", R"({"said":[1]})", R"({"losses":[{}]})",
                            R"({"exchanges":[{"seq":-1}]})", R"({"status":"0"})"})
        EXPECT_FALSE(News::from_json(Json::parse_or_throw(bad))) << bad;
}

// Damaged news is refused or understood, never more.
TEST(JobExecNews, random_damage_does_no_harm)
{
    News news = started("1-3,7");
    news.losses.push_back({ids("3"), "why"});
    news.exchanges[4].pairs.set("k", "v");
    const auto text = news.to_json(JobId(42)).dump();
    Random random(1);
    size_t understood = 0;
    for (int i = 0; i < 20000; i++) {
        auto damaged = text;
        for (uint64_t n = 1 + random.below(3); n; n--)
            damaged[random.below(damaged.size())] = char(random.below(256));
        if (auto json = Json::parse(damaged))
            understood += bool(News::from_json(*json));
    }
    EXPECT_GT(understood, 0u);
}

// Whatever the order in which ranks start, end and are lost, the root hears of one start at most and of one
// end that names every rank.
TEST(JobExecPart, every_history_of_a_tree_ends_once)
{
    for (uint64_t seed = 0; seed < 300; seed++) {
        Random random(seed);
        uint32_t size = uint32_t(2 + random.below(30));
        uint32_t fanout = uint32_t(1 + random.below(4));
        Idset all;
        for (uint32_t rank = 0; rank < size; rank++)
            if (random.chance(0.7))
                all.add(rank);
        if (all.empty())
            continue;
        // One part per broker, as orders would make them.
        std::map<uint32_t, Part> parts;
        std::vector<std::pair<uint32_t, Idset>> todo {{0, all}};
        while (!todo.empty()) {
            auto [rank, below] = todo.back();
            todo.pop_back();
            auto &part = parts.emplace(rank, Part(Topology(rank, size, fanout), below)).first->second;
            for (const auto &[child, ranks] : part.children())
                todo.emplace_back(child, ranks);
        }
        std::set<uint32_t> dead;
        int starts = 0, ends = 0;
        Idset ended_ranks;
        std::function<void(uint32_t)> flush = [&](uint32_t rank) {
            if (dead.contains(rank))
                return;
            auto news = parts.at(rank).take();
            if (news.empty())
                return;
            if (rank == 0) {
                starts += !news.started.empty();
                ends += !news.ended.empty();
                ended_ranks |= news.ended;
                return;
            }
            uint32_t parent = (rank - 1) / fanout;
            if (dead.contains(parent))
                return;
            parts.at(parent).add(std::move(news));
            flush(parent);
        };
        std::function<bool(uint32_t)> reachable = [&](uint32_t rank) {
            return !dead.contains(rank) && (rank == 0 || reachable((rank - 1) / fanout));
        };
        std::vector<uint32_t> running, waiting(all.begin(), all.end());
        while (!waiting.empty() || !running.empty()) {
            if (random.chance(0.05)) {
                uint32_t rank = uint32_t(1 + random.below(size - 1));
                if (parts.contains(rank) && reachable(rank)) {
                    dead.insert(rank);
                    uint32_t parent = (rank - 1) / fanout;
                    parts.at(parent).lose_child(rank, "gone");
                    flush(parent);
                }
            }
            auto &from = running.empty() || (!waiting.empty() && random.chance(0.5)) ? waiting : running;
            size_t at = random.below(from.size());
            uint32_t rank = from[at];
            from.erase(from.begin() + ptrdiff_t(at));
            if (!reachable(rank))
                continue;
            News news;
            if (&from == &waiting) {
                news.started.add(rank);
                running.push_back(rank);
            } else
                news.ended.add(rank);
            parts.at(rank).add(std::move(news));
            flush(rank);
        }
        EXPECT_LE(starts, 1) << seed;
        EXPECT_EQ(ends, 1) << seed;
        EXPECT_EQ(ended_ranks, all) << seed;
    }
}

TEST(JobOutputLog, ends_every_stream_that_nobody_ended)
{
    OutputLog log;
    auto header = value_or_throw(Event::parse(log.begin(1, 2)));
    EXPECT_EQ(header.context["count"].get<int>("stdout"), 2);
    auto line = log.add(2, Json::parse_or_throw(R"({"type":"output","stream":"stdout","rank":1,"data":"x","eof":true})"));
    auto event = value_or_throw(Event::parse(line));
    EXPECT_EQ(event.name, "data");
    EXPECT_EQ(event.context.get<std::string>("rank"), "1");
    auto rest = value_or_throw(parse_eventlog(log.end(3)));
    ASSERT_EQ(rest.size(), 2u);
    EXPECT_EQ(rest[0].context.get<std::string>("stream"), "stderr");
    EXPECT_EQ(rest[0].context.get<std::string>("rank"), "0-1");
    EXPECT_EQ(rest[1].context.get<std::string>("rank"), "0");
    EXPECT_EQ(log.end(4), "");
}

TEST(JobOutputLog, goes_on_with_what_was_written)
{
    OutputLog first, second;
    auto text = first.begin(1, 2);
    text += first.add(2, Json::parse_or_throw(R"({"type":"output","stream":"stdout","rank":1,"eof":true})"));
    for (const auto &event : value_or_throw(parse_eventlog(text)))
        second.resume(event);
    auto rest = first.end(3);
    EXPECT_EQ(second.end(3), rest);
}

} // namespace
} // namespace flux::job_exec
