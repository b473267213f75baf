// Hostlist: an ordered list of host names that may repeat, compact when they are numbered (RFC 29).
//
//     auto hosts = value_or_throw(Hostlist::parse("fluke[0-3],login"));
//     hosts.nth(2);          // "fluke2"
//     hosts.encode();        // "fluke[0-3],login"
//
// Held as groups of consecutive numbers, so 10,000 numbered hosts are one group.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/base/error.hpp"
#include "common/base/input_iterator.hpp"
#include "common/types/idset.hpp"

namespace flux {

class Hostlist {
public:
    static constexpr size_t max_hosts = 1u << 20; // a longer list is refused with E2BIG
    static constexpr size_t max_name = 1024;      // bytes of one prefix or suffix
    static constexpr size_t max_digits = 18;      // of a host's number

    Hostlist() = default;
    explicit Hostlist(const std::vector<std::string> &names); // each taken literally; throws like append_name
    // EINVAL with a sentence on what is not an RFC 29 string, E2BIG over max_hosts.
    static Expected<Hostlist> parse(std::string_view text);

    std::string encode() const; // order and repetitions kept; "" when empty
    std::vector<std::string> expand() const;

    Expected<void> append(std::string_view text); // all of an RFC 29 string, or nothing and the error
    // One host, taken literally. Throws Error: EINVAL on characters that RFC 29 forbids, E2BIG when full.
    void append_name(std::string_view name);
    void append(const Hostlist &other);
    void append(const Hostlist &other, size_t first, size_t count); // of another list's hosts these

    size_t size() const noexcept
    {
        return groups_.empty() ? 0 : groups_.back().start + groups_.back().size();
    }
    bool empty() const noexcept { return groups_.empty(); }
    std::string nth(size_t index) const; // throws Error(EINVAL) beyond the end. O(log groups)
    // The first index of this host. O(groups): for many look-ups there is HostIndex.
    std::optional<size_t> find(std::string_view name) const noexcept;
    bool contains(std::string_view name) const noexcept { return find(name).has_value(); }
    Idset find_all(const Hostlist &hosts) const; // the indices of every occurrence of any of these hosts
    Hostlist
    subset(const Idset &indices) const;   // in index order; throws Error(EINVAL) when one is beyond the end
    size_t remove(std::string_view name); // the first occurrence; number removed (0 or 1). O(groups)
    size_t remove(const Hostlist &hosts); // every occurrence of any of them; number removed
    void sort();                          // by prefix, then number
    void uniq();                          // sorts, then drops repetitions

    friend bool operator==(const Hostlist &a, const Hostlist &b); // the same names in the same order

    class Iterator : public InputIterator<Iterator, std::string> {
    public:
        using InputIterator::operator++;
        Iterator() = default;
        Iterator(const Hostlist *list, size_t group) : list_(list), group_(group) {}
        std::string operator*() const { return list_->groups_[group_].name(offset_); }
        Iterator &operator++();
        friend bool operator==(const Iterator &, const Iterator &) = default;

    private:
        const Hostlist *list_ = nullptr;
        size_t group_ = 0;
        size_t offset_ = 0;
    };
    Iterator begin() const { return Iterator(this, 0); }
    Iterator end() const { return Iterator(this, groups_.size()); }

private:
    struct Group { // prefix + number (zero-padded to width) + suffix, for first..last; or just prefix
        std::string prefix;
        std::string suffix;
        uint64_t first = 0;
        uint64_t last = 0;
        uint8_t width = 0;
        bool numbered = false;
        size_t start = 0; // index of its first host in the list

        size_t size() const { return numbered ? last - first + 1 : 1; }
        std::string name(size_t offset) const;
    };
    static Group split(std::string_view name);
    static Expected<void> parse_term(std::string_view term, std::vector<Group> &out);
    static void encode_run(const std::vector<Group> &groups, size_t &at, std::string &out);
    void push(Group group);
    std::vector<Group> sorted_singles() const;

    std::vector<Group> groups_;
};

// The hosts of a list by name, for those who look many of them up. A snapshot.
class HostIndex {
public:
    explicit HostIndex(const Hostlist &hosts);
    std::optional<size_t> find(std::string_view name) const; // its first index. O(1)
    bool contains(std::string_view name) const { return find(name).has_value(); }

private:
    struct Hash : std::hash<std::string_view> {
        using is_transparent = void;
    };
    std::unordered_map<std::string, size_t, Hash, std::equal_to<>> first_;
};

} // namespace flux
