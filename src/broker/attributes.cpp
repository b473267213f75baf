#include "broker/attributes.hpp"

namespace flux {

const Attributes::Value *Attributes::find(std::string_view name) const
{
    auto found = values_.find(name);
    return found == values_.end() ? nullptr : &found->second;
}

std::optional<std::string> Attributes::get(std::string_view name) const
{
    std::lock_guard lock(mutex_);
    auto value = find(name);
    return value ? std::optional(value->text) : std::nullopt;
}

std::string Attributes::get_or_set(const std::string &name, const std::string &fallback)
{
    std::lock_guard lock(mutex_);
    return values_.try_emplace(name, Value {fallback, 0}).first->second.text;
}

void Attributes::change(const std::string &name, std::string value)
{
    std::lock_guard lock(mutex_);
    auto &entry = values_[name];
    if (entry.flags & immutable)
        throw Error(EINVAL, "attribute {} cannot be changed while the broker runs", name);
    entry.text = std::move(value);
}

void Attributes::remove(const std::string &name)
{
    std::lock_guard lock(mutex_);
    auto found = values_.find(name);
    if (found == values_.end())
        throw Error(ENOENT, "attribute {} is not set", name);
    if (found->second.flags & immutable)
        throw Error(EPERM, "attribute {} cannot be removed while the broker runs", name);
    values_.erase(found);
}

} // namespace flux
