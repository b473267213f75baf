// Attributes (flux-broker-attributes(7)): the broker's named strings, some fixed once it runs.
#pragma once
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "common/base/error.hpp"

namespace flux {

class Attributes {
public:
    static constexpr int immutable = 1; // the flag of attr.get's response

    struct Value {
        std::string text;
        int flags = 0;
    };

    Attributes() = default;
    Attributes(const Attributes &other) : values_(other.values_) {}
    Attributes &operator=(const Attributes &other)
    {
        values_ = other.values_;
        return *this;
    }

    // From any thread; all others, and all changes, are for the broker's own.
    std::optional<std::string> get(std::string_view name) const;
    const Value *find(std::string_view name) const;
    // The value or the fallback that it is set to (so that lsattr shows what is in force).
    std::string get_or_set(const std::string &name, const std::string &fallback);
    void set(const std::string &name, std::string value, int flags = 0)
    {
        std::lock_guard lock(mutex_);
        values_[name] = {std::move(value), flags};
    }
    // What a user asks for: EINVAL when the attribute is immutable.
    void change(const std::string &name, std::string value);
    void remove(const std::string &name); // ENOENT, EPERM
    const std::map<std::string, Value, std::less<>> &all() const { return values_; }

private:
    mutable std::mutex mutex_; // held by who changes, and by who reads from another thread
    std::map<std::string, Value, std::less<>> values_;
};

} // namespace flux
