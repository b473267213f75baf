#include "common/graph/queue_policy.hpp"

#include <algorithm>

namespace flux::graph {

std::optional<QueueOptions::Policy> QueueOptions::parse_policy(std::string_view name)
{
    if (name == "fcfs")
        return Policy::fcfs;
    if (name == "easy")
        return Policy::easy;
    if (name == "hybrid")
        return Policy::hybrid;
    if (name == "conservative")
        return Policy::conservative;
    return std::nullopt;
}

size_t QueueOptions::reservations() const
{
    switch (policy) {
    case Policy::fcfs:
        return 0;
    case Policy::easy:
        return 1;
    case Policy::hybrid:
        return std::min(reservation_depth, max_reservation_depth);
    case Policy::conservative:
        return std::min(max_reservation_depth, queue_depth);
    }
    return 0;
}

void JobQueue::insert(QueuedJob job)
{
    Key key = key_of(job);
    if (planned_ && key < *planned_)
        put_in_ = std::min(key, put_in_.value_or(key));
    complete_ = false;
    keys_[job.id] = key;
    unsorted_.push_back(job.id);
    jobs_.insert_or_assign(key, Entry {.job = std::move(job)});
}

void JobQueue::erase(Jobs::iterator entry)
{
    if (auto type = entry->second.wants; type && --wants_[*type] == 0)
        wants_.erase(*type);
    keys_.erase(entry->second.job.id);
    jobs_.erase(entry);
}

const std::map<TypeId, size_t> &JobQueue::wants(const Matcher &matcher)
{
    for (int64_t id : std::exchange(unsorted_, {})) {
        auto found = keys_.find(id);
        if (found == keys_.end())
            continue;
        Entry &entry = jobs_.find(found->second)->second;
        if (entry.wants)
            continue;
        auto counted =
            interchangeable(*entry.job.request, matcher.graph(), matcher.options().policy.node_exclusive);
        entry.wants = counted ? counted->type : TypeId(0);
        wants_[*entry.wants]++;
    }
    return wants_;
}

bool JobQueue::may_count(const Matcher &matcher)
{
    const auto &wanted = wants(matcher);
    return allowed_ && (options_.reservations() <= 1 || (wanted.size() <= 1 && !wanted.contains(0)));
}

bool JobQueue::remove(int64_t id, Matcher &matcher)
{
    auto found = keys_.find(id);
    if (found == keys_.end())
        return false;
    auto entry = jobs_.find(found->second);
    bool planned = planned_ && entry->first <= *planned_ && !(put_in_ && *put_in_ <= entry->first);
    if (entry->second.reserved) {
        if (const JobUse *use = matcher.find(id))
            freed(use->end);
        (void)matcher.cancel(id);
        reserved_--;
    }
    if (planned) { // one more may be looked at
        waiting_--;
        complete_ = false;
    }
    erase(entry);
    return true;
}

bool JobQueue::set_priority(int64_t id, int64_t priority)
{
    auto found = keys_.find(id);
    if (found == keys_.end())
        return false;
    auto node = jobs_.extract(found->second);
    if (planned_ && node.key() <= *planned_)
        restart_ = true;
    node.mapped().job.priority = priority;
    node.key() = found->second = key_of(node.mapped().job);
    if (planned_ && node.key() <= *planned_)
        restart_ = true;
    complete_ = false;
    jobs_.insert(std::move(node));
    return true;
}

const QueuedJob *JobQueue::find(int64_t id) const
{
    auto found = keys_.find(id);
    return found == keys_.end() ? nullptr : &jobs_.find(found->second)->second.job;
}

bool JobQueue::is_blocked(int64_t id) const
{
    auto found = keys_.find(id);
    if (found == keys_.end() || !planned_ || *planned_ < found->second)
        return false;
    return !jobs_.find(found->second)->second.reserved;
}

std::vector<const QueuedJob *> JobQueue::first(size_t count) const
{
    std::vector<const QueuedJob *> out;
    for (auto at = jobs_.begin(); at != jobs_.end() && out.size() < count; ++at)
        out.push_back(&at->second.job);
    return out;
}

void JobQueue::machine_changed()
{
    wants_.clear();
    unsorted_.clear();
    for (auto &[key, entry] : jobs_) {
        entry.possible = entry.impossible = false;
        entry.unsure = true;
        entry.wants.reset();
        unsorted_.push_back(entry.job.id);
    }
    restart_ = true;
}

Time JobQueue::next_estimate() const
{
    Time next = Planner::forever;
    size_t left = reserved_;
    for (auto at = jobs_.begin(); at != jobs_.end() && left > 0; ++at)
        if (at->second.reserved) {
            left--;
            if (at->second.told)
                next = std::min(next, *at->second.told);
        }
    return next;
}

void JobQueue::give_back(Matcher &matcher, Jobs::iterator from)
{
    for (size_t left = reserved_; from != jobs_.end() && left > 0; ++from)
        if (from->second.reserved) {
            (void)matcher.cancel(from->second.job.id);
            from->second.reserved = false;
            reserved_--;
            left--;
        }
}

void JobQueue::start(Jobs::iterator at, std::vector<QueueDecision> &out)
{
    counts_.started++;
    counts_.backfilled += waiting_ > 0;
    out.push_back({QueueDecision::Kind::start, at->second.job.id, {}, std::nullopt});
    erase(at);
}

void JobQueue::tell(Entry &entry, std::optional<Time> estimate, std::vector<QueueDecision> &out)
{
    if (entry.told == estimate)
        return;
    entry.told = estimate;
    out.push_back({QueueDecision::Kind::estimate, entry.job.id, {}, estimate});
}

// Of one that does not fit now. Only where a reservation was tried, the match has looked at the whole
// machine.
bool JobQueue::became_impossible(Entry &entry, Matcher &matcher, Time now)
{
    if (!std::exchange(entry.unsure, false))
        return false;
    auto match = matcher.match(MatchOp::satisfiability, entry.job.id, *entry.job.request, now);
    entry.possible = bool(match);
    return !match && match.error().errnum() == ENODEV;
}

// What has changed since the last pass, or its last slice, decides where to go on.
void JobQueue::begin_pass(Matcher &matcher, Time now)
{
    bool count = may_count(matcher);
    if (count != counted_ && reserved_ > 0)
        restart_ = true;
    counted_ = count;
    if (!restart_ && !freed_until_ && !put_in_)
        return;
    auto freed_until = freed_until_;
    if (freed_until) // what went on after its time was planned to be in use for another second
        freed_until = std::max(*freed_until, now + 1);
    if (plan_ && freed_until)
        freed_until = std::max(*freed_until, plan_->freed_until());
    auto at = jobs_.begin(); // from here on all is planned anew
    if (!restart_ && put_in_)
        at = jobs_.lower_bound(*put_in_); // it may be gone already
    if (restart_ || put_in_)
        give_back(matcher, at);
    complete_ = false;
    plan_.reset();
    planned_.reset();
    waiting_ = 0;
    if (restart_)
        freed_until = Planner::forever;
    if (!plan_by_numbers(matcher, now, freed_until.value_or(now))) {
        if (freed_until)
            at = jobs_.begin();
        give_back(matcher, at);
        waiting_ = size_t(std::distance(jobs_.begin(), at));
        if (at != jobs_.begin())
            planned_ = std::prev(at)->first;
    }
    restart_ = false;
    freed_until_.reset();
    put_in_.reset();
}

// Is it worth while? The use of all running jobs has to be added up.
bool JobQueue::plan_by_numbers(Matcher &matcher, Time now, Time freed_until)
{
    size_t reservations = std::min(options_.reservations(), jobs_.size());
    if (!counted_ || reservations <= 1 || reservations * jobs_per_reservation < matcher.jobs().size())
        return false;
    auto others = matcher.count_without(
        wants_.begin()->first, [this](int64_t id) { return keys_.contains(id); }, now);
    if (!others)
        return false;
    matcher.forget_places();
    plan_.emplace(others->units, std::move(others->used), now, freed_until, places_);
    placed_ = 0;
    return true;
}

void JobQueue::drop_reservation(Matcher &matcher, Entry &entry)
{
    matcher.drop_hold(entry.job.id);
    if (!alone_)
        matcher.forget_places();
    entry.reserved = false;
    reserved_--;
}

JobQueue::Outcome JobQueue::place(Matcher &matcher, Time now, Jobs::iterator at,
                                  std::vector<QueueDecision> &out)
{
    Entry &entry = at->second;
    const JobRequest &request = *entry.job.request;
    auto place = matcher.numbers_of(request, now);
    if (!place || (!entry.possible && !matcher.could_match(request, now)))
        return Outcome::unknown;
    entry.possible = true;
    const JobUse *use = entry.reserved ? matcher.find(entry.job.id) : nullptr;
    if (entry.reserved && !use) { // on a matcher that is not there any more
        entry.reserved = false;
        reserved_--;
    }
    auto had = use ? std::optional(use->start) : std::nullopt;
    std::optional<Time> start;
    if (placed_ < options_.reservations())
        start = plan_->earliest(place->count, place->duration, had);
    else if (plan_->fits_now(place->count, place->duration))
        start = now;
    if (start && *start >= matcher.options().graph_end)
        start.reset(); // what never ends is not waited for
    if (entry.reserved && (had != start || start == now))
        drop_reservation(matcher, entry);
    if (start == now && !matcher.start_counted(entry.job.id, request, now))
        return Outcome::unknown;
    if (start) {
        place->start = *start;
        plan_->take(*place);
    }
    if (start == now)
        return Outcome::starts;
    if (start) {
        placed_++;
        if (!entry.reserved) {
            matcher.hold(entry.job.id, *entry.wants, *place);
            entry.reserved = true;
            reserved_++;
            counts_.reserved++;
        }
        if (alone_)
            matcher.confirm(*place);
    }
    tell(entry, start, out);
    return Outcome::waits;
}

bool JobQueue::plan(Matcher &matcher, Time now, size_t effort, std::vector<QueueDecision> &out)
{
    begin_pass(matcher, now);
    if (complete_)
        return true;
    size_t most_reservations = options_.reservations();
    size_t depth = std::min(options_.queue_depth, options_.max_queue_depth);
    size_t places = 0;
    auto at = planned_ ? jobs_.upper_bound(*planned_) : jobs_.begin();
    while (at != jobs_.end()) {
        bool held_back = options_.policy == QueueOptions::Policy::fcfs && waiting_ > 0;
        if (held_back || waiting_ >= depth)
            break;
        if (effort == 0)
            return false;
        Entry &entry = at->second;
        if (entry.impossible) {
            effort--;
            planned_ = at++->first;
            continue;
        }
        planned_ = at->first;
        if (plan_) {
            auto outcome = place(matcher, now, at, out);
            effort -= places++ % places_per_effort == 0;
            if (outcome == Outcome::waits) {
                waiting_++;
                ++at;
                continue;
            }
            if (outcome == Outcome::starts) {
                start(at++, out);
                continue;
            }
            give_back(matcher, at);
            plan_.reset();
        }
        bool reserve = reserved_ < most_reservations;
        auto op = reserve ? MatchOp::allocate_orelse_reserve : MatchOp::allocate;
        auto match =
            counted_ ? matcher.start_or_hold(entry.job.id, *entry.job.request, now, reserve, entry.possible)
                     : matcher.match(op, entry.job.id, *entry.job.request, now);
        effort -= std::min(effort, 1 + matcher.visited() / visits_per_effort);
        int errnum = match ? 0 : match.error().errnum();
        if (match && match->use.start <= now) {
            start(at++, out);
            continue;
        }
        if (errnum == EBUSY && became_impossible(entry, matcher, now))
            errnum = ENODEV;
        if (errnum == ENODEV && entry.job.was_possible) {
            entry.impossible = true;
            tell(entry, std::nullopt, out);
            ++at;
            continue;
        }
        if (errnum != 0 && errnum != EBUSY) {
            counts_.denied++;
            std::string why = errnum == ENODEV
                                  ? "never satisfiable: " + matcher.explain_never(*entry.job.request, now)
                                  : match.error().text();
            out.push_back({QueueDecision::Kind::deny, entry.job.id, why, std::nullopt});
            erase(at++);
            continue;
        }
        waiting_++;
        entry.possible = entry.possible || reserve;
        if (match) {
            entry.reserved = true;
            reserved_++;
            counts_.reserved++;
        }
        tell(entry, match ? std::optional(match->use.start) : std::nullopt, out);
        ++at;
    }
    if (plan_)
        give_back(matcher, at); // of those for whom the queue is too deep now
    plan_.reset();
    if (!complete_)
        counts_.passes++;
    complete_ = true;
    return true;
}

void allow_counting(std::span<JobQueue> queues, const Matcher &matcher)
{
    std::optional<TypeId> common;
    bool allowed = true;
    if (queues.size() > 1)
        for (auto &queue : queues)
            for (auto [type, count] : queue.wants(matcher)) {
                allowed = allowed && type != 0 && common.value_or(type) == type;
                common = type;
            }
    for (auto &queue : queues)
        queue.allow_counting(allowed, queues.size() == 1);
}

} // namespace flux::graph
