#include "common/graph/schedule.hpp"

#include <algorithm>

namespace flux::graph {

Filter::Filter(std::span<const int64_t> totals) : place_of_(totals.size(), -1)
{
    for (size_t column = 0; column < totals.size(); column++)
        if (totals[column] > 0) {
            place_of_[column] = int8_t(columns_.size());
            columns_.push_back(uint8_t(column));
        }
    held_.assign(columns_.size() + 1, 0);
}

std::vector<int64_t> Filter::compact(std::span<const int64_t> amounts) const
{
    std::vector<int64_t> out(columns_.size() + 1);
    for (size_t place = 0; place < columns_.size(); place++)
        out[place] = amounts[columns_[place]];
    out.back() = 1;
    return out;
}

void Filter::add(const Span &span, std::span<const int64_t> amounts)
{
    auto own = compact(amounts);
    count_++;
    if (!span.reserved)
        for (size_t place = 0; place < own.size(); place++)
            held_[place] += own[place];
    if (!planner_ && spans_.size() == max_listed)
        make_planner();
    if (planner_) {
        planner_->add(span.start, span.end, own);
        return;
    }
    spans_.push_back(span);
    amounts_.insert(amounts_.end(), own.begin(), own.end());
}

void Filter::make_planner()
{
    planner_ = std::make_unique<Planner>(held_.size());
    for (size_t i = 0; i < spans_.size(); i++)
        planner_->add(spans_[i].start, spans_[i].end, {&amounts_[i * held_.size()], held_.size()});
    spans_ = {};
    amounts_ = {};
}

void Filter::remove(const Span &span, std::span<const int64_t> amounts)
{
    auto own = compact(amounts);
    count_--;
    if (!span.reserved)
        for (size_t place = 0; place < own.size(); place++)
            held_[place] -= own[place];
    if (planner_) {
        planner_->remove(span.start, span.end, own);
        if (count_ == 0)
            planner_.reset();
        return;
    }
    auto found = std::ranges::find(spans_, span.job, &Span::job);
    FLUX_ASSERT(found != spans_.end());
    size_t at = size_t(found - spans_.begin()), width = held_.size();
    std::copy_n(amounts_.end() - long(width), width, amounts_.begin() + long(at * width));
    amounts_.resize(amounts_.size() - width);
    *found = spans_.back();
    spans_.pop_back();
}

int64_t Filter::most(size_t place, const Window &window) const
{
    if (planner_) {
        int64_t planned = planner_->most_used(window.start, window.end, place);
        return window.now ? std::max(planned, held_[place]) : planned;
    }
    size_t width = held_.size();
    auto used_at = [&](Time at) {
        int64_t sum = 0;
        for (size_t i = 0; i < spans_.size(); i++)
            if (spans_[i].uses(at, window))
                sum += amounts_[i * width + place];
        return sum;
    };
    int64_t most = used_at(window.start);
    for (const auto &span : spans_)
        if (span.start > window.start && span.start < window.end)
            most = std::max(most, used_at(span.start));
    return most;
}

bool Filter::touched(const Window &window) const
{
    return count_ > 0 && most(columns_.size(), window) > 0;
}

int64_t Filter::most_used(uint32_t column, const Window &window) const
{
    return place_of_[column] < 0 ? 0 : most(size_t(place_of_[column]), window);
}

bool Filter::enough(std::span<const int64_t> totals, const Needs &needs, const Window &window) const
{
    for (auto [column, amount] : needs)
        if (totals[column] - most_used(column, window) < amount)
            return false;
    return true;
}

std::optional<Time> Filter::earliest(std::span<const int64_t> totals, const Needs &needs, Time from,
                                     Time duration)
{
    if (!planner_)
        make_planner();
    std::vector<int64_t> limits(held_.size(), std::numeric_limits<int64_t>::max() / 4);
    for (auto [column, amount] : needs) {
        if (totals[column] < amount)
            return std::nullopt;
        if (place_of_[column] >= 0)
            limits[size_t(place_of_[column])] = totals[column] - amount;
    }
    return planner_->earliest(from, duration, limits);
}

std::optional<Time> Filter::next_change(Time after) const
{
    if (planner_)
        return planner_->next_change(after);
    std::optional<Time> next;
    for (const auto &span : spans_)
        for (Time at : {span.start, span.end})
            if (at > after && (!next || at < *next))
                next = at;
    return next;
}

size_t Filter::bytes() const
{
    return sizeof *this + columns_.size() + place_of_.size() + spans_.capacity() * sizeof(Span) +
           (amounts_.capacity() + held_.size()) * sizeof(int64_t) + (planner_ ? planner_->bytes() : 0);
}

Schedule::Use *Schedule::find(VertexId v)
{
    return v < use_of_.size() && use_of_[v] ? &uses_[use_of_[v] - 1] : nullptr;
}

const Schedule::Use *Schedule::find(VertexId v) const
{
    return v < use_of_.size() && use_of_[v] ? &uses_[use_of_[v] - 1] : nullptr;
}

Schedule::Use &Schedule::make(VertexId v)
{
    if (use_of_.size() <= v)
        use_of_.resize(std::max<size_t>(graph_->size(), v + 1));
    if (use_of_[v] == 0) {
        if (unused_.empty()) {
            uses_.emplace_back();
            use_of_[v] = uint32_t(uses_.size());
        } else {
            use_of_[v] = unused_.back();
            unused_.pop_back();
        }
    }
    return uses_[use_of_[v] - 1];
}

void Schedule::drop_if_unused(VertexId v)
{
    Use &use = uses_[use_of_[v] - 1];
    if (use.filter && use.filter->empty())
        use.filter.reset();
    if (!use.whole.empty() || !use.parts.empty() || use.filter)
        return;
    use = {};
    unused_.push_back(use_of_[v]);
    use_of_[v] = 0;
}

void Schedule::use_whole(VertexId v, const Span &span)
{
    auto &whole = make(v).whole;
    whole.insert(std::ranges::upper_bound(whole, span.start, {}, &Span::start), span);
    if (!span.reserved)
        set_taken(v, true);
}

void Schedule::set_taken(VertexId v, bool taken)
{
    if (taken_.size() <= v / 64)
        taken_.resize(std::max<size_t>(graph_->size(), v + 1) / 64 + 1);
    uint64_t bit = uint64_t(1) << (v % 64);
    taken_[v / 64] = taken ? taken_[v / 64] | bit : taken_[v / 64] & ~bit;
}

void Schedule::use_part(VertexId v, const Span &span, int64_t amount)
{
    Use &use = make(v);
    use.parts.push_back(span);
    use.amounts.push_back(amount);
}

void Schedule::release(VertexId v, JobSlot job)
{
    Use *use = find(v);
    FLUX_ASSERT(use);
    std::erase_if(use->whole, [&](const Span &span) { return span.job == job; });
    if (taken(v) && std::ranges::all_of(use->whole, &Span::reserved))
        set_taken(v, false);
    for (size_t i = use->parts.size(); i-- > 0;)
        if (use->parts[i].job == job) {
            use->parts.erase(use->parts.begin() + long(i));
            use->amounts.erase(use->amounts.begin() + long(i));
        }
    drop_if_unused(v);
}

void Schedule::add_below(VertexId v, const Span &span, std::span<const int64_t> amounts)
{
    Use &use = make(v);
    if (!use.filter)
        use.filter = std::make_unique<Filter>(graph_->total(v));
    use.filter->add(span, amounts);
}

void Schedule::remove_below(VertexId v, const Span &span, std::span<const int64_t> amounts)
{
    Use *use = find(v);
    FLUX_ASSERT(use && use->filter);
    use->filter->remove(span, amounts);
    drop_if_unused(v);
}

namespace {

// Spans of one vertex that exclude each other are disjoint: only the last that begins in time can reach into
// the window.
bool any_overlaps(const std::vector<Span> &spans, const Window &window)
{
    if (spans.empty())
        return false;
    if (window.now && !spans.front().reserved)
        return true;
    auto next = std::ranges::lower_bound(spans, window.end, {}, &Span::start);
    return next != spans.begin() && (next - 1)->overlaps(window);
}

} // namespace

bool Schedule::open(VertexId v, const Window &window) const
{
    const Use *use = find(v);
    return !use || !any_overlaps(use->whole, window);
}

bool Schedule::untouched(VertexId v, const Window &window) const
{
    const Use *use = find(v);
    return !use ||
           (!any_overlaps(use->whole, window) && !(use->filter && use->filter->touched(window)) &&
            std::ranges::none_of(use->parts, [&](const Span &span) { return span.overlaps(window); }));
}

int64_t Schedule::free_part(VertexId v, const Window &window) const
{
    int64_t size = (*graph_)[v].size;
    const Use *use = find(v);
    if (!use)
        return size;
    if (any_overlaps(use->whole, window))
        return 0;
    auto used_at = [&](Time at) {
        int64_t sum = 0;
        for (size_t i = 0; i < use->parts.size(); i++)
            if (use->parts[i].uses(at, window))
                sum += use->amounts[i];
        return sum;
    };
    int64_t most = used_at(window.start);
    for (const auto &span : use->parts)
        if (span.start > window.start && span.start < window.end)
            most = std::max(most, used_at(span.start));
    return std::max<int64_t>(0, size - most);
}

bool Schedule::enough_below(VertexId v, const Needs &needs, const Window &window) const
{
    auto totals = graph_->total(v);
    const Use *use = find(v);
    if (use && use->filter)
        return use->filter->enough(totals, needs, window);
    return std::ranges::all_of(needs, [&](auto need) { return totals[need.first] >= need.second; });
}

int64_t Schedule::free_below(VertexId v, uint32_t column, const Window &window) const
{
    const Use *use = find(v);
    int64_t total = graph_->total(v)[column];
    return use && use->filter ? total - use->filter->most_used(column, window) : total;
}

int64_t Schedule::held_below(VertexId v, uint32_t column) const
{
    const Use *use = find(v);
    return use && use->filter ? use->filter->held(column) : 0;
}

int64_t Schedule::held_part(VertexId v) const
{
    const Use *use = find(v);
    int64_t sum = 0;
    for (size_t i = 0; use && i < use->parts.size(); i++)
        sum += use->parts[i].reserved ? 0 : use->amounts[i];
    return sum;
}

Time Schedule::next_change(VertexId v, Time after) const
{
    Time next = Planner::forever;
    const Use *use = find(v);
    if (!use)
        return next;
    for (const auto *list : {&use->whole, &use->parts})
        for (const auto &span : *list)
            for (Time at : {span.start, span.end})
                if (at > after)
                    next = std::min(next, at);
    if (use->filter)
        next = std::min(next, use->filter->next_change(after).value_or(Planner::forever));
    return next;
}

Filter *Schedule::filter(VertexId v)
{
    Use *use = find(v);
    return use ? use->filter.get() : nullptr;
}

std::span<const Span> Schedule::users(VertexId v) const
{
    const Use *use = find(v);
    if (!use)
        return {};
    return use->whole.empty() ? std::span<const Span>(use->parts) : std::span<const Span>(use->whole);
}

void Schedule::collect_jobs(VertexId v, bool whole, std::vector<JobSlot> &out) const
{
    const Use *use = find(v);
    if (!use)
        return;
    for (const auto &span : use->whole)
        out.push_back(span.job);
    if (!whole)
        for (const auto &span : use->parts)
            out.push_back(span.job);
}

size_t Schedule::bytes() const
{
    size_t bytes = use_of_.capacity() * sizeof(uint32_t) + taken_.capacity() * sizeof(uint64_t) +
                   uses_.capacity() * sizeof(Use);
    for (const auto &use : uses_)
        bytes += use.whole.capacity() * sizeof(Span) +
                 use.parts.capacity() * (sizeof(Span) + sizeof(int64_t)) +
                 (use.filter ? use.filter->bytes() : 0);
    return bytes;
}

} // namespace flux::graph
