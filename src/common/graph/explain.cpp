// Why a request did not match: what it needs, what the machine has, and in which state that is.
#include <algorithm>
#include <chrono>
#include <ctime>

#include "common/graph/explain_parts.hpp"
#include "common/graph/units.hpp"

namespace flux::graph {

namespace {

// How much there is of a type, in which state.
struct Tally {
    int64_t all = 0;
    int64_t free = 0;
    int64_t allocated = 0;
    int64_t reserved = 0;
    std::map<std::string, int64_t> down; // by what was said when it was drained
    Time next = Planner::forever;        // when something of it may become free
};

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

class Counter {
public:
    Counter(const Graph &graph, const Schedule &schedule, const std::vector<bool> &divisible, Window window,
            const ConstraintCheck &constraint)
        : graph_(graph), schedule_(schedule), divisible_(divisible), window_(window), constraint_(constraint)
    {
    }

    Tally count(const Wanted &wanted)
    {
        const Request &request = *wanted.request;
        int column = graph_.column(request.type);
        if (graph_.is_host(request.type)) {
            for (VertexId v : graph_.hosts())
                if (graph_[v].type == request.type && allowed(v))
                    add_host(v, wanted);
        } else if (column >= 0 && graph_.only_below_nodes(request.type) &&
                   !constraint_.is_bearer(request.type) && graph_.has_unit(request.type, request.unit) &&
                   !(divisible_.size() > request.type && divisible_[request.type])) {
            for (VertexId v : graph_.hosts())
                if (graph_[v].child_count > 0 && allowed(v))
                    add_below(v, size_t(column));
        } else {
            for (VertexId v = 0; v < graph_.size(); v++)
                if (graph_[v].type == request.type && !graph_[v].removed && allowed(v))
                    add_vertex(v, request);
        }
        return std::move(tally_);
    }

private:
    bool allowed(VertexId v) const { return constraint_.allows_path(graph_, v); }

    bool add_down(VertexId v, int64_t amount)
    {
        for (VertexId at = v; at != no_vertex; at = graph_[at].parent)
            if (graph_[at].down) {
                tally_.down[graph_.down_reason(at)] += amount;
                return true;
            }
        return false;
    }

    bool open(VertexId v) const
    {
        for (; v != no_vertex; v = graph_[v].parent)
            if (!schedule_.open(v, window_))
                return false;
        return true;
    }

    void add_taken(VertexId v, int64_t amount)
    {
        bool running = schedule_.users(v).empty();
        for (const auto &span : schedule_.users(v))
            running = running || !span.reserved;
        (running ? tally_.allocated : tally_.reserved) += amount;
        if (amount > 0)
            for (VertexId at = v; at != no_vertex; at = graph_[at].parent)
                if (at == v || !schedule_.open(at, window_))
                    tally_.next = std::min(tally_.next, schedule_.next_change(at, window_.start));
    }

    void add_host(VertexId v, const Wanted &wanted)
    {
        tally_.all++;
        if (add_down(v, 1))
            return;
        bool free =
            open(v) && (wanted.exclusive ? schedule_.untouched(v, window_)
                                         : graph_[v].child_count == 0 ||
                                               schedule_.enough_below(v, wanted.request->below, window_));
        if (free)
            tally_.free++;
        else
            add_taken(v, 1);
    }

    void add_below(VertexId host, size_t column)
    {
        int64_t total = graph_.total(host)[column];
        tally_.all += total;
        if (total == 0 || add_down(host, total))
            return;
        int64_t free =
            open(host) ? std::max<int64_t>(0, schedule_.free_below(host, uint32_t(column), window_)) : 0;
        tally_.free += free;
        // Of what several jobs share a node for, the schedule knows how much is held now.
        int64_t held = std::min(total - free, schedule_.held_below(host, uint32_t(column)));
        if (schedule_.users(host).empty() && held < total - free) {
            tally_.reserved += total - free - held;
            add_taken(host, held);
        } else {
            add_taken(host, total - free);
        }
    }

    void add_vertex(VertexId v, const Request &request)
    {
        auto ratio = unit_ratio(graph_.unit_of(v), request.unit);
        if (!ratio)
            return;
        int64_t size = ratio->to_request(graph_[v].size);
        tally_.all += size;
        if (add_down(v, size))
            return;
        int64_t free = 0;
        if (open(v)) {
            bool divisible = divisible_.size() > request.type && divisible_[request.type];
            free = divisible                         ? ratio->to_request(schedule_.free_part(v, window_))
                   : schedule_.untouched(v, window_) ? size
                                                     : 0;
        }
        tally_.free += free;
        if (free < size)
            add_taken(v, size - free);
    }

    const Graph &graph_;
    const Schedule &schedule_;
    const std::vector<bool> &divisible_;
    Window window_;
    const ConstraintCheck &constraint_;
    Tally tally_;
};

std::string sentence(const std::string &needs, const Tally &tally, Time graph_end)
{
    std::string text = fmt::format("{}: {} free", needs, tally.free);
    if (tally.allocated > 0)
        text += fmt::format(", {} allocated{}", tally.allocated,
                            tally.next >= graph_end ? ""
                                                    : fmt::format(" (next free {})", clock_time(tally.next)));
    if (tally.reserved > 0)
        text += fmt::format(", {} reserved for other jobs", tally.reserved);
    for (const auto &[reason, amount] : tally.down)
        text += reason.empty() ? fmt::format(", {} down", amount)
                               : fmt::format(", {} drained: \"{}\"", amount, reason);
    return text;
}

} // namespace

// The first alternative that is possible is the one to explain; when none is, the first.
std::string Matcher::explain(const JobRequest &request, Time now) const
{
    constexpr size_t max_explained = 20; // alternatives
    auto variants = expand_variants(request, graph_);
    std::string first;
    for (size_t i = 0; i < std::min(variants.size(), max_explained); i++) {
        auto [text, possible] = explain_variant(variants[i], now);
        if (possible)
            return text;
        if (first.empty())
            first = text;
    }
    return first;
}

std::string Matcher::explain_never(const JobRequest &request, Time now) const
{
    for (const auto &variant : expand_variants(request, graph_))
        if (auto [text, possible] = explain_variant(variant, now); !possible)
            return text;
    if (gave_up_)
        return "there are more ways to arrange what is asked for than can be tried: ask for it in a simpler "
               "way";
    return "the machine has enough of everything, but never in the arrangement that is asked for";
}

// The subsystem in which all vertices of the type are, if it is none that is looked at.
std::string Matcher::hidden_subsystem(TypeId type) const
{
    std::string out;
    for (VertexId v = 0; v < graph_.size() && !graph_.only_contained(type); v++) {
        if (graph_[v].type != type || graph_[v].removed)
            continue;
        if (subsystems_ >> graph_[v].subsystem & 1)
            return "";
        out = graph_.subsystems()[graph_[v].subsystem];
    }
    return out;
}

// A sentence, and whether it would be another one at another time.
std::pair<std::string, bool> Matcher::explain_variant(const JobRequest &request, Time now) const
{
    auto wanted = wanted_by(request.resources);
    if (wanted.empty())
        return {"the request names no resources", false};
    auto constraint = ConstraintCheck::make(request, graph_);
    if (!constraint)
        return {constraint.error().text(), false};
    Time duration = request.duration ? request.duration : std::max<Time>(options_.graph_end - now, 1);
    Window window {now, now + duration, true};
    // What the machine has not at all comes first: nothing else is the cause then. Slots beside each other
    // may be alternatives, of which not all are needed.
    bool all_needed = !(options_.or_slots && request.rivals);
    std::vector<std::pair<std::string, Tally>> states;
    for (auto &one : wanted) {
        one.exclusive =
            one.exclusive || (options_.policy.node_exclusive && one.request->type == graph_.node_type());
        Tally tally = Counter(graph_, schedule_, divisible_, window, *constraint).count(one);
        if (holds_ > 0 && graph_.column(one.request->type) >= 0 && !graph_.pooled(one.request->type)) {
            int64_t kept = std::max<int64_t>(0, tally.free - free_units(one.request->type, window));
            tally.free -= kept; // no certain ones are reserved, but so many
            tally.reserved += kept;
        }
        const std::string &type = graph_.type_name(one.request->type);
        const std::string &unit = one.request->unit;
        bool here = !constraint->has_bearers() || constraint->is_bearer(one.request->type);
        std::string needs = fmt::format("needs {}{}",
                                        unit.empty() ? plural(one.count, type)
                                                     : fmt::format("{} {} of {}", one.count, unit, type),
                                        here ? condition(request.constraint) : "");
        if (std::string name = hidden_subsystem(one.request->type); all_needed && !name.empty())
            return {fmt::format("{}: that is in the subsystem \"{}\", which is not among those looked at", needs,
                                name),
                    false};
        if (all_needed && tally.all < (one.request->exclusive == false ? 1 : one.count))
            return {fmt::format("{}: the machine has {}", needs, tally.all), false};
        states.emplace_back(std::move(needs), std::move(tally));
    }
    if (auto why = all_needed ? why_never_together(graph_, request, *constraint) : std::nullopt)
        return {*why, false};
    for (size_t i = 0; i < wanted.size(); i++)
        if (states[i].second.free < wanted[i].count)
            return {sentence(states[i].first, states[i].second, options_.graph_end), true};
    return {sentence(states[0].first, states[0].second, options_.graph_end) +
                ", but not together in the arrangement that is asked for",
            true};
}

} // namespace flux::graph
