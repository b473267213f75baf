#include "common/types/idset.hpp"

#include <algorithm>
#include <charconv>

#include "common/base/quote.hpp"

namespace flux {

namespace {

// The first run that ends at or after id.
template <class Runs>
auto run_at(Runs &runs, uint32_t id)
{
    return std::lower_bound(runs.begin(), runs.end(), id,
                            [](const Idset::Run &run, uint32_t id) { return run.last < id; });
}

void check_id(uint32_t id)
{
    if (id > Idset::max_id)
        throw Error(EINVAL, "id {} is over the limit of {}", id, Idset::max_id);
}

// Takes a decimal number off the front of text.
Expected<uint32_t> take_id(std::string_view &text, std::string_view whole)
{
    uint32_t id = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
    size_t length = end - text.data();
    if (error == std::errc::invalid_argument || length == 0) {
        if (text.empty())
            return fail(EINVAL, "idset \"{}\": expected a number at the end", whole);
        return fail(EINVAL, "idset \"{}\": expected a number at \"{}\"", whole, text);
    }
    if (error == std::errc::result_out_of_range || id > Idset::max_id)
        return fail(EINVAL, "idset \"{}\": {} is over the limit of {}", whole, text.substr(0, length),
                    Idset::max_id);
    if (text[0] == '0' && length > 1)
        return fail(EINVAL, "idset \"{}\": {} must not begin with a zero", whole, text.substr(0, length));
    text.remove_prefix(length);
    return id;
}

} // namespace

Idset::Idset(std::initializer_list<uint32_t> ids)
{
    for (uint32_t id : ids)
        add(id);
}

Idset Idset::range(uint32_t first, uint32_t last)
{
    Idset out;
    out.add(first, last);
    return out;
}

Expected<Idset> Idset::parse(std::string_view text)
{
    std::string_view whole = quoted(text, 80); // what an error quotes
    Idset out;
    if (text.starts_with('[')) {
        if (!text.ends_with(']'))
            return fail(EINVAL, "idset \"{}\": the closing bracket is missing", whole);
        text = text.substr(1, text.size() - 2);
    }
    if (text.empty())
        return out;
    while (true) {
        auto first = take_id(text, whole);
        if (!first)
            return std::unexpected(first.error());
        uint32_t last = *first;
        if (text.starts_with('-')) {
            text.remove_prefix(1);
            auto end = take_id(text, whole);
            if (!end)
                return std::unexpected(end.error());
            last = *end;
        }
        if (last < *first)
            return fail(EINVAL, "idset \"{}\": range {}-{} runs backwards", whole, *first, last);
        if (!out.empty() && *first <= out.runs_.back().last)
            return fail(EINVAL, "idset \"{}\": {} does not come after {}: ids must ascend", whole, *first,
                        out.runs_.back().last);
        out.add(*first, last);
        if (text.empty())
            return out;
        if (!text.starts_with(','))
            return fail(EINVAL, "idset \"{}\": expected a comma at \"{}\"", whole, quoted(text, 20));
        text.remove_prefix(1);
    }
}

std::string Idset::format(Brackets brackets) const
{
    fmt::memory_buffer out;
    bool bracketed = brackets == Brackets::unless_single && count_ != 1;
    if (bracketed)
        out.push_back('[');
    for (const auto &run : runs_) {
        if (&run != &runs_.front())
            out.push_back(',');
        fmt::format_to(std::back_inserter(out), "{}", run.first);
        if (run.last != run.first)
            fmt::format_to(std::back_inserter(out), "-{}", run.last);
    }
    if (bracketed)
        out.push_back(']');
    return fmt::to_string(out);
}

void Idset::add(uint32_t first, uint32_t last)
{
    check_id(last);
    if (first > last)
        throw Error(EINVAL, "id range {}-{} runs backwards", first, last);
    if (runs_.empty() || first > runs_.back().last + 1) {
        runs_.push_back({first, last});
        count_ += last - first + 1;
        return;
    }
    // Every run that overlaps or touches first..last becomes one with it.
    auto begin = run_at(runs_, first ? first - 1 : 0);
    auto end = begin;
    Run merged {first, last};
    for (; end != runs_.end() && end->first <= last + 1; ++end) {
        merged.first = std::min(merged.first, end->first);
        merged.last = std::max(merged.last, end->last);
        count_ -= end->last - end->first + 1;
    }
    count_ += merged.last - merged.first + 1;
    if (begin == end) {
        runs_.insert(begin, merged);
    } else {
        *begin = merged;
        runs_.erase(begin + 1, end);
    }
}

void Idset::remove(uint32_t first, uint32_t last)
{
    auto begin = run_at(runs_, first);
    if (first > last || begin == runs_.end() || begin->first > last)
        return;
    auto end = begin;
    Run left {first, first}, right {last, last};
    bool has_left = begin->first < first, has_right = false;
    if (has_left)
        left = {begin->first, first - 1};
    for (; end != runs_.end() && end->first <= last; ++end) {
        count_ -= std::min(end->last, last) - std::max(end->first, first) + 1;
        if (end->last > last) {
            has_right = true;
            right = {last + 1, end->last};
        }
    }
    if (has_left && has_right && end == begin + 1) {
        *begin = left;
        runs_.insert(end, right);
        return;
    }
    if (has_left)
        *begin++ = left;
    if (has_right)
        *--end = right;
    runs_.erase(begin, end);
}

bool Idset::contains(uint32_t id) const noexcept
{
    auto run = run_at(runs_, id);
    return run != runs_.end() && run->first <= id;
}

bool Idset::contains(const Idset &other) const noexcept
{
    auto mine = runs_.begin();
    for (const auto &run : other.runs_) {
        while (mine != runs_.end() && mine->last < run.first)
            ++mine;
        if (mine == runs_.end() || mine->first > run.first || mine->last < run.last)
            return false;
    }
    return true;
}

bool Idset::intersects(const Idset &other) const noexcept
{
    auto a = runs_.cbegin(), b = other.runs_.cbegin();
    while (a != runs_.end() && b != other.runs_.end()) {
        if (a->last < b->first)
            ++a;
        else if (b->last < a->first)
            ++b;
        else
            return true;
    }
    return false;
}

std::optional<uint32_t> Idset::first() const noexcept
{
    return runs_.empty() ? std::nullopt : std::optional(runs_.front().first);
}

std::optional<uint32_t> Idset::last() const noexcept
{
    return runs_.empty() ? std::nullopt : std::optional(runs_.back().last);
}

std::optional<uint32_t> Idset::next(uint32_t after) const noexcept
{
    if (after >= max_id)
        return std::nullopt;
    auto run = run_at(runs_, after + 1);
    if (run == runs_.end())
        return std::nullopt;
    return std::max(run->first, after + 1);
}

uint32_t Idset::nth(size_t index) const
{
    for (size_t left = index; const auto &run : runs_) {
        size_t length = run.last - run.first + 1;
        if (left < length)
            return run.first + uint32_t(left);
        left -= length;
    }
    throw Error(EINVAL, "idset of {} ids has no id number {}", count_, index);
}

size_t Idset::index_of(uint32_t id) const noexcept
{
    size_t smaller = 0;
    for (const auto &run : runs_) {
        if (run.first >= id)
            break;
        smaller += std::min(run.last, id - 1) - run.first + 1;
    }
    return smaller;
}

Idset Idset::take(size_t count) const
{
    Idset out;
    for (const auto &run : runs_) {
        size_t length = std::min<size_t>(run.last - run.first + 1, count);
        if (length == 0)
            break;
        out.add(run.first, run.first + uint32_t(length) - 1);
        count -= length;
    }
    return out;
}

Idset &Idset::operator|=(const Idset &other)
{
    if (other.runs_.size() <= 4) { // the usual small piece: no need to copy all runs
        for (size_t i = 0; i < other.runs_.size(); i++)
            add(other.runs_[i].first, other.runs_[i].last);
        return *this;
    }
    Idset out;
    out.runs_.reserve(runs_.size() + other.runs_.size());
    auto a = runs_.cbegin(), b = other.runs_.cbegin();
    while (a != runs_.end() || b != other.runs_.end()) {
        bool take_a = b == other.runs_.end() || (a != runs_.end() && a->first <= b->first);
        const Run &run = take_a ? *a++ : *b++;
        if (!out.runs_.empty() && run.first <= out.runs_.back().last + 1)
            out.runs_.back().last = std::max(out.runs_.back().last, run.last);
        else
            out.runs_.push_back(run);
    }
    for (const auto &run : out.runs_)
        out.count_ += run.last - run.first + 1;
    return *this = std::move(out);
}

Idset &Idset::operator&=(const Idset &other)
{
    Idset out;
    auto a = runs_.cbegin(), b = other.runs_.cbegin();
    while (a != runs_.end() && b != other.runs_.end()) {
        uint32_t first = std::max(a->first, b->first), last = std::min(a->last, b->last);
        if (first <= last) {
            out.runs_.push_back({first, last});
            out.count_ += last - first + 1;
        }
        (a->last < b->last) ? ++a : ++b;
    }
    return *this = std::move(out);
}

Idset &Idset::operator-=(const Idset &other)
{
    if (&other == this) {
        clear();
        return *this;
    }
    if (other.runs_.size() <= 4) {
        for (const auto &run : other.runs_)
            remove(run.first, run.last);
        return *this;
    }
    Idset out;
    auto b = other.runs_.begin();
    for (Run run : runs_) {
        while (b != other.runs_.end() && b->last < run.first)
            ++b;
        for (auto hole = b; hole != other.runs_.end() && hole->first <= run.last && run.first <= run.last;
             ++hole) {
            if (hole->first > run.first)
                out.add(run.first, hole->first - 1);
            run.first = hole->last + 1; // may pass run.last: then nothing is left
        }
        if (run.first <= run.last)
            out.add(run.first, run.last);
    }
    return *this = std::move(out);
}

std::strong_ordering operator<=>(const Idset &a, const Idset &b) noexcept
{
    return std::lexicographical_compare_three_way(
        a.runs_.begin(), a.runs_.end(), b.runs_.begin(), b.runs_.end(),
        [](const Idset::Run &x, const Idset::Run &y) {
            return x.first != y.first ? x.first <=> y.first : x.last <=> y.last;
        });
}

Idset::Iterator Idset::begin() const
{
    Iterator it;
    if (!runs_.empty()) {
        it.run_ = runs_.data();
        it.end_ = runs_.data() + runs_.size();
        it.id_ = runs_.front().first;
    }
    return it;
}

Idset::Iterator Idset::end() const
{
    Iterator it;
    if (!runs_.empty())
        it.run_ = it.end_ = runs_.data() + runs_.size();
    return it;
}

Idset::Iterator &Idset::Iterator::operator++()
{
    if (id_ != run_->last) {
        id_++;
    } else {
        ++run_;
        id_ = run_ == end_ ? 0 : run_->first;
    }
    return *this;
}

} // namespace flux
