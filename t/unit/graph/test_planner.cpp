// The planner against an array of seconds.
#include <gtest/gtest.h>

#include <array>
#include <random>

#include "common/graph/planner.hpp"
#include "common/graph/profile.hpp"

using namespace flux::graph;

namespace {

constexpr Time horizon = 200;

struct UsedSpan {
    Time start;
    Time end;
    std::array<int64_t, 2> amounts;
};

struct UseBySecond { // what is used at each second
    std::array<std::array<int64_t, 2>, 3 * horizon> used {};
    void add(const UsedSpan &span, int sign)
    {
        for (Time t = span.start; t < std::min<Time>(span.end, 3 * horizon); t++)
            for (size_t dim = 0; dim < 2; dim++)
                used[size_t(t)][dim] += sign * span.amounts[dim];
    }
    bool fits(Time start, Time end, const std::array<int64_t, 2> &limits) const
    {
        for (Time t = start; t < end; t++)
            for (size_t dim = 0; dim < 2; dim++)
                if (used[size_t(t)][dim] > limits[dim])
                    return false;
        return true;
    }
};

} // namespace

TEST(Planner, AnswersAsAnArrayOfSecondsDoes)
{
    std::mt19937 random(4711);
    for (int round = 0; round < 30; round++) {
        Planner planner(2);
        UseBySecond model;
        std::vector<UsedSpan> spans;
        for (int step = 0; step < 200; step++) {
            if (!spans.empty() && random() % 3 == 0) {
                size_t at = random() % spans.size();
                planner.remove(spans[at].start, spans[at].end, spans[at].amounts);
                model.add(spans[at], -1);
                spans.erase(spans.begin() + long(at));
            } else {
                Time start = Time(random() % horizon);
                UsedSpan span {
                    start, start + Time(random() % 40), {int64_t(random() % 5), int64_t(random() % 3)}};
                if (random() % 20 == 0)
                    span.end = Planner::forever;
                planner.add(span.start, span.end, span.amounts);
                model.add(span, 1);
                spans.push_back(span);
            }
            Time from = Time(random() % horizon);
            Time duration = 1 + Time(random() % 60);
            std::array<int64_t, 2> limits {int64_t(random() % 12), int64_t(random() % 8)};
            ASSERT_EQ(planner.used(from, 1), model.used[size_t(from)][1]);
            ASSERT_EQ(planner.fits(from, from + duration, limits), model.fits(from, from + duration, limits));
            int64_t most = 0;
            for (Time t = from; t < from + duration; t++)
                most = std::max(most, model.used[size_t(t)][0]);
            ASSERT_EQ(planner.most_used(from, from + duration), most);
            Time expected = from;
            while (expected < horizon + 100 && !model.fits(expected, expected + duration, limits))
                expected++;
            auto found = planner.earliest(from, duration, limits);
            if (expected < horizon + 100)
                ASSERT_EQ(found, expected);
            else
                ASSERT_FALSE(found);
        }
    }
}

TEST(Planner, IsEmptyAgainWhenAllSpansAreGone)
{
    std::mt19937 random(7);
    Planner planner;
    std::vector<std::pair<Time, Time>> spans;
    for (int i = 0; i < 10000; i++) {
        Time start = Time(random() % 100000);
        spans.emplace_back(start, start + 1 + Time(random() % 1000));
        planner.add(spans.back().first, spans.back().second, i);
    }
    EXPECT_LE(planner.points(), 20000u);
    for (int i = 0; i < 10000; i++)
        planner.remove(spans[size_t(i)].first, spans[size_t(i)].second, i);
    EXPECT_TRUE(planner.empty());
    EXPECT_EQ(planner.used(50000), 0);
    EXPECT_FALSE(planner.next_change(-1));
}

TEST(Planner, FindsWhatIsNeverFree)
{
    Planner planner;
    planner.add(10, Planner::forever, 3);
    EXPECT_EQ(planner.earliest(0, 10, 2), 0);
    EXPECT_FALSE(planner.earliest(0, 11, 2));
    EXPECT_EQ(planner.earliest(0, Planner::forever, 3), 0);
}

TEST(Profile, AnswersAsThePlannerDoes)
{
    std::mt19937 random(77);
    for (int round = 0; round < 30; round++) {
        Planner planner;
        Profile profile;
        Time now = 0;
        std::vector<std::array<Time, 3>> spans; // start, end, amount
        for (int step = 0; step < 500; step++) {
            if (!spans.empty() && random() % 3 == 0) {
                size_t at = random() % spans.size();
                auto [start, end, amount] = spans[at];
                planner.remove(start, end, amount);
                profile.add(start, end, -amount);
                spans.erase(spans.begin() + long(at));
            } else {
                Time start = now + Time(random() % 400), end = start + 1 + Time(random() % 60);
                auto amount = Time(random() % 5);
                planner.add(start, end, amount);
                profile.add(start, end, amount);
                spans.push_back({start, end, amount});
            }
            if (random() % 50 == 0) {
                now += Time(random() % 20);
                std::erase_if(spans,
                              [&](const auto &span) { return span[0] < now; }); // those stay as they are
                profile.forget_before(now);
            }
            Time from = now + Time(random() % 300), duration = 1 + Time(random() % 80);
            auto limit = int64_t(random() % 12);
            ASSERT_EQ(profile.used(from), planner.used(from));
            auto rises = profile.rises(from, limit);
            auto after = std::ranges::lower_bound(rises, duration, {}, &std::pair<Time, int64_t>::first);
            int64_t most = (after - 1)->second;
            ASSERT_EQ(std::min(most, limit + 1),
                      std::min(planner.most_used(from, from + duration), limit + 1));
            ASSERT_EQ(profile.earliest(from, duration, limit), planner.earliest(from, duration, limit));
        }
    }
}
