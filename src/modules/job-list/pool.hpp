// Pool: each text once. Thousands of jobs have the same name, directory, queue and node list; a Pooled is one
// pointer. One thread.
#pragma once
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace flux::job_list {

class Pool;

class Pooled {
public:
    Pooled() = default;
    Pooled(const Pooled &) = delete;
    Pooled(Pooled &&other) noexcept : entry_(std::exchange(other.entry_, nullptr)), pool_(other.pool_) {}
    Pooled &operator=(Pooled &&other) noexcept
    {
        std::swap(entry_, other.entry_);
        std::swap(pool_, other.pool_);
        return *this;
    }
    inline ~Pooled();
    std::string_view text() const { return entry_ ? std::string_view(entry_->first) : std::string_view(); }
    bool empty() const { return !entry_; }

private:
    friend class Pool;
    using Entry = std::pair<const std::string, uint32_t>; // how many have it
    Entry *entry_ = nullptr;                              // null: the empty text
    Pool *pool_ = nullptr;
};

class Pool {
public:
    Pool() = default;
    Pool(const Pool &) = delete;
    Pooled get(std::string_view text)
    {
        Pooled out;
        if (text.empty())
            return out;
        out.pool_ = this;
        out.entry_ = &*texts_.try_emplace(std::string(text), 0).first;
        ++out.entry_->second;
        return out;
    }
    size_t size() const { return texts_.size(); }

private:
    friend class Pooled;
    void release(Pooled::Entry *entry)
    {
        if (--entry->second == 0)
            texts_.erase(std::string(entry->first));
    }
    std::unordered_map<std::string, uint32_t> texts_;
};

inline Pooled::~Pooled()
{
    if (entry_)
        pool_->release(entry_);
}

} // namespace flux::job_list
