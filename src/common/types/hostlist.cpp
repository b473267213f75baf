#include "common/types/hostlist.hpp"

#include <algorithm>
#include <charconv>
#include <numeric>
#include <tuple>

#include "common/base/quote.hpp"

namespace flux {

namespace {

bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool allowed(std::string_view text)
{
    return std::ranges::all_of(
        text, [](char c) { return c > ' ' && c <= '~' && c != '[' && c != ']' && c != ','; });
}

unsigned digits(uint64_t number)
{
    unsigned count = 1;
    for (; number >= 10; number /= 10)
        count++;
    return count;
}

// Where a name's trailing number begins; the name's size when it has none that fits.
size_t number_start(std::string_view name)
{
    size_t at = name.size();
    while (at > 0 && is_digit(name[at - 1]))
        at--;
    return name.size() - at > Hostlist::max_digits ? name.size() : at;
}

Expected<uint64_t> take_number(std::string_view &text, std::string_view term, uint8_t &width)
{
    size_t length = 0;
    while (length < text.size() && is_digit(text[length]))
        length++;
    if (length == 0)
        return fail(EINVAL, "hostlist \"{}\": expected a number inside the brackets", term);
    if (length > Hostlist::max_digits)
        return fail(EINVAL, "hostlist \"{}\": a number of more than {} digits", term, Hostlist::max_digits);
    uint64_t number = 0;
    std::from_chars(text.data(), text.data() + length, number);
    width = length > 1 && text[0] == '0' ? uint8_t(length) : 0;
    text.remove_prefix(length);
    return number;
}

} // namespace

std::string Hostlist::Group::name(size_t offset) const
{
    if (!numbered)
        return prefix;
    char digits[24]; // of 2^64
    auto end = std::to_chars(std::begin(digits), std::end(digits), first + offset).ptr;
    auto count = size_t(end - digits);
    std::string out;
    out.reserve(prefix.size() + std::max(count, size_t(width)) + suffix.size());
    out += prefix;
    out.append(size_t(width) > count ? size_t(width) - count : 0, '0');
    out.append(digits, count);
    out += suffix;
    return out;
}

Hostlist::Group Hostlist::split(std::string_view name)
{
    Group group;
    size_t at = number_start(name);
    group.prefix = name.substr(0, at);
    if (at == name.size())
        return group;
    group.numbered = true;
    std::from_chars(name.data() + at, name.data() + name.size(), group.first);
    group.last = group.first;
    if (name[at] == '0' && name.size() - at > 1)
        group.width = uint8_t(name.size() - at);
    return group;
}

// Appends, or extends the last group when the new one continues its numbers and reads the same at its width.
void Hostlist::push(Group group)
{
    group.start = size();
    if (!groups_.empty() && group.numbered) {
        Group &last = groups_.back();
        bool same_width =
            group.width == last.width || digits(group.first) >= std::max(group.width, last.width);
        if (last.numbered && group.first == last.last + 1 && same_width && last.prefix == group.prefix &&
            last.suffix == group.suffix) {
            last.last = group.last;
            return;
        }
    }
    groups_.push_back(std::move(group));
}

// One hostlist expression, prefix[idlist]suffix, or a plain name.
Expected<void> Hostlist::parse_term(std::string_view term, std::vector<Group> &out)
{
    size_t open = term.find('[');
    std::string_view shown = quoted(term, 80);
    if (open == std::string_view::npos) {
        if (term.size() > max_name)
            return fail(EINVAL, "hostlist \"{}...\": a name of more than {} bytes", shown, max_name);
        if (!allowed(term))
            return fail(
                EINVAL,
                "hostlist \"{}\": a host name may hold printable ASCII but no blanks, brackets or commas",
                shown);
        out.push_back(split(term));
        return {};
    }
    size_t close = term.find(']', open);
    if (close == std::string_view::npos)
        return fail(EINVAL, "hostlist \"{}\": the closing bracket is missing", shown);
    std::string_view prefix = term.substr(0, open), suffix = term.substr(close + 1);
    std::string_view list = term.substr(open + 1, close - open - 1);
    if (prefix.size() > max_name || suffix.size() > max_name)
        return fail(EINVAL, "hostlist \"{}...\": a name of more than {} bytes", shown, max_name);
    if (!allowed(prefix) || !allowed(suffix))
        return fail(EINVAL,
                    "hostlist \"{}\": one pair of brackets and printable ASCII without blanks is allowed",
                    shown);
    uint8_t list_width = 0;
    for (bool first_id = true;; first_id = false) {
        Group group {.prefix = std::string(prefix), .suffix = std::string(suffix), .numbered = true};
        auto first = take_number(list, shown, group.width);
        if (!first)
            return std::unexpected(first.error());
        if (first_id)
            list_width = group.width;
        group.width =
            std::max(group.width, list_width); // RFC 29: the first id's zeros hold for the whole list
        group.first = group.last = *first;
        if (list.starts_with('-')) {
            list.remove_prefix(1);
            uint8_t ignored;
            auto last = take_number(list, shown, ignored);
            if (!last)
                return std::unexpected(last.error());
            if (*last < *first)
                return fail(EINVAL, "hostlist \"{}\": range {}-{} runs backwards", shown, *first, *last);
            if (*last - *first >= max_hosts)
                return fail(E2BIG, "hostlist \"{}\": more than {} hosts", shown, max_hosts);
            group.last = *last;
        }
        out.push_back(std::move(group));
        if (list.empty())
            return {};
        if (!list.starts_with(','))
            return fail(EINVAL, "hostlist \"{}\": expected a comma or a bracket at \"{}\"", shown,
                        quoted(list, 20));
        list.remove_prefix(1);
    }
}

Expected<Hostlist> Hostlist::parse(std::string_view text)
{
    Hostlist out;
    auto done = out.append(text);
    if (!done)
        return std::unexpected(done.error());
    return out;
}

Expected<void> Hostlist::append(std::string_view text)
{
    std::vector<Group> groups;
    size_t total = size();
    while (!text.empty()) {
        size_t end = 0;
        for (int depth = 0; end < text.size() && (depth > 0 || text[end] != ','); end++)
            depth += text[end] == '[' ? 1 : text[end] == ']' ? -1 : 0;
        std::string_view term = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (term.empty())
            continue; // an empty expression is an empty list (RFC 29)
        size_t before = groups.size();
        if (auto parsed = parse_term(term, groups); !parsed)
            return parsed;
        for (; before < groups.size(); before++)
            total += groups[before].size();
        if (total > max_hosts)
            return fail(E2BIG, "hostlist of more than {} hosts", max_hosts);
    }
    for (auto &group : groups)
        push(std::move(group));
    return {};
}

Hostlist::Hostlist(const std::vector<std::string> &names)
{
    for (const auto &name : names)
        append_name(name);
}

void Hostlist::append_name(std::string_view name)
{
    if (name.empty() || name.size() > max_name || !allowed(name))
        throw Error(EINVAL, "\"{}\" is not a host name", quoted(name, 80));
    if (size() >= max_hosts)
        throw Error(E2BIG, "hostlist of more than {} hosts", max_hosts);
    push(split(name));
}

void Hostlist::append(const Hostlist &other)
{
    if (size() + other.size() > max_hosts)
        throw Error(E2BIG, "hostlist of more than {} hosts", max_hosts);
    auto groups = other.groups_; // a copy: other may be this list
    for (auto &group : groups)
        push(std::move(group));
}

void Hostlist::append(const Hostlist &other, size_t first, size_t count)
{
    if (first + count > other.size())
        throw Error(EINVAL, "hostlist of {} hosts has no host number {}", other.size(), first + count - 1);
    if (size() + count > max_hosts)
        throw Error(E2BIG, "hostlist of more than {} hosts", max_hosts);
    auto group = std::ranges::upper_bound(other.groups_, first, {}, &Group::start) - 1;
    for (; count > 0; group++) {
        Group part = *group;
        size_t skip = first - group->start, length = std::min(count, group->size() - skip);
        if (part.numbered) {
            part.first = group->first + skip;
            part.last = part.first + length - 1;
        }
        push(std::move(part));
        first += length;
        count -= length;
    }
}

// One expression from groups[at] on: as many groups as share prefix, suffix and padding.
void Hostlist::encode_run(const std::vector<Group> &groups, size_t &at, std::string &out)
{
    const Group &first = groups[at];
    size_t end = at + 1;
    while (first.numbered && end < groups.size() && groups[end].numbered &&
           groups[end].prefix == first.prefix && groups[end].suffix == first.suffix &&
           (groups[end].width == first.width ||
            digits(groups[end].first) >= std::max(groups[end].width, first.width)))
        end++;
    if (end == at + 1 && first.size() == 1) {
        out += first.name(0);
        at = end;
        return;
    }
    out += first.prefix + '[';
    for (size_t i = at; i < end; i++) {
        if (i > at)
            out += ',';
        out += fmt::format("{:0{}}", groups[i].first, first.width);
        if (groups[i].last != groups[i].first)
            out += fmt::format("-{:0{}}", groups[i].last, first.width);
    }
    out += ']' + first.suffix;
    at = end;
}

std::string Hostlist::encode() const
{
    std::string out;
    for (size_t at = 0; at < groups_.size();) {
        if (at > 0)
            out += ',';
        encode_run(groups_, at, out);
    }
    return out;
}

std::vector<std::string> Hostlist::expand() const
{
    return {begin(), end()};
}

std::string Hostlist::nth(size_t index) const
{
    if (index >= size())
        throw Error(EINVAL, "hostlist of {} hosts has no host number {}", size(), index);
    auto after = std::upper_bound(groups_.begin(), groups_.end(), index,
                                  [](size_t index, const Group &group) { return index < group.start; });
    return (after - 1)->name(index - (after - 1)->start);
}

std::optional<size_t> Hostlist::find(std::string_view name) const noexcept
{
    for (const auto &group : groups_) {
        if (!name.starts_with(group.prefix))
            continue;
        if (!group.numbered) {
            if (name.size() == group.prefix.size())
                return group.start;
            continue;
        }
        std::string_view rest = name.substr(group.prefix.size());
        if (!rest.ends_with(group.suffix))
            continue;
        rest.remove_suffix(group.suffix.size());
        if (rest.empty() || rest.size() > max_digits || !std::ranges::all_of(rest, is_digit))
            continue;
        uint64_t number = 0;
        std::from_chars(rest.data(), rest.data() + rest.size(), number);
        if (number >= group.first && number <= group.last &&
            rest.size() == std::max<size_t>(group.width, digits(number)))
            return group.start + (number - group.first);
    }
    return std::nullopt;
}

Idset Hostlist::find_all(const Hostlist &hosts) const
{
    Idset out;
    size_t index = 0;
    HostIndex wanted(hosts);
    for (auto host : *this) {
        if (wanted.contains(host))
            out.add(uint32_t(index));
        index++;
    }
    return out;
}

Hostlist Hostlist::subset(const Idset &indices) const
{
    if (auto last = indices.last(); last && *last >= size())
        throw Error(EINVAL, "hostlist of {} hosts has no host number {}", size(), *last);
    Hostlist out;
    for (const auto &group : groups_) {
        if (group.size() == 1 && indices.contains(uint32_t(group.start))) {
            out.push(group);
        } else if (group.size() > 1) {
            auto inside =
                indices & Idset::range(uint32_t(group.start), uint32_t(group.start + group.size() - 1));
            for (const auto &run : inside.runs()) {
                Group part = group;
                part.first = group.first + (run.first - group.start);
                part.last = group.first + (run.last - group.start);
                out.push(std::move(part));
            }
        }
    }
    return out;
}

size_t Hostlist::remove(std::string_view name)
{
    auto index = find(name);
    if (!index)
        return 0;
    Idset rest = Idset::iota(uint32_t(size()));
    rest.remove(uint32_t(*index));
    *this = subset(rest);
    return 1;
}

size_t Hostlist::remove(const Hostlist &hosts)
{
    Idset gone = find_all(hosts);
    *this = subset(Idset::iota(uint32_t(size())) - gone);
    return gone.count();
}

HostIndex::HostIndex(const Hostlist &hosts)
{
    size_t index = 0;
    first_.reserve(hosts.size());
    for (auto host : hosts)
        first_.emplace(std::move(host), index++);
}

std::optional<size_t> HostIndex::find(std::string_view name) const
{
    auto found = first_.find(name);
    return found == first_.end() ? std::nullopt : std::optional(found->second);
}

// The hosts one by one, sorted: numbers of one prefix may interleave between groups.
std::vector<Hostlist::Group> Hostlist::sorted_singles() const
{
    std::vector<Group> singles;
    singles.reserve(size());
    for (const auto &group : groups_)
        for (size_t i = 0; i < group.size(); i++) {
            singles.push_back(group);
            if (group.numbered)
                singles.back().first = singles.back().last = group.first + i;
        }
    std::ranges::stable_sort(singles, {}, [](const Group &group) {
        return std::tie(group.prefix, group.suffix, group.numbered, group.first, group.width);
    });
    return singles;
}

void Hostlist::sort()
{
    auto singles = sorted_singles();
    groups_.clear();
    for (auto &group : singles)
        push(std::move(group));
}

void Hostlist::uniq()
{
    auto singles = sorted_singles();
    groups_.clear();
    std::string previous;
    for (auto &group : singles) {
        std::string name = group.name(0);
        if (name != previous)
            push(std::move(group));
        previous = std::move(name);
    }
}

bool operator==(const Hostlist &a, const Hostlist &b)
{
    return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin());
}

Hostlist::Iterator &Hostlist::Iterator::operator++()
{
    if (++offset_ == list_->groups_[group_].size()) {
        offset_ = 0;
        group_++;
    }
    return *this;
}

} // namespace flux
