// Which vertices a policy chooses, on machines whose ids repeat and that are in use:
// t/data/graph/choices.json holds what command files got that were recorded elsewhere.
#include "unit/graph/graph_help.hpp"

#include "common/graph/emit.hpp"
#include "common/graph/matcher.hpp"

using namespace flux;
using namespace flux::graph;

namespace {

// "cluster0(node0(core0 core1) node1(core0 core1))"
Graph parse_machine(std::string_view text)
{
    Graph graph;
    std::vector<VertexId> above {no_vertex};
    VertexId last = no_vertex;
    int rank = 0;
    while (!text.empty()) {
        if (text[0] == '(')
            above.push_back(last);
        else if (text[0] == ')')
            above.pop_back();
        if (!std::isalpha(text[0])) {
            text.remove_prefix(1);
            continue;
        }
        size_t digits = text.find_first_of("0123456789");
        std::string_view type = text.substr(0, digits);
        size_t end = std::min(text.size(), text.find_first_not_of("0123456789", digits));
        int64_t id = std::stoll(std::string(text.substr(digits, end - digits)));
        last = graph.add(above.back(), {.type = type, .id = id, .rank = type == "node" ? rank++ : -1});
        text.remove_prefix(end);
    }
    graph.finish();
    return graph;
}

std::string chosen(const Graph &graph, const JobUse &use)
{
    std::string out;
    for (const auto &one : expanded(graph, use.allocation))
        out += (out.empty() ? "" : " ") + graph.name(one.vertex) + (one.exclusive ? "!" : "");
    return out;
}

} // namespace

TEST(Choices, AreThoseThatWereRecorded)
{
    Json cases = Json::parse_or_throw(read_file("data/graph/choices.json"));
    size_t compared = 0;
    for (auto one : cases.elements()) {
        Matcher matcher(parse_machine(one["machine"].string_view()),
                        {.policy = value_or_throw(Policy::parse(one["policy"].string_view()))});
        int64_t id = 0;
        for (auto step : one["steps"].elements()) {
            if (auto job = step.find<int64_t>("cancel")) {
                (void)matcher.cancel(*job); // some have found nothing
                continue;
            }
            Json resources = one["requests"][size_t(step.get<int>("request"))];
            auto request = request_of(matcher.graph(), resources.dump(),
                                      fmt::format(R"({{"duration":{}}})", step.get<int>("duration")));
            auto op = parse_match_op(step["op"].string_view());
            auto match = matcher.match(*op, ++id, request, 0);
            auto where = fmt::format("{} on {}: job {}, {}", one["policy"].string_view(),
                                     one["machine"].string_view(), id, resources.dump());
            ASSERT_EQ(match.has_value(), bool(step["chosen"])) << where;
            if (!match)
                continue;
            ASSERT_EQ(chosen(matcher.graph(), match->use), step["chosen"].string_view()) << where;
            ASSERT_EQ(match->use.start, step.get<int64_t>("at")) << where;
            compared++;
        }
    }
    EXPECT_GT(compared, 200u);
}
