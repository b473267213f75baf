#include "common/graph/matcher.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace flux::graph {

namespace {
constexpr size_t max_future_tries = 100000; // times at which a reservation is tried
}

std::optional<MatchOp> parse_match_op(std::string_view name)
{
    constexpr std::pair<std::string_view, MatchOp> known[] = {
        {"allocate", MatchOp::allocate},
        {"allocate_orelse_reserve", MatchOp::allocate_orelse_reserve},
        {"allocate_with_satisfiability", MatchOp::allocate_with_satisfiability},
        {"satisfiability", MatchOp::satisfiability},
        {"without_allocating", MatchOp::without_allocating},
        {"without_allocating_future", MatchOp::without_allocating_future},
    };
    for (auto [text, op] : known)
        if (text == name)
            return op;
    return std::nullopt;
}

bool allocates(MatchOp op)
{
    return op == MatchOp::allocate || op == MatchOp::allocate_orelse_reserve ||
           op == MatchOp::allocate_with_satisfiability;
}

Matcher::Matcher(Graph graph, MatcherOptions options) : graph_(std::move(graph)), schedule_(graph_)
{
    clock_ = [] {
        return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
    };
    options_.graph_end = options.graph_end;
    reconfigure(std::move(options));
}

void Matcher::reconfigure(MatcherOptions options)
{
    options.graph_end = options_.graph_end;
    options_ = std::move(options);
    first_order_ = FirstOrder(options_.prune_filters);
    if (options_.policy.first_match)
        for (const auto &[id, use] : jobs_)
            if (!use.reserved)
                first_order_.use(graph_, use.allocation, true);
    divisible_.assign(graph_.type_count(), false);
    for (const auto &name : options_.divisible)
        if (auto type = graph_.find_type(name))
            divisible_[*type] = true;
    subsystems_ = 0;
    for (const auto &name : options_.subsystems) {
        auto found = std::ranges::find(graph_.subsystems(), name);
        if (found != graph_.subsystems().end() && found - graph_.subsystems().begin() < 64)
            subsystems_ |= uint64_t(1) << (found - graph_.subsystems().begin());
    }
    subsystems_ |= 1;
}

Expected<void> Matcher::prepare(const JobRequest &request)
{
    auto check = ConstraintCheck::make(request, graph_);
    if (!check)
        return std::unexpected(check.error());
    constraint_ = std::move(*check);
    return {};
}

bool Matcher::search(const JobRequest &request, Window window, bool ignore_use, std::vector<Pick> &picks)
{
    divisible_.resize(graph_.type_count());
    Search search({.graph = graph_,
                   .schedule = schedule_,
                   .policy = options_.policy,
                   .divisible = divisible_,
                   .subsystems = subsystems_,
                   .or_slots = options_.or_slots,
                   .thorough = options_.thorough,
                   .ignore_use = ignore_use,
                   .window = window,
                   .constraint = constraint_,
                   .first_order = options_.policy.first_match ? &first_order_ : nullptr});
    bool found = false;
    for (const auto &variant : expand_variants(request, graph_)) {
        found = search.run(variant) && (ignore_use || trusted_ || leaves_held(search.picks(), window));
        if (found || search.gave_up())
            break;
    }
    visited_ += search.visited();
    gave_up_ = search.gave_up();
    iterations_++;
    if (found)
        picks = search.picks();
    return found;
}

// The times at which something that is in use becomes free, as far as the root's filter lets them be good
// enough.
std::optional<Time> Matcher::search_future(const JobRequest &request, Time now, Time duration,
                                           std::vector<Pick> &picks)
{
    VertexId root = graph_.root();
    if (root == no_vertex)
        return std::nullopt;
    Filter *filter = schedule_.filter(root); // none where the root itself is all that is in use
    Needs needs;
    for (auto need : request.needs)
        if (graph_.tracked_type(need.first) != graph_[root].type)
            needs.push_back(need);
    Time next = schedule_.next_change(root, now);
    for (size_t tries = 0; next != Planner::forever && !gave_up_ && tries < max_future_tries; tries++) {
        auto at = filter ? filter->earliest(graph_.total(root), needs, next, duration) : next;
        if (!at || *at >= options_.graph_end)
            return std::nullopt; // what never ends, as far as is known, is not waited for
        if (search(request, {*at, *at + duration, false}, false, picks))
            return at;
        next = schedule_.next_change(root, *at);
    }
    return std::nullopt;
}

JobUse Matcher::make_use(int64_t id, const std::vector<Pick> &picks, Time start, Time duration, bool reserved)
{
    JobUse use;
    use.id = id;
    use.start = start;
    use.end = std::min(start + duration, options_.graph_end);
    use.reserved = reserved;
    use.allocation = make_allocation(graph_, picks, options_.policy.node_exclusive);
    return use;
}

void Matcher::keep(JobUse use)
{
    if (free_slots_.empty()) {
        use.slot = next_slot_++;
    } else {
        use.slot = free_slots_.back();
        free_slots_.pop_back();
    }
    commit(use);
    if (options_.policy.first_match)
        first_order_.passed(graph_, use.allocation);
    if (job_of_slot_.size() <= use.slot)
        job_of_slot_.resize(use.slot + 1);
    job_of_slot_[use.slot] = use.id;
    jobs_.insert_or_assign(use.id, std::move(use));
}

// Of a job whose use was withdrawn.
void Matcher::forget(int64_t id)
{
    auto found = jobs_.find(id);
    free_slots_.push_back(found->second.slot);
    jobs_.erase(found);
}

Expected<Match> Matcher::match(MatchOp op, int64_t id, const JobRequest &request, Time now)
{
    double begin = clock_();
    visited_ = iterations_ = 0;
    gave_up_ = false;
    auto out = try_match(op, id, request, now);
    double seconds = clock_() - begin;
    if (out)
        out->use.overhead = seconds;
    bool searched = out || out.error().errnum() == EBUSY || out.error().errnum() == ENODEV;
    if (allocates(op) && searched)
        record(bool(out), id, seconds);
    return out;
}

void Matcher::record(bool succeeded, int64_t id, double seconds)
{
    (succeeded ? stats_.succeeded : stats_.failed).add(id, iterations_, seconds);
    if (succeeded)
        jobs_[id].overhead = seconds;
}

Expected<Time> Matcher::duration_of(const JobRequest &request, Time now) const
{
    Time left = std::max<Time>(options_.graph_end - now, 1);
    if (request.duration > left)
        return fail(EINVAL, "a duration of {} s is longer than the {} s that are left of the graph's time",
                    request.duration, left);
    return request.duration ? request.duration : left;
}

Expected<Match> Matcher::try_match(MatchOp op, int64_t id, const JobRequest &request, Time now)
{
    bool allocating = allocates(op);
    if (allocating && jobs_.contains(id))
        return fail(EEXIST, "job {} has resources already", id);
    if (auto ready = prepare(request); !ready)
        return std::unexpected(ready.error());
    auto lasts = duration_of(request, now);
    if (!lasts)
        return std::unexpected(lasts.error());
    Time duration = *lasts;
    Match out;
    std::vector<Pick> picks;
    if (op == MatchOp::satisfiability) {
        out.matched = search(request, {now, now + duration, true}, true, picks);
        if (!out.matched)
            return fail(ENODEV, "unsatisfiable");
        return out;
    }
    Time start = now;
    bool found = search(request, {now, now + duration, true}, false, picks);
    if (!found && (op == MatchOp::allocate_orelse_reserve || op == MatchOp::without_allocating_future)) {
        if (auto at = search_future(request, now, duration, picks)) {
            start = *at;
            found = true;
        }
    }
    if (!found) {
        if (op == MatchOp::allocate || op == MatchOp::without_allocating)
            return fail(EBUSY, "the resources are not free now");
        if (!search(request, {now, now + duration, true}, true, picks))
            return fail(ENODEV, "unsatisfiable");
        return fail(EBUSY, "the resources are not free now");
    }
    out.matched = true;
    out.use = make_use(id, picks, start, duration, start > now);
    if (allocating) {
        keep(out.use);
        out.use.slot = jobs_[id].slot;
    }
    return out;
}

const JobUse *Matcher::find(int64_t id) const
{
    auto found = jobs_.find(id);
    return found == jobs_.end() ? nullptr : &found->second;
}

// Puts a job's use into the schedule or takes it out: what is exclusive at its vertex, and its amounts at
// every inner vertex above. The allocation comes children first, so one row of sums per depth is enough.
std::vector<int64_t> Matcher::apply(const JobUse &use, bool add)
{
    if (!use.held.empty()) {
        apply_held(use, add);
        return {};
    }
    if (use.reserved)
        add ? reserved_++ : reserved_--;
    else if (options_.policy.first_match)
        first_order_.use(graph_, use.allocation, add);
    passing_.resize(graph_.type_count());
    size_t columns = graph_.tracked_count();
    Span span {use.start, use.end, use.slot, use.reserved};
    std::vector<std::vector<int64_t>> sums(1, std::vector<int64_t>(columns, 0));
    for (const auto &one : use.allocation) {
        if (one.covered)
            continue;
        size_t depth = one.depth;
        while (sums.size() < depth + 2)
            sums.emplace_back(columns, 0);
        auto &below = sums[depth + 1];
        auto &above = sums[depth];
        const Vertex &vertex = graph_[one.vertex];
        int column = graph_.column(vertex.type);
        if (one.exclusive && !use.reserved)
            note_changed_use(one.vertex);
        if (one.exclusive && !one.part) {
            add ? schedule_.use_whole(one.vertex, span) : schedule_.release(one.vertex, use.slot);
            if (vertex.child_count > 0) {
                auto total = graph_.total(one.vertex);
                for (size_t i = 0; i < columns; i++)
                    above[i] += total[i];
            }
            if (column >= 0)
                above[size_t(column)] += vertex.size;
        } else if (vertex.child_count == 0 || one.part) {
            int64_t amount = one.part ? one.amount : 0;
            add ? schedule_.use_part(one.vertex, span, amount) : schedule_.release(one.vertex, use.slot);
            if (column >= 0)
                above[size_t(column)] += amount;
        } else {
            add ? schedule_.add_below(one.vertex, span, below)
                : schedule_.remove_below(one.vertex, span, below);
            for (size_t i = 0; i < columns; i++)
                above[i] += below[i];
        }
        if (!one.exclusive || one.part)
            passing_[vertex.type] += add ? 1 : -1;
        std::ranges::fill(below, 0);
    }
    return std::move(sums[0]);
}

void Matcher::note_changed_use(VertexId v)
{
    if (changed_uses_.size() == max_changed_uses) {
        many_changed_uses_ = true;
        changed_uses_.clear();
    }
    if (!many_changed_uses_)
        changed_uses_.push_back(v);
}

std::optional<std::vector<VertexId>> Matcher::take_changed_uses()
{
    if (std::exchange(many_changed_uses_, false))
        return std::nullopt;
    return std::exchange(changed_uses_, {});
}

std::string Matcher::explain_job(int64_t id, const JobRequest &request, Time now)
{
    auto found = jobs_.find(id);
    if (found == jobs_.end() || !found->second.reserved)
        return explain(request, now);
    apply(found->second, false); // for this look only
    std::string text = explain(request, now);
    apply(found->second, true);
    return text;
}

Expected<void> Matcher::cancel(int64_t id)
{
    auto found = jobs_.find(id);
    if (found == jobs_.end())
        return fail(ENOENT, "there is no job {}", id);
    withdraw(found->second);
    forget(id);
    return {};
}

// The job has these vertices from now on. Its use was withdrawn before.
void Matcher::replace(JobUse &use, const std::vector<Pick> &picks)
{
    use.allocation = make_allocation(graph_, picks, false);
    commit(use);
}

Expected<bool> Matcher::release(int64_t id, const std::function<bool(VertexId)> &gone)
{
    auto found = jobs_.find(id);
    if (found == jobs_.end())
        return fail(ENOENT, "there is no job {}", id);
    JobUse &use = found->second;
    auto is_gone = [&](VertexId v) {
        for (VertexId at = v; at != no_vertex; at = graph_[at].parent)
            if (gone(at))
                return true;
        return false;
    };
    auto picks = picks_of(graph_, use.allocation, [&](VertexId v) { return !is_gone(v); });
    withdraw(use);
    if (picks.empty()) {
        forget(id);
        return true;
    }
    replace(use, picks);
    return false;
}

Expected<void> Matcher::check_free(const JobUse &use) const
{
    Window window {use.start, use.end, !use.reserved};
    for (const auto &one : use.allocation) {
        bool free = one.part                        ? schedule_.free_part(one.vertex, window) >= one.amount
                    : one.exclusive && !one.covered ? schedule_.untouched(one.vertex, window)
                                                    : schedule_.open(one.vertex, window);
        if (!free)
            return fail(EBUSY, "job {}: {} is in use by another job", use.id, graph_.path(one.vertex));
    }
    return {};
}

Expected<void> Matcher::restore(int64_t id, const std::vector<Pick> &picks, Time start, Time end,
                                bool reserved)
{
    if (jobs_.contains(id))
        return fail(EEXIST, "job {} has resources already", id);
    if (picks.empty())
        return fail(EINVAL, "job {}: nothing exclusive is in the resources to be restored", id);
    if (end <= start)
        return fail(EINVAL, "job {}: its use would end at {}, not after its start at {}", id, end, start);
    JobUse use = make_use(id, picks, start, end - start, reserved);
    if (auto free = check_free(use); !free)
        return free;
    keep(std::move(use));
    return {};
}

Expected<void> Matcher::extend(int64_t id, const std::vector<Pick> &more)
{
    auto found = jobs_.find(id);
    if (found == jobs_.end())
        return fail(ENOENT, "there is no job {}", id);
    JobUse &use = found->second;
    if (auto free = check_free(make_use(id, more, use.start, use.end - use.start, use.reserved)); !free)
        return free;
    auto picks = picks_of(graph_, use.allocation, [](VertexId) { return true; });
    picks.insert(picks.end(), more.begin(), more.end());
    withdraw(use);
    replace(use, picks);
    return {};
}

Expected<void> Matcher::set_end(int64_t id, Time end)
{
    auto found = jobs_.find(id);
    if (found == jobs_.end())
        return fail(ENOENT, "there is no job {}", id);
    if (end <= found->second.start)
        return fail(EINVAL, "job {}: its use would end at {}, not after its start at {}", id, end,
                    found->second.start);
    withdraw(found->second);
    found->second.end = end;
    commit(found->second);
    return {};
}

// The jobs that these are the slots of, each once.
std::vector<int64_t> Matcher::jobs_in(std::vector<JobSlot> slots) const
{
    std::ranges::sort(slots);
    auto repeated = std::ranges::unique(slots);
    slots.erase(repeated.begin(), repeated.end());
    std::vector<int64_t> out;
    for (JobSlot slot : slots)
        out.push_back(job_of_slot_[slot]);
    return out;
}

std::vector<int64_t> Matcher::jobs_touching(VertexId v) const
{
    std::vector<JobSlot> slots;
    for (VertexId at = graph_[v].parent; at != no_vertex; at = graph_[at].parent)
        schedule_.collect_jobs(at, true, slots);
    std::vector<VertexId> below {v};
    while (!below.empty()) {
        VertexId at = below.back();
        below.pop_back();
        schedule_.collect_jobs(at, false, slots);
        for (VertexId child : graph_.children(at))
            below.push_back(child);
    }
    return jobs_in(std::move(slots));
}

void Matcher::grow(const std::vector<VertexId> &parents, const std::function<void(Graph &)> &build)
{
    // Whole use of something counts with all that is below it, which is about to change. A leaf that somebody
    // passed through becomes an inner vertex.
    std::vector<JobSlot> slots;
    for (VertexId parent : parents) {
        for (VertexId at = parent; at != no_vertex; at = graph_[at].parent)
            schedule_.collect_jobs(at, true, slots);
        schedule_.collect_jobs(parent, false, slots);
    }
    auto changing = jobs_in(std::move(slots));
    for (int64_t id : changing)
        withdraw(jobs_[id]);
    VertexId from = VertexId(graph_.size());
    size_t columns = graph_.tracked_count();
    build(graph_);
    graph_.finish(from);
    earlier_holds_.clear();
    if (graph_.tracked_count() != columns) {
        first_order_.forget_use();
        // Filters know the old columns only: all use is entered anew. Rare: a type that the machine did not
        // have.
        Schedule fresh(graph_);
        std::swap(schedule_, fresh);
        passing_.assign(graph_.type_count(), 0);
        reserved_ = holds_ = 0;
        for (auto &[id, use] : jobs_)
            commit(use);
        return;
    }
    for (int64_t id : changing)
        commit(jobs_[id]);
}

void Matcher::shrink(VertexId v)
{
    auto losing = jobs_touching(v);
    for (int64_t id : losing)
        withdraw(jobs_[id]);
    std::map<int64_t, std::vector<Pick>> left;
    for (int64_t id : losing)
        left[id] =
            picks_of(graph_, jobs_[id].allocation, [&](VertexId at) { return !graph_.is_ancestor(v, at); });
    graph_.remove(v);
    earlier_holds_.clear();
    for (auto &[id, picks] : left) {
        if (picks.empty())
            forget(id);
        else
            replace(jobs_[id], picks);
    }
}

} // namespace flux::graph
