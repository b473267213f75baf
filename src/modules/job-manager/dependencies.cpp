#include "modules/job-manager/dependencies.hpp"

#include <algorithm>
#include <cstdlib>

namespace flux {

namespace {

struct Scheme {
    std::string_view name;
    Dependency::Kind kind;
    std::string_view described;
};
constexpr Scheme schemes[] {
    {"afterstart", Dependency::Kind::start, "after-start"},
    {"after", Dependency::Kind::start, "after-start"},
    {"afterany", Dependency::Kind::finish, "after-finish"},
    {"afterok", Dependency::Kind::success, "after-success"},
    {"afternotok", Dependency::Kind::failure, "after-failure"},
    {"afterexcept", Dependency::Kind::except, "after-except"},
    {"singleton", Dependency::Kind::singleton, "singleton"},
    {"begin-time", Dependency::Kind::begin_time, "begin-time"},
};

} // namespace

Expected<Dependency> Dependency::from(const Json &json)
{
    if (!json.is_object() || !json["scheme"].is_string())
        return fail(EINVAL, "a dependency is an object with a scheme and a value, not {}", json.dump());
    auto name = json["scheme"].string_view();
    std::string value(json["value"].string_view());
    auto found = std::ranges::find_if(schemes, [&](const Scheme &scheme) { return scheme.name == name; });
    if (found == std::end(schemes))
        return fail(EINVAL,
                    "dependency scheme \"{}\" is not supported: there are afterstart, afterany, afterok, "
                    "afternotok, afterexcept, singleton and begin-time",
                    name);
    Dependency out {found->kind, {}, 0, std::string(found->described)};
    if (out.has_antecedent()) {
        auto id = JobId::parse(value);
        if (!id)
            return fail(EINVAL, "dependency {}:{}: {}", name, value, id.error().text());
        out.on = *id;
        out.description += "=" + id->f58();
    } else if (out.kind == Kind::begin_time) {
        char *end = nullptr;
        out.time = strtod(value.c_str(), &end);
        if (value.empty() || *end || !(out.time >= 0))
            return fail(EINVAL, "dependency begin-time:{}: the value is a time in seconds since 1970", value);
        out.description += "=" + value;
    }
    return out;
}

Dependency::Outcome Dependency::judge(const EndedJob &job) const
{
    bool met = kind == Kind::finish;
    if (job.ran)
        met = met || kind == Kind::start || (kind == Kind::success && job.result == JobResult::completed) ||
              (kind == Kind::failure && job.result != JobResult::completed) ||
              (kind == Kind::except && job.excepted);
    return met ? Outcome::met : Outcome::never;
}

std::vector<DependencyIndex::Waiting> DependencyIndex::started(JobId antecedent)
{
    std::vector<Waiting> out;
    auto found = waiting_.find(antecedent);
    if (found == waiting_.end())
        return out;
    auto kept = std::ranges::stable_partition(found->second, [](const Waiting &waiting) {
        return waiting.dependency.kind == Dependency::Kind::start;
    });
    auto middle = kept.begin();
    out.assign(found->second.begin(), middle);
    found->second.erase(found->second.begin(), middle);
    if (found->second.empty())
        waiting_.erase(found);
    return out;
}

std::vector<DependencyIndex::Waiting> DependencyIndex::ended(JobId antecedent)
{
    auto node = waiting_.extract(antecedent);
    return node ? std::move(node.mapped()) : std::vector<Waiting>();
}

std::string Singletons::key(uint32_t userid, std::string_view job_name)
{
    return fmt::format("{}:{}", userid, job_name);
}

bool Singletons::add(const std::string &name, JobId id, bool held)
{
    auto &group = groups_[name];
    if (held && group.active > 0) {
        group.held.push_back(id);
        return false;
    }
    ++group.active;
    return held;
}

std::optional<JobId> Singletons::remove(const std::string &name, JobId id)
{
    auto found = groups_.find(name);
    if (found == groups_.end())
        return std::nullopt;
    auto &group = found->second;
    if (auto at = std::ranges::find(group.held, id); at != group.held.end())
        group.held.erase(at);
    else if (group.active > 0)
        --group.active;
    if (group.active > 0)
        return std::nullopt;
    if (group.held.empty()) {
        groups_.erase(found);
        return std::nullopt;
    }
    auto next = group.held.front();
    group.held.pop_front();
    ++group.active;
    return next;
}

} // namespace flux
