#include "common/graph/find.hpp"

#include <algorithm>
#include <charconv>
#include <unordered_set>

#include "common/types/hostlist.hpp"

namespace flux::graph {

namespace {

constexpr size_t max_find_depth = 100;

std::string lower(std::string_view text)
{
    std::string out(text);
    for (char &c : out)
        c = char(std::tolower(uint8_t(c)));
    return out;
}

using Set = std::vector<bool>; // by vertex

class Finder {
public:
    Finder(const Matcher &matcher, std::string_view text)
        : matcher_(matcher), graph_(matcher.graph()), text_(text)
    {
        advance();
    }

    Set run()
    {
        Set out = any(0);
        if (!word_.empty())
            bad("the end, or \"and\" or \"or\"");
        return out;
    }

private:
    [[noreturn]] void bad(std::string_view expected)
    {
        throw Error(EINVAL, "find: expected {}{}{}", expected, word_.empty() ? "" : " before ",
                    word_.empty() ? "" : "\"" + word_ + "\"");
    }

    void advance()
    {
        size_t begin = text_.find_first_not_of(" \t");
        text_.remove_prefix(std::min(begin, text_.size()));
        size_t end = 0;
        if (!text_.empty() && (text_[0] == '(' || text_[0] == ')'))
            end = 1;
        else
            end = std::min(text_.find_first_of(" \t()"), text_.size());
        word_ = text_.substr(0, end);
        text_.remove_prefix(end);
    }

    Set any(size_t depth)
    {
        if (depth > max_find_depth)
            bad("fewer parentheses");
        Set out = all(depth);
        while (lower(word_) == "or") {
            advance();
            Set other = all(depth);
            for (size_t v = 0; v < out.size(); v++)
                out[v] = out[v] || other[v];
        }
        return out;
    }

    Set all(size_t depth)
    {
        Set out = one(depth);
        while (!word_.empty() && word_ != ")" && lower(word_) != "or") {
            if (lower(word_) == "and")
                advance();
            Set other = one(depth);
            for (size_t v = 0; v < out.size(); v++)
                out[v] = out[v] && other[v];
        }
        return out;
    }

    Set one(size_t depth)
    {
        if (word_ == "(") {
            advance();
            Set out = any(depth + 1);
            if (word_ != ")")
                bad("\")\"");
            advance();
            return out;
        }
        size_t equal = word_.find('=');
        if (word_.empty() || word_ == ")" || equal == word_.npos)
            bad("a predicate such as status=up");
        std::string key = lower(word_.substr(0, equal)), value = word_.substr(equal + 1);
        Set out = predicate(key, value);
        advance();
        return out;
    }

    template <class Test>
    Set where(const Test &test)
    {
        Set out(graph_.size());
        for (VertexId v = 0; v < graph_.size(); v++)
            out[v] = !graph_[v].removed && test(v);
        return out;
    }

    // The vertices of the jobs that are wanted; `exclusive`: not those that were only passed through.
    template <class Wanted>
    Set used(const Wanted &wanted, bool exclusive)
    {
        Set out(graph_.size());
        for (const auto &[id, use] : matcher_.jobs())
            if (wanted(use))
                for (const auto &one : expanded(graph_, use.allocation))
                    if (one.exclusive || !exclusive)
                        out[one.vertex] = true;
        return out;
    }

    // And all that is below them.
    Set with_below(Set set)
    {
        for (VertexId v = 0; v < set.size(); v++) // parents come before their children
            if (VertexId parent = graph_[v].parent; parent != no_vertex && !graph_[v].removed)
                set[v] = set[v] || set[parent];
        return set;
    }

    // The vertices on the way to what the job has: those that count it.
    Set counting(int64_t id)
    {
        Set out(graph_.size());
        if (const JobUse *use = matcher_.find(id))
            for (const auto &one : expanded(graph_, use->allocation))
                for (VertexId v = graph_[one.vertex].parent; one.exclusive && v != no_vertex && !out[v];
                     v = graph_[v].parent)
                    out[v] = true;
        return out;
    }

    static Set inverse(Set set, const Graph &graph)
    {
        for (VertexId v = 0; v < set.size(); v++)
            set[v] = !set[v] && !graph[v].removed;
        return set;
    }

    Set predicate(const std::string &key, const std::string &value)
    {
        std::string low = lower(value);
        auto choose = [&](std::string_view yes, std::string_view no) {
            if (low == yes)
                return true;
            if (low != no)
                throw Error(EINVAL, "find: {}={}: expected {} or {}", key, value, yes, no);
            return false;
        };
        if (key == "status") {
            bool up = choose("up", "down");
            Set down = with_below(where([&](VertexId v) { return graph_[v].down; }));
            return up ? inverse(std::move(down), graph_) : down;
        }
        if (key == "sched-now" || key == "sched-future") {
            bool future = key == "sched-future";
            bool taken = choose(future ? "reserved" : "allocated", "free");
            Set set = with_below(used([&](const JobUse &use) { return use.reserved == future; }, true));
            return taken ? set : inverse(std::move(set), graph_);
        }
        if (key.starts_with("jobid-")) {
            int64_t id = 0;
            auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), id);
            if (error != std::errc() || end != value.data() + value.size())
                throw Error(EINVAL, "find: {}={}: expected a job id", key, value);
            if (key == "jobid-alloc" || key == "jobid-reserved")
                return used(
                    [&](const JobUse &use) {
                        return use.id == id && use.reserved == (key == "jobid-reserved");
                    },
                    true);
            if (key == "jobid-span")
                return counting(id);
            if (key == "jobid-tag")
                return used([&](const JobUse &use) { return use.id == id; }, false);
        }
        if (key == "agfilter") {
            if (low == "true" || low == "false")
                low.resize(1);
            bool yes = choose("t", "f");
            return where([&](VertexId v) { return (graph_[v].child_count > 0) == yes; });
        }
        if (key == "names") {
            auto hosts = Hostlist::parse(value);
            if (!hosts)
                throw Error(EINVAL, "find: names={}: {}", value, hosts.error().text());
            std::unordered_set<std::string> names;
            for (auto &name : hosts->expand())
                names.insert(std::move(name));
            return where([&](VertexId v) { return names.contains(graph_.name(v)); });
        }
        if (key == "property")
            return where([&](VertexId v) { return graph_.property(v, value) != nullptr; });
        throw Error(EINVAL,
                    "find: unknown predicate \"{}\"; known are status, sched-now, sched-future, jobid-alloc, "
                    "jobid-reserved, jobid-span, jobid-tag, agfilter, names, property",
                    key);
    }

    const Matcher &matcher_;
    const Graph &graph_;
    std::string_view text_;
    std::string word_;
};

} // namespace

Expected<std::vector<VertexId>> find_vertices(const Matcher &matcher, std::string_view expression)
try {
    Set set = Finder(matcher, expression).run();
    std::vector<VertexId> out;
    for (VertexId v = 0; v < set.size(); v++)
        if (set[v])
            out.push_back(v);
    return out;
} catch (const Error &error) {
    return std::unexpected(error);
}

Allocation found_as_allocation(const Matcher &matcher, const std::vector<VertexId> &found, MatchFormat format)
{
    std::vector<Pick> picks;
    for (VertexId v : found)
        picks.push_back({v, matcher.graph()[v].size, true, false});
    Allocation out = make_allocation(matcher.graph(), picks, false);
    if (format == MatchFormat::rlite || format == MatchFormat::rv1_nosched)
        return out; // R lists what was found only
    for (auto &one : out) {
        one.exclusive = true;
        one.covered = false;
    }
    return out;
}

} // namespace flux::graph
