// Why a request did not match: what it needs, what the machine has, and in which state that is.
#include <algorithm>
#include <chrono>
#include <ctime>

#include "common/graph/matcher.hpp"
#include "common/graph/units.hpp"

namespace flux::graph {

namespace {

// The resource that decides: the first node (or rack, ...) of the request, else what a slot needs most of.
struct Wanted {
    const Request *request;
    int64_t count; // vertices or units, of all slots together
};

void collect(const std::vector<Request> &list, int64_t times, bool in_slot, std::vector<Wanted> &out)
{
    for (const auto &one : list) {
        int64_t count;
        if (__builtin_mul_overflow(times, int64_t(std::min<uint64_t>(one.count.min(), Count::max_value)),
                                   &count))
            count = int64_t(Count::max_value);
        if (one.kind == Request::Kind::resource)
            out.push_back({&one, count});
        collect(one.with, count, in_slot || one.kind != Request::Kind::resource, out);
    }
}

std::string plural(int64_t count, std::string_view word)
{
    return fmt::format("{} {}{}", count, word, count == 1 || word.ends_with("s") ? "" : "s");
}

std::string clock_time(Time at)
{
    // Small numbers are seconds of an offline clock, not of a calendar.
    if (at < 1'000'000'000)
        return fmt::format("{}", at);
    std::time_t seconds = at;
    std::tm local {};
    ::localtime_r(&seconds, &local);
    char text[32];
    std::strftime(text, sizeof text, "%H:%M", &local);
    return text;
}

std::string condition(const Json &constraint)
{
    if (Json properties = constraint["properties"]; properties.is_array() && constraint.size() == 1) {
        std::string out;
        for (auto one : properties.elements()) {
            std::string_view name = one.string_view();
            bool negated = name.starts_with('^');
            out += fmt::format("{}{} {}", out.empty() ? "" : " and ",
                               negated ? "without property" : "with property", name.substr(negated));
        }
        return " " + out;
    }
    return " that satisfy " + constraint.dump();
}

} // namespace

std::string Matcher::explain(const JobRequest &request, Time now) const
{
    std::vector<Wanted> wanted;
    collect(request.resources, 1, false, wanted);
    if (wanted.empty())
        return "the request names no resources";
    ResourceConstraint constraint;
    bool constrained = bool(request.constraint) && request.constraint.size() > 0;
    if (constrained) {
        auto compiled = compile_resource_constraint(request.constraint);
        if (!compiled)
            return compiled.error().text();
        constraint = std::move(*compiled);
    }
    Time duration = request.duration ? request.duration : std::max<Time>(options_.graph_end - now, 1);
    Window window {now, now + duration, true};
    std::string first;
    for (const auto &[one, count] : wanted) {
        int64_t all = 0, free = 0, allocated = 0, reserved = 0;
        std::map<std::string, int64_t> down;
        Time next_free = Planner::forever;
        for (VertexId v = 0; v < graph_.size(); v++) {
            const Vertex &vertex = graph_[v];
            if (vertex.type != one->type || vertex.removed)
                continue;
            if (constrained) {
                VertexId host = v;
                while (host != no_vertex && !graph_.is_host(graph_[host].type))
                    host = graph_[host].parent;
                if (host != no_vertex && !satisfies(graph_, host, constraint))
                    continue;
            }
            auto converted = unit_ratio(graph_.unit_of(v), one->unit);
            if (!converted)
                continue;
            UnitRatio ratio = *converted;
            int64_t size = ratio.to_request(vertex.size);
            all += size;
            const std::string *reason = nullptr;
            bool up = true;
            VertexId user = no_vertex;
            for (VertexId at = v; at != no_vertex; at = graph_[at].parent) {
                if (graph_[at].down && up) {
                    up = false;
                    reason = graph_.property(at, "drain_reason");
                }
                if (user == no_vertex && !schedule_.open(at, window))
                    user = at;
            }
            if (!up) {
                down[reason ? *reason : ""] += size;
                continue;
            }
            bool busy = user != no_vertex || !schedule_.untouched(v, window);
            if (divisible_[vertex.type] && user == no_vertex) {
                int64_t left = ratio.to_request(schedule_.free_part(v, window));
                free += left;
                allocated += size - left;
                continue;
            }
            if (!busy || (vertex.child_count > 0 && user == no_vertex && !one->with.empty())) {
                free += size;
                continue;
            }
            bool running = false;
            for (const auto &span : schedule_.users(user == no_vertex ? v : user)) {
                running = running || !span.reserved;
                if (span.overlaps(window))
                    next_free = std::min(next_free, std::max(span.end, now));
            }
            (running || user == no_vertex ? allocated : reserved) += size;
        }
        std::string word = one->unit.empty()
                               ? graph_.type_name(one->type)
                               : fmt::format("{} of {}", one->unit, graph_.type_name(one->type));
        std::string needs = fmt::format(
            "needs {}{}", one->unit.empty() ? plural(count, word) : fmt::format("{} {}", count, word),
            constrained ? condition(request.constraint) : "");
        if (all < count && one->exclusive != false)
            return fmt::format("{}: the machine has {}", needs, all);
        std::string text = fmt::format("{}: {} free", needs, free);
        if (allocated > 0)
            text += fmt::format(
                ", {} allocated{}", allocated,
                next_free == Planner::forever ? "" : fmt::format(" (next free {})", clock_time(next_free)));
        if (reserved > 0)
            text += fmt::format(", {} reserved for other jobs", reserved);
        for (const auto &[reason, amount] : down)
            text += reason.empty() ? fmt::format(", {} down", amount)
                                   : fmt::format(", {} drained: \"{}\"", amount, reason);
        if (free < count)
            return text;
        if (first.empty())
            first = text;
    }
    return first + ", but not together in the arrangement that is asked for";
}

} // namespace flux::graph
