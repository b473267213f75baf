// The part of the matcher that plans by counting. Where vertices are interchangeable, a job that has to wait
// is not given certain ones: so many are held for it, for its time, in the root's filter alone. Then nothing
// that could run is kept waiting by the choice of a vertex, and a plan costs O(log n) for a job, whatever the
// machine's size.
#include <algorithm>

#include "common/graph/matcher.hpp"

namespace flux::graph {

// Are the vertices of the type in use as a whole or not at all, is what is down of them down as a whole, and
// is nothing reserved but numbers of this type? Then the root's filter and totals say all that there is to
// know.
bool Matcher::countable_now(const Interchangeable &wanted) const
{
    if (wanted.type < passing_.size() && passing_[wanted.type] > 0)
        return false;
    if (reserved_ > 0 || (holds_ > 0 && held_type_ != wanted.type))
        return false;
    VertexId root = graph_.root(), model = graph_.model(wanted.type);
    if (graph_[root].child_count == 0)
        return false; // all of it was removed
    auto all = graph_.total(root), up = graph_.total_up(root);
    size_t column = size_t(graph_.column(wanted.type));
    if (graph_[model].child_count > 0) {
        auto inside = graph_.total(model);
        for (size_t i = 0; i < inside.size(); i++)
            if (inside[i] > 0 && all[i] - up[i] != (all[column] - up[column]) * inside[i])
                return false;
    }
    return true;
}

// How many of the type may be taken during the window, with what is held for others kept free.
int64_t Matcher::free_units(TypeId type, Window window) const
{
    VertexId root = graph_.root();
    auto column = uint32_t(graph_.column(type));
    int64_t used = graph_.total(root)[column] - schedule_.free_below(root, column, window);
    return graph_.total_up(root)[column] - used;
}

// How many vertices of the held type are not as free as before with these picks.
int64_t Matcher::units_taken(const std::vector<Pick> &picks) const
{
    auto column = size_t(graph_.column(held_type_));
    std::vector<VertexId> units;
    int64_t inside = 0; // of what is taken above them
    for (const auto &pick : picks) {
        VertexId v = pick.vertex;
        if (options_.policy.node_exclusive)
            if (VertexId node = graph_.above(v, graph_.node_type()); node != no_vertex)
                v = node;
        if (VertexId unit = graph_.above(v, held_type_); unit != no_vertex)
            units.push_back(unit);
        else if (pick.exclusive && graph_[v].child_count > 0)
            inside += graph_.total(v)[column];
    }
    std::ranges::sort(units);
    auto repeated = std::ranges::unique(units);
    return inside + int64_t(units.size()) - int64_t(repeated.size());
}

// Those of which only a part is in use, which the filter does not count, count as taken whenever it may be.
bool Matcher::leaves_held(const std::vector<Pick> &picks, Window window) const
{
    return holds_ == 0 || free_units(held_type_, window) >= units_taken(picks) + passing_[held_type_];
}

void Matcher::apply_held(const JobUse &use, bool add)
{
    VertexId root = graph_.root();
    Span span {use.start, use.end, use.slot, true};
    auto amounts = use.held;
    amounts.resize(graph_.tracked_count());
    add ? schedule_.add_below(root, span, amounts) : schedule_.remove_below(root, span, amounts);
    add ? holds_++ : holds_--;
}

Expected<Match> Matcher::start_or_hold(int64_t id, const JobRequest &request, Time now, bool hold,
                                       bool possible)
{
    auto wanted = interchangeable(request, graph_, options_.policy.node_exclusive);
    auto lasts = duration_of(request, now);
    if (!wanted || !lasts || jobs_.contains(id) || !countable_now(*wanted))
        return match(hold ? MatchOp::allocate_orelse_reserve : MatchOp::allocate, id, request, now);
    if (free_units(wanted->type, {now, now + *lasts, true}) >= wanted->count) {
        auto started = match(MatchOp::allocate, id, request, now);
        if (started || started.error().errnum() != EBUSY || !hold)
            return started;
        // Others have certain vertices in that time, and leave none that is free long enough.
        return match(MatchOp::allocate_orelse_reserve, id, request, now);
    }
    double begin = clock_();
    visited_ = iterations_ = 0;
    gave_up_ = false;
    auto out = hold ? try_hold(id, request, *wanted, now, *lasts, possible)
                    : fail(EBUSY, "the resources are not free now");
    record(bool(out), id, clock_() - begin);
    return out;
}

std::optional<Place> Matcher::numbers_of(const JobRequest &request, Time now) const
{
    auto wanted = interchangeable(request, graph_, options_.policy.node_exclusive);
    auto lasts = duration_of(request, now);
    return wanted && lasts ? std::optional(Place {wanted->count, *lasts, now}) : std::nullopt;
}

bool Matcher::could_match(const JobRequest &request, Time now)
{
    std::vector<Pick> picks;
    constraint_ = {};
    gave_up_ = false;
    return search(request, {now, now + 1, true}, true, picks);
}

std::optional<Matcher::Counted> Matcher::count_without(TypeId type, const std::function<bool(int64_t)> &skip,
                                                       Time now) const
{
    if (!countable_now({type, 0}))
        return std::nullopt;
    auto column = size_t(graph_.column(type));
    Counted out {graph_.total_up(graph_.root())[column], {}};
    for (const auto &[id, use] : jobs_) {
        const auto &amounts = use.held.empty() ? use.amounts : use.held;
        if (column < amounts.size() && amounts[column] > 0 && !skip(id))
            out.used.add(use.start, use.reserved ? use.end : std::max(use.end, now + 1), amounts[column]);
    }
    return out;
}

void Matcher::hold(int64_t id, TypeId type, const Place &place)
{
    if (holds_ == 0) {
        held_type_ = type;
        earlier_holds_.clear();
    }
    FLUX_ASSERT(held_type_ == type);
    JobUse use {.id = id, .start = place.start, .end = place.start + place.duration, .reserved = true};
    use.held.resize(graph_.tracked_count());
    VertexId model = graph_.model(type);
    if (graph_[model].child_count > 0) {
        auto inside = graph_.total(model);
        for (size_t i = 0; i < inside.size(); i++)
            use.held[i] = inside[i] * place.count;
    }
    use.held[size_t(graph_.column(type))] += place.count;
    keep(std::move(use));
}

void Matcher::drop_hold(int64_t id)
{
    apply(jobs_[id], false);
    forget(id);
}

Expected<Match> Matcher::start_counted(int64_t id, const JobRequest &request, Time now)
{
    trusted_ = true;
    auto started = match(MatchOp::allocate, id, request, now);
    trusted_ = false;
    return started;
}

Expected<Match> Matcher::try_hold(int64_t id, const JobRequest &request, const Interchangeable &wanted,
                                  Time now, Time duration, bool possible)
{
    if (!possible && !could_match(request, now))
        return fail(ENODEV, "unsatisfiable");
    VertexId root = graph_.root();
    auto column = uint32_t(graph_.column(wanted.type));
    Filter *filter = schedule_.filter(root);
    if (!filter)
        return fail(EBUSY, "not enough is up"); // nothing is in use: waiting does not help
    if (holds_ == 0)
        earlier_holds_.clear();
    // It does not fit now. What goes on after its time may end at any moment.
    Time from = earlier_holds_.bound(wanted.count, duration, now + 1);
    auto at = filter->earliest(graph_.total_up(root), {{column, wanted.count}}, from, duration);
    if (!at || *at >= options_.graph_end)
        return fail(EBUSY, "not enough is up, or planned to end"); // what never ends is not waited for
    confirm({wanted.count, duration, *at});
    hold(id, wanted.type, {wanted.count, duration, *at});
    return Match {.use = jobs_[id], .matched = true};
}

} // namespace flux::graph
